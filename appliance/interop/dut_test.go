package interop

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
	"understudy/vrrp"
)

// dut is our box alone on a segment with a host that can send anything. Its
// router is "lan", VRID 51, with the address 10.0.1.254.
type dut struct {
	*box
	v    variant
	set  settings
	host *lab.Node
	wire *wire
}

const (
	dutAddress = "10.0.1.2" // the primary address of lan0
	hostMAC    = "02:00:00:00:01:09"
)

// newDUT starts the box; more is more keys of the router.
func newDUT(s *scene, set settings, more string) *dut {
	s.t.Helper()
	d := joinDUT(s, set)
	d.begin(more)
	d.wait("us to be Backup or Active", func() error {
		r, err := d.router("lan")
		if err == nil && r.State != "backup" && r.State != "active" {
			err = fmt.Errorf("we are in %s", r.State)
		}
		return err
	})
	return d
}

// joinDUT is newDUT without the start.
func joinDUT(s *scene, set settings) *dut {
	s.t.Helper()
	return joinDUTs(s, row("v3 IPv4"), set, dutAddress+"/24", "10.0.1.9/24")
}

func joinDUTs(s *scene, v variant, set settings, own, host string) *dut {
	s.t.Helper()
	d := unrecorded(s, v, set, own, host)
	d.wire = s.record(s.lan)
	return d
}

// unrecorded is joinDUTs without a recording.
func unrecorded(s *scene, v variant, set settings, own, host string) *dut {
	s.t.Helper()
	d := &dut{box: &box{scene: s, Node: s.Node("ours")}, v: v, set: set, host: s.Node("host")}
	s.join(v, d.Node, own)
	s.join(v, d.host, host)
	return d
}

func (d *dut) begin(more string) {
	d.t.Helper()
	d.run(routerTOML("lan", "lan0", d.v.vrid, d.set, d.v.list(), more))
}

// adverts lists what we have sent.
func (d *dut) adverts() []advert { return d.wire.adverts(d.Name) }

// socket sends raw frames from the host.
type socket struct {
	*scene
	fd int
	to unix.SockaddrLinklayer
}

func (s *scene) socket(n *lab.Node, iface string) *socket {
	s.t.Helper()
	k := &socket{scene: s}
	s.must(n.Do(func() error {
		ifi, err := net.InterfaceByName(iface)
		if err != nil {
			return err
		}
		k.to = unix.SockaddrLinklayer{Ifindex: ifi.Index, Halen: 6}
		k.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	}))
	s.t.Cleanup(func() { _ = unix.Close(k.fd) })
	return k
}

// frame sends payload as an Ethernet frame, padded to the smallest size, and
// returns when.
func (k *socket) frame(src, dst string, ethertype uint16, payload []byte) time.Time {
	k.t.Helper()
	s, err := net.ParseMAC(src)
	k.must(err)
	d, err := net.ParseMAC(dst)
	k.must(err)
	b := append(append(append([]byte{}, d...), s...), byte(ethertype>>8), byte(ethertype))
	b = append(b, payload...)
	if short := 60 - len(b); short > 0 {
		b = append(b, make([]byte, short)...)
	}
	at := time.Now()
	k.must(unix.Sendto(k.fd, b, 0, &k.to))
	return at
}

// vrrp sends a packet to the group of VRRP.
func (k *socket) vrrp(packet []byte) time.Time {
	k.t.Helper()
	if packet[0]>>4 == 6 {
		return k.frame(hostMAC, "33:33:00:00:00:12", unix.ETH_P_IPV6, packet)
	}
	return k.frame(hostMAC, "01:00:5e:00:00:12", unix.ETH_P_IP, packet)
}

// rival is a router made by hand: it says what it is told to.
type rival struct {
	*socket
	d   *dut
	src netip.Addr
}

func (d *dut) injector(src string) *rival {
	d.t.Helper()
	return &rival{d.socket(d.host, "lan0"), d, netip.MustParseAddr(src)}
}

// says sends one advert for the router of d.
func (r *rival) says(priority int, interval time.Duration, form vrrp.ChecksumForm) time.Time {
	r.t.Helper()
	a := &vrrp.Advert{Version: 3, VRID: r.d.v.vrid, Priority: uint8(priority), Interval: interval, Form: form}
	return r.vrrp(vrrp.AppendPacket(nil, a, []netip.Addr{r.d.v.address.Addr()}, r.src))
}

// heard is says, and waits until the advert was counted.
func (r *rival) heard(priority int, interval time.Duration, form vrrp.ChecksumForm) time.Time {
	r.t.Helper()
	before, err := r.d.router("lan")
	r.must(err)
	at := r.says(priority, interval, form)
	r.wait("the advert to be counted", func() error {
		now, err := r.d.router("lan")
		if err == nil && now.Adverts.Received <= before.Adverts.Received {
			err = errNotYet
		}
		return err
	})
	return at
}

// firstAfter waits for our first advert after t.
func (d *dut) firstAfter(t time.Time) advert {
	d.t.Helper()
	var a advert
	d.wait("an advert of ours", func() error {
		list := since(d.adverts(), t)
		if len(list) == 0 {
			return errNotYet
		}
		a = list[0]
		return nil
	})
	return a
}

// between fails unless got is from least to most.
func (s *scene) between(what string, got, least, most time.Duration) {
	s.t.Helper()
	if got < least || got > most+away() {
		s.t.Errorf("%s: after %v, want %v to %v", what, got, least, most)
	}
}
