package interop

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab/capture"
	"understudy/vrrp"
)

// Addresses of the rules of IPv6. The box has nothing but its link-local address.
const (
	hostGlobal6 = "2001:db8:1::9"
	farAddress6 = "2001:db8:2::9"
	virtualMAC6 = "00:00:5e:00:02:33"
)

// asker6 is asker for IPv6.
type asker6 struct {
	*socket
	mac net.HardwareAddr
}

func (d *dut) asker6() *asker6 {
	d.t.Helper()
	return &asker6{d.socket(d.host, "lan0"), d.host.Link("lan0").MAC}
}

// source is the host's address of the same scope.
func (a *asker6) source(dst netip.Addr) netip.Addr {
	if dst.IsLinkLocalUnicast() || dst.IsMulticast() {
		return netip.MustParseAddr(hostAddress6)
	}
	return netip.MustParseAddr(hostGlobal6)
}

// send sends an IPv6 packet to a MAC; sum is where in the payload its checksum is, -1
// for none.
func (a *asker6) send(to string, src, dst netip.Addr, hops, proto byte, payload []byte, sum int) time.Time {
	a.t.Helper()
	b := []byte{0x60, 0, 0, 0, 0, byte(len(payload)), proto, hops}
	b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
	if sum >= 0 {
		pseudo := binary.BigEndian.AppendUint32(append([]byte{}, b[8:40]...), uint32(len(payload)))
		pseudo = append(append(pseudo, 0, 0, 0, proto), payload...)
		binary.BigEndian.PutUint16(payload[sum:], internetSum(pseudo))
	}
	return a.frame(a.mac.String(), to, unix.ETH_P_IPV6, append(b, payload...))
}

// solicits asks who has an address, of all that may have it; or of one MAC, as a host
// does that wants to know whether a neighbour is still there.
func (a *asker6) solicits(who netip.Addr, unicast ...string) time.Time {
	a.t.Helper()
	last := who.As16()
	group := netip.MustParseAddr("ff02::1:ff00:0").As16()
	copy(group[13:], last[13:])
	to, dst := net.HardwareAddr{0x33, 0x33, group[12], group[13], group[14], group[15]}.String(), netip.AddrFrom16(group)
	if len(unicast) > 0 {
		to, dst = unicast[0], who
	}
	b := []byte{135, 0, 0, 0, 0, 0, 0, 0}
	b = append(append(b, who.AsSlice()...), 1, 1)
	return a.send(to, netip.MustParseAddr(hostAddress6), dst, 255, unix.IPPROTO_ICMPV6, append(b, a.mac...), 2)
}

func (a *asker6) ping(to string, dst netip.Addr) time.Time {
	a.t.Helper()
	return a.send(to, a.source(dst), dst, 64, unix.IPPROTO_ICMPV6, []byte{128, 0, 0, 0, 0, 1, 0, 1}, 2)
}

// udp sends a datagram to a port where nobody listens.
func (a *asker6) udp(to string, dst netip.Addr) time.Time {
	a.t.Helper()
	return a.send(to, a.source(dst), dst, 64, unix.IPPROTO_UDP, []byte{0x30, 0x39, 0x30, 0x39, 0, 8, 0, 0}, 6)
}

// syn opens a connection to a port where nobody listens.
func (a *asker6) syn(to string, dst netip.Addr) time.Time {
	a.t.Helper()
	return a.send(to, a.source(dst), dst, 64, unix.IPPROTO_TCP, []byte{0x30, 0x39, 0x30, 0x39, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0x20, 0, 0, 0, 0, 0}, 16)
}

// answers6 lists what we have sent since t in the name of an address: advertisements
// that were asked for, and whole packets; no adverts, questions and reports of groups.
func (w *wire) answers6(from string, name netip.Addr, t time.Time) (list []capture.Packet) {
	for _, f := range w.c.Frames() {
		p := capture.Decode(f.Data)
		of := p.Src == name || p.Neighbor(capture.NeighborAdvertisement) && p.Target == name
		switch {
		case f.From != from || f.At.Before(t) || !of || p.Kind == capture.VRRP || p.Announces(name):
		case p.Neighbor(capture.NeighborSolicitation) || p.Kind == capture.IP && p.Dst.IsMulticast():
		default:
			list = append(list, p)
		}
	}
	return list
}

// answered6 waits for an answer of ours in the name of an address.
func (d *dut) answered6(what string, name netip.Addr, t time.Time, is func(capture.Packet) bool) capture.Packet {
	d.t.Helper()
	var got capture.Packet
	d.wait(what, func() error {
		for _, p := range d.wire.answers6(d.Name, name, t) {
			if is(p) {
				got = p
				return nil
			}
		}
		return errNotYet
	})
	return got
}

func isAdvertisement(p capture.Packet) bool { return p.Neighbor(capture.NeighborAdvertisement) }
func isEcho(p capture.Packet) bool          { return p.Kind == capture.ICMP && p.Type == 129 }
func isUnreachable(p capture.Packet) bool   { return p.Kind == capture.ICMP && p.Type == 1 }
func isReset(p capture.Packet) bool         { return p.Kind == capture.TCP && p.Flags&capture.RST != 0 }

// groups are the multicast groups of IPv6 that an interface is in, as the kernel
// writes them: 32 digits.
func (d *dut) groups(iface string) (list []string, err error) {
	var text []byte
	if err := d.Do(func() (err error) { text, err = os.ReadFile("/proc/thread-self/net/igmp6"); return err }); err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 2 && f[1] == iface {
			list = append(list, f[2])
		}
	}
	return list, nil
}

// rival6 is rival for IPv6.
type rival6 struct{ *rival }

func (d *dut) injector6(src string) *rival6 { d.t.Helper(); return &rival6{d.injector(src)} }

func (r *rival6) says6(priority int, interval time.Duration) time.Time {
	r.t.Helper()
	a := &vrrp.Advert{Version: 3, VRID: r.d.v.vrid, Priority: uint8(priority), Interval: interval}
	return r.vrrp(vrrp.AppendPacket(nil, a, virtual6(), r.src))
}
