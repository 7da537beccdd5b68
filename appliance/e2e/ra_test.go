package e2e

import (
	"bytes"
	"context"
	bin "encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/ndp"
	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
	"understudy/appliance/lab/capture"
	"understudy/appliance/lab/pair"
	"understudy/appliance/lab/probe"
)

// A host that knows nothing: it has what router advertisements told it.
type guest struct {
	*lab.Node
	s   *scene
	air *capture.Capture // router discovery of the segment, and adverts over IPv6
}

const advertise = `ra = { rdnss = ["2001:db8:1::53"], dnssl = ["example.org"], mtu = 1400 }`

func (s *scene) guest() *guest {
	s.t.Helper()
	g := &guest{s: s}
	var err error
	g.air, err = capture.Start(s.LAN, capture.Options{SnapLen: 1500, Keep: func(f capture.Frame) bool {
		p := capture.Decode(f.Data)
		return p.Neighbor(capture.RouterAdvertisement) || p.Neighbor(capture.RouterSolicitation) || p.Kind == capture.VRRP && p.Src.Is6()
	}})
	s.must(err)
	s.t.Cleanup(func() { _ = g.air.Stop() })
	g.Node, err = s.Net.Node("guest")
	s.must(err)
	_, err = g.Join(s.LAN, "eth0")
	s.must(err)
	return g
}

// advertisements are those of a gateway; "": of all.
func (g *guest) advertisements(from string, since time.Time) (list []capture.Frame) {
	for _, f := range g.air.Frames() {
		if capture.Decode(f.Data).Neighbor(capture.RouterAdvertisement) && f.At.After(since) && (from == "" || f.From == from) {
			list = append(list, f)
		}
	}
	return list
}

// advert is when the gateway's first advert was sent: it was Active no sooner.
func (g *guest) advert(from string) time.Time {
	for _, f := range g.air.Frames() {
		if capture.Decode(f.Data).Kind == capture.VRRP && f.From == from {
			return f.At
		}
	}
	return time.Now()
}

func read(t *testing.T, f capture.Frame) *ndp.RouterAdvertisement {
	t.Helper()
	m, err := ndp.ParseMessage(f.Data[14+40 : 14+40+int(bin.BigEndian.Uint16(f.Data[14+4:]))])
	if err != nil {
		t.Fatal(err)
	}
	return m.(*ndp.RouterAdvertisement)
}

// asks sends a Router Solicitation, and returns when, at the earliest.
func (g *guest) asks() time.Time {
	g.s.t.Helper()
	at := time.Now()
	mac := g.Link("eth0").MAC
	src, dst := netip.MustParseAddr("fe80::99"), netip.MustParseAddr("ff02::2")
	m, err := ndp.MarshalMessageChecksum(&ndp.RouterSolicitation{Options: []ndp.Option{
		&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: mac}}}, src, dst)
	g.s.must(err)
	b := bytes.Join([][]byte{{0x33, 0x33, 0, 0, 0, 2}, mac, {0x86, 0xdd, 0x60, 0, 0, 0, 0, byte(len(m)), 58, 255}, src.AsSlice(), dst.AsSlice(), m}, nil)
	g.s.must(g.Do(func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		c, err := packet.Listen(ifi, packet.Raw, 0, nil)
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.WriteTo(b, &packet.Addr{HardwareAddr: b[:6]})
		return err
	}))
	return at
}

// answers is a condition: the gateway has advertised since.
func (g *guest) answers(who *pair.Gateway, since time.Time) func(context.Context) error {
	return func(context.Context) error {
		if len(g.advertisements(who.Name, since)) == 0 {
			return fmt.Errorf("no advertisement of %s", who.Name)
		}
		return nil
	}
}

// way is the guest's default route, and how long it still holds.
func (g *guest) way() (via netip.Addr, left time.Duration, err error) {
	err = g.Do(func() error {
		req := nl.NewNetlinkRequest(unix.RTM_GETROUTE, unix.NLM_F_DUMP)
		req.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{Family: unix.AF_INET6}})
		routes, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWROUTE)
		if err != nil {
			return err
		}
		for _, b := range routes {
			m := nl.DeserializeRtMsg(b)
			if m.Dst_len != 0 || m.Protocol != unix.RTPROT_RA {
				continue
			}
			attrs, err := nl.ParseRouteAttr(b[m.Len():])
			if err != nil {
				return err
			}
			for _, a := range attrs {
				switch a.Attr.Type {
				case unix.RTA_GATEWAY:
					via, _ = netip.AddrFromSlice(a.Value)
				case unix.RTA_CACHEINFO: // struct rta_cacheinfo: rta_expires, in 1/100 s
					left = time.Duration(int32(bin.NativeEndian.Uint32(a.Value[8:]))) * 10 * time.Millisecond
				}
			}
		}
		return nil
	})
	return via, left, err
}

