package interop

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"understudy/appliance/lab/capture"
)

// macs are the two ways to have a MAC.
var macs = []struct {
	name, keys string
	virtual    bool
}{
	{"interface", "", false},
	{"virtual", `mac = "virtual"`, true},
}

// RFC 9568, 5 and 7.2: every octet of an advert, from the Ethernet header on, of
// three routers, up to the last one with priority 0.
func TestAdvertOnTheWire(t *testing.T) {
	for _, mac := range macs {
		t.Run(mac.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			d := joinDUT(s, settings{})
			// A second address of the same network and one of another, both lower
			// than the primary one, and virtual addresses on both sides of it.
			for _, a := range []string{"10.0.1.1/24", "10.0.0.1/24"} {
				d.must(d.Link("lan0").AddAddr(netip.MustParsePrefix(a)))
			}
			set := settings{priority: 123, interval: 150 * time.Millisecond}
			strict := set
			strict.checksum = "rfc9568"
			d.run(routerTOML("r1", "lan0", 1, set, `"10.0.1.254/24"`, mac.keys) +
				routerTOML("r51", "lan0", 51, strict, `"10.0.0.254/24", "10.0.1.253/24"`, mac.keys) +
				routerTOML("r255", "lan0", 255, set, `"192.0.2.1/24"`, mac.keys))
			want := map[byte][]string{1: {"10.0.1.254"}, 51: {"10.0.0.254", "10.0.1.253"}, 255: {"192.0.2.1"}}
			for vrid := range want {
				s.wait("us to be Active", d.is(fmt.Sprintf("r%d", vrid), "active"))
			}
			heard := len(d.adverts())
			s.wait("adverts", func() error {
				if len(d.adverts()) < heard+6 {
					return errNotYet
				}
				return nil
			})
			d.end()
			zero, begun := map[byte]int{}, map[byte]bool{}
			for _, a := range d.adverts() {
				vrid := a.Data[14+20+1]
				checkAdvert(t, a.Frame, d.Link("lan0").MAC, mac.virtual && begun[vrid], want[vrid], vrid != 51)
				begun[vrid] = true // the first one leaves before the MAC is served here
				if a.Data[14+20+2] == 0 {
					zero[vrid]++
				} else if zero[vrid] > 0 {
					t.Errorf("VRID %d spoke after priority 0", vrid)
				}
			}
			for vrid := range want {
				if zero[vrid] != 1 {
					t.Errorf("VRID %d said priority 0 %d times", vrid, zero[vrid])
				}
			}
		})
	}
}

// checkAdvert looks at the octets themselves, with nothing of the codec.
func checkAdvert(t *testing.T, f capture.Frame, own net.HardwareAddr, virtual bool, addresses []string, pseudo bool) {
	t.Helper()
	b := f.Data
	is := func(what string, got, want any) {
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v: %s is %v, want %v\n%x", f, what, got, want, b)
		}
	}
	n := 8 + 4*len(addresses)
	if len(b) < 14+20+n {
		t.Fatalf("%v: %d octets only", f, len(b))
	}
	eth, ip, msg := b[:14], b[14:34], b[34:34+n]
	src := own
	if virtual {
		src = net.HardwareAddr{0, 0, 0x5e, 0, 1, msg[1]}
	}
	is("Ethernet destination", net.HardwareAddr(eth[:6]), "01:00:5e:00:00:12")
	is("Ethernet source", net.HardwareAddr(eth[6:12]), src)
	is("IP version and header length", ip[0], 0x45)
	is("IP length", binary.BigEndian.Uint16(ip[2:]), 20+n)
	is("TTL", ip[8], 255)
	is("protocol", ip[9], 112)
	is("IP checksum", internetSum(ip), 0)
	is("source", netip.AddrFrom4([4]byte(ip[12:])), dutAddress)
	is("destination", netip.AddrFrom4([4]byte(ip[16:])), "224.0.0.18")
	is("version and type", msg[0], 0x31)
	if msg[2] != 0 {
		is("priority", msg[2], 123)
	}
	is("count", msg[3], len(addresses))
	is("reserve and interval", binary.BigEndian.Uint16(msg[4:]), 15)
	covered := msg
	if pseudo {
		covered = bytes.Join([][]byte{ip[12:20], {0, 112, 0, byte(n)}, msg}, nil)
	}
	is("checksum", internetSum(covered), 0)
	for i, a := range addresses {
		is("address", netip.AddrFrom4([4]byte(msg[8+4*i:])), a)
	}
}

// 5.1.1.2: a datagram to 224.0.0.18 stays on its segment whatever its TTL.
func TestGroupIsNotForwarded(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	d, beyond := newGateway(s, settings{priority: 100, interval: 40950 * time.Millisecond}, "")
	a := d.asker()
	group := netip.MustParseAddr("224.0.0.18")
	a.ipv4("01:00:5e:00:00:12", group, 64, 112, vrrpPacket(t)[20:])
	a.ipv4("01:00:5e:00:00:12", group, 255, 112, vrrpPacket(t)[20:])
	a.ipv4("01:00:5e:00:00:12", group, 64, 17, []byte{0x30, 0x39, 0x30, 0x39, 0, 8, 0, 0})
	a.ipv4(d.Link("lan0").MAC.String(), group, 64, 17, []byte{0x30, 0x39, 0x30, 0x39, 0, 8, 0, 0})
	d.passes(a, beyond, d.Link("lan0").MAC.String()) // which comes after them
	for _, f := range beyond.c.Frames() {
		if p := capture.Decode(f.Data); p.Dst == group {
			t.Errorf("forwarded: %v", f)
		}
	}
}

// newGateway is newDUT with a second segment to forward to. The router is on the
// first one only.
func newGateway(s *scene, set settings, more string) (*dut, *wire) {
	s.t.Helper()
	d := joinDUT(s, set)
	wan := s.Segment("wan")
	s.Join(d.Node, wan, "wan0", "10.0.2.2/24")
	s.Join(s.Node("beyond"), wan, "wan0", farAddress+"/24")
	w := s.record(wan)
	d.begin(more)
	d.wait("us to listen", func() error {
		r, err := d.router("lan")
		if err == nil && r.State != "backup" && r.State != "active" {
			err = errNotYet
		}
		return err
	})
	return d, w
}

// farAddress is a host behind the gateway.
const farAddress = "10.0.2.9"

// passes sends a packet to go through, to that MAC, until one has.
func (d *dut) passes(a *asker, beyond *wire, mac string) capture.Packet {
	d.t.Helper()
	var got capture.Packet
	d.wait("a packet to pass", func() error {
		a.udp(mac, netip.MustParseAddr(farAddress))
		_, list := beyond.packets(d.Name, capture.UDP)
		if len(list) == 0 {
			return errNotYet
		}
		got = list[0]
		return nil
	})
	return got
}