// knows is a condition: the guest has a way out, by the virtual router, that holds
// for the lifetime, and an address of its own in the network.
func (g *guest) knows(context.Context) error {
	via, left, err := g.way()
	if err != nil {
		return err
	}
	if via != pair.LinkLocal.Addr() || left < 25*time.Minute || left > 30*time.Minute {
		return fmt.Errorf("the guest's way out is by %v, for %v", via, left)
	}
	addrs, err := g.Netlink().AddrList(nil, netlink.FAMILY_V6)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if ip, _ := netip.AddrFromSlice(a.IP); pair.InsideNet6.Contains(ip) && a.Flags&unix.IFA_F_TENTATIVE == 0 {
			return nil
		}
	}
	return fmt.Errorf("the guest has %v", addrs)
}

// neighbour is what the guest holds for the MAC of its way out.
func (g *guest) neighbour() (string, error) {
	list, err := g.Netlink().NeighList(0, netlink.FAMILY_V6)
	if err != nil {
		return "", err
	}
	for _, n := range list {
		if ip, _ := netip.AddrFromSlice(n.IP); ip == pair.LinkLocal.Addr() {
			return n.HardwareAddr.String(), nil
		}
	}
	return "", errors.New("the guest does not know the MAC of its way out")
}

// RFC 9568, 6.4.2, 6.4.3, 8.2.2 and 8.2.3: the Active advertises in the name of the
// virtual router, a Backup does not, and at a takeover nothing changes for a host.
func TestRouterAdvertisements(t *testing.T) {
	for name, keys := range macs6() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, pair.Options{IPv6: true, RouterKeys: keys + "\n" + advertise})
			began := time.Now()
			g := s.guest()
			s.settle()
			s.wait("the guest to know its way", g.knows)
			s.wait("the guest to know the MAC", func(context.Context) error {
				mac, err := g.neighbour()
				want := s.gw1.Link("lan0").MAC.String()
				if keys != "" {
					want = "00:00:5e:00:02:33"
				}
				if err == nil && mac != want {
					err = fmt.Errorf("the guest's way out is %s, want %s", mac, want)
				}
				return err
			})
			at := netip.AddrPortFrom(pair.Outside6, 7)
			echo, err := probe.StartUDP(probe.UDPOptions{Client: g.Node, Server: s.Outside, Listen: at, Target: at})
			s.must(err)
			t.Cleanup(echo.Stop)
			flows := func(since time.Time) {
				t.Helper()
				s.wait("the guest's datagrams", func(context.Context) error {
					if n := echo.Since(since); n < 10 {
						return fmt.Errorf("%d arrivals", n)
					}
					return nil
				})
			}
			flows(time.Time{})
			asked := g.asks()
			s.wait("an answer", g.answers(s.gw1, asked))

			cutting := time.Now() // the successor may be there before the dead one is buried
			cut := s.crash(s.gw1)
			s.stays("the guest's way out", time.Second, g.knows)
			flows(cut)
			s.wait("the successor to advertise", g.answers(s.gw2, cutting))
			asked = g.asks()
			s.wait("an answer", g.answers(s.gw2, asked))
			if list := g.advertisements("gw2", time.Time{}); list[0].At.Before(cutting) || list[0].At.Before(g.advert("gw2")) {
				t.Errorf("a Backup has advertised: %v", list[0])
			}
			if keys != "" {
				if mac, err := g.neighbour(); err != nil || mac != "00:00:5e:00:02:33" {
					t.Errorf("the guest's way out is %q now (%v)", mac, err)
				}
			}

			// It comes back, takes the role, and gives it away in good order.
			s.must(s.gw1.Reboot())
			back := time.Now()
			s.must(s.gw1.Start())
			s.settled(s.gw1)
			s.wait("gw1 to advertise", g.answers(s.gw1, back))
			handed := time.Now()
			s.ok(s.gw1, "failover", "--force") // whether the peer has all flows is not the question here
			s.settled(s.gw2)
			s.wait("gw2 to advertise", g.answers(s.gw2, handed))
			flows(handed)
			asked = g.asks()
			s.wait("an answer", g.answers(s.gw2, asked))
			s.wait("the guest to know its way", g.knows)
			if list := g.advertisements("gw1", asked); len(list) > 0 {
				t.Errorf("a Backup answers: %v", list)
			}
			g.judge(t, keys != "", began)
		})
	}
}

// judge looks at every advertisement there was.
func (g *guest) judge(t *testing.T, virtual bool, began time.Time) {
	t.Helper()
	list := g.advertisements("", began)
	first := read(t, list[0])
	for _, f := range list {
		p, m := capture.Decode(f.Data), read(t, f)
		if p.Src != pair.LinkLocal.Addr() || p.TTL != 255 || p.Dst.String() != "ff02::1" {
			t.Errorf("%v: from %v to %v with Hop Limit %d", f, p.Src, p.Dst, p.TTL)
		}
		if m.RouterLifetime != 30*time.Minute {
			t.Errorf("%v: Router Lifetime %v", f, m.RouterLifetime)
		}
		sll, ok := m.Options[0].(*ndp.LinkLayerAddress)
		if !ok || sll.Addr.String() != p.SrcMAC.String() || virtual != (sll.Addr.String() == "00:00:5e:00:02:33") {
			t.Errorf("%v: from %v, link-layer address %+v", f, p.SrcMAC, m.Options[0])
		}
		if virtual && !bytes.Equal(f.Data, list[0].Data) {
			t.Errorf("%v is not what %v is:\n%x\n%x", f, list[0], f.Data, list[0].Data)
		}
		m.Options[0] = first.Options[0]
		if d := cmp.Diff(first, m, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
			t.Errorf("%v says something else:\n%s", f, d)
		}
	}
}

// While a standby is one it hears what the active box tells hosts, and does not take
// it, whatever was set before; and it is not told by mistake that it is a host.
func TestAStandbyTakesNoAdvertisement(t *testing.T) {
	s := newScene(t, pair.Options{Interval: unhurried, IPv6: true, RouterKeys: virtual + "\n" + advertise})
	for _, n := range s.Gateways {
		s.must(n.Sysctl("ipv6/conf/lan0/accept_ra", "2"))
	}
	g := s.guest()
	s.must(s.gw1.Start())
	s.must(s.gw2.Start()) // before anybody advertises: what was there before is not ours to remove
	s.settled(s.gw1)
	s.wait("the guest to know its way", g.knows)
	asked := g.asks()
	s.wait("an answer", g.answers(s.gw1, asked))
	for _, gw := range s.Gateways {
		if got := s.sysctls(gw.Node)["ipv6/conf/lan0/accept_ra"]; got != "0" {
			t.Errorf("%s: accept_ra of lan0 is %s", gw.Name, got)
		}
		routes, err := gw.Netlink().RouteList(nil, netlink.FAMILY_V6)
		s.must(err)
		for _, r := range routes {
			if r.Protocol == unix.RTPROT_RA {
				t.Errorf("%s has learned %v", gw.Name, r)
			}
		}
	}
	s.must(s.gw2.Process().Stop(patience))
	s.wait("accept_ra to be as before", func(context.Context) error {
		if got := s.sysctls(s.gw2.Node)["ipv6/conf/lan0/accept_ra"]; got != "2" {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	})
}

// A reload that takes ra away ends it for good: hosts are told, and look for another
// way. One that puts it back begins anew.
func TestReloadEndsAdvertisements(t *testing.T) {
	s := newScene(t, pair.Options{IPv6: true, RouterKeys: virtual + "\n" + advertise})
	g := s.guest()
	s.settle()
	s.wait("the guest to know its way", g.knows)
	reload := func(file func(string) string) time.Time {
		t.Helper()
		at := time.Now()
		for _, gw := range []*pair.Gateway{s.gw2, s.gw1} {
			s.must(gw.WriteFile(configPath, []byte(file(gw.Config())), 0o644))
			s.ok(gw, "reload")
		}
		return at
	}
	// What is said changes, and is said at once.
	at := reload(func(c string) string { return strings.ReplaceAll(c, "mtu = 1400", "mtu = 1300") })
	s.wait("another MTU", func(context.Context) error {
		for _, f := range g.advertisements("gw1", at) {
			for _, o := range read(t, f).Options {
				if o, ok := o.(*ndp.MTU); ok && o.MTU == 1300 {
					return nil
				}
			}
		}
		return errors.New("not told")
	})
	at = reload(func(c string) string { return strings.ReplaceAll(c, advertise, "") })
	s.wait("the guest to have no way out", func(context.Context) error {
		via, left, err := g.way()
		if err == nil && via.IsValid() {
			err = fmt.Errorf("it is by %v, for %v", via, left)
		}
		return err
	})
	s.wait("the end", func(context.Context) error {
		finals := 0
		for _, f := range g.advertisements("gw1", at) {
			if read(t, f).RouterLifetime == 0 {
				finals++
			}
		}
		if finals != 3 {
			return fmt.Errorf("%d times", finals)
		}
		return nil
	})
	if list := g.advertisements("gw2", time.Time{}); len(list) > 0 {
		t.Errorf("a Backup has advertised: %v", list)
	}
	reload(func(c string) string { return c })
	s.wait("the guest to know its way", g.knows)
}
