package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"understudy/appliance/lab"
	"understudy/appliance/lab/capture"
	"understudy/appliance/lab/pair"
)

// The same gateways with a MAC that moves: hosts have nothing to learn, and what
// is sent to that MAC is answered by the active one alone.

const virtual = `mac = "virtual"`

// The program's device on an interface, and its MAC.
var devices = map[string]string{"us4-51-lan0": "00:00:5e:00:01:33", "us4-52-wan0": "00:00:5e:00:01:34"}

// virtualScene is settled, with load.
func virtualScene(t *testing.T, keys string) *scene {
	t.Helper()
	s := newScene(t, pair.Options{Interval: unhurried, RouterKeys: strings.TrimSpace(virtual + "\n" + keys)})
	s.settle()
	s.load(s.gw1, 20)
	return s
}

// up is a condition: the gateway has its devices, up or down.
func up(g *pair.Gateway, want bool) func(context.Context) error {
	return func(context.Context) error {
		for name, mac := range devices {
			l, err := g.Netlink().LinkByName(name)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", g.Name, name, err)
			}
			if got := l.Attrs().Flags&net.FlagUp != 0; got != want || l.Attrs().HardwareAddr.String() != mac {
				return fmt.Errorf("%s: %s has MAC %v, up %v", g.Name, name, l.Attrs().HardwareAddr, got)
			}
		}
		return nil
	}
}

// neighbour is the MAC that a host has for an address.
func (s *scene) neighbour(n *lab.Node, addr string) string {
	s.t.Helper()
	l, err := n.Netlink().LinkByName("eth0")
	s.must(err)
	list, err := n.Netlink().NeighList(l.Attrs().Index, netlink.FAMILY_V4)
	s.must(err)
	for _, e := range list {
		if e.IP.String() == addr {
			return e.HardwareAddr.String()
		}
	}
	return "none"
}

// learned fails the test if a host has anything but the virtual MAC for its
// gateway.
func (s *scene) learned(when string) {
	s.t.Helper()
	for _, h := range []struct {
		node         *lab.Node
		addr, device string
	}{{s.Inside, "10.0.0.1", "us4-51-lan0"}, {s.Outside, "203.0.113.1", "us4-52-wan0"}} {
		if got := s.neighbour(h.node, h.addr); got != devices[h.device] {
			s.t.Errorf("%s: to %s %s is at %s", when, h.node.Name, h.addr, got)
		}
	}
}

// told records adverts and announcements on the LAN.
func (s *scene) told() *capture.Capture {
	s.t.Helper()
	c, err := capture.Start(s.LAN, capture.Options{Keep: func(f capture.Frame) bool {
		p := capture.Decode(f.Data)
		return p.Kind == capture.VRRP || p.Announces(pair.LANAddress.Addr())
	}})
	s.must(err)
	s.t.Cleanup(func() { _ = c.Stop() })
	return c
}

// fromVirtualMAC fails the test for each that has another source, RFC 9568 7.2 and
// 8.1.2, and if there was none of a kind from one of the gateways. What a gateway says
// before its first announcement in an activation is not from that MAC, which the
// switch would take to it: nobody is there yet to take the frames.
func (s *scene) fromVirtualMAC(c *capture.Capture, gateways ...*pair.Gateway) {
	s.t.Helper()
	seen := map[string]int{}
	last := map[string]time.Time{} // when a gateway has advertised
	own := map[string]string{s.gw1.Name: s.gw1.Link("lan0").MAC.String(), s.gw2.Name: s.gw2.Link("lan0").MAC.String()}
	for _, f := range c.Frames() {
		p := capture.Decode(f.Data)
		seen[fmt.Sprint(f.From, " ", p.Kind)]++
		want := devices["us4-51-lan0"]
		if p.Kind == capture.VRRP {
			before, heard := last[f.From]
			pause := !heard || f.At.Sub(before) > 2*unhurried
			if last[f.From] = f.At; f.From == s.gw2.Name && !heard || pause && p.SrcMAC.String() == own[f.From] {
				want = own[f.From]
			}
		}
		if p.SrcMAC.String() != want || p.Kind == capture.ARP && p.Hardware.String() != want {
			s.t.Errorf("from %v, want %s: %v", p.SrcMAC, want, f)
		}
	}
	for _, g := range gateways {
		for _, k := range []capture.Kind{capture.VRRP, capture.ARP} {
			if seen[fmt.Sprint(g.Name, " ", k)] == 0 {
				s.t.Errorf("no %v from %s, only %v", k, g.Name, seen)
			}
		}
	}
}

func TestVirtualMACCrashAndReturn(t *testing.T) {
	s := virtualScene(t, "")
	s.wait("devices", all(up(s.gw1, true), up(s.gw2, false)))
	s.learned("at the start")
	told := s.told()
	cut := s.crash(s.gw1)
	s.intact(cut)
	s.learned("after the crash")
	s.wait("the device of gw2", up(s.gw2, true))

	back := time.Now()
	s.must(s.gw1.Reboot())
	s.must(s.gw1.Start())
	s.settled(s.gw1)
	s.intact(back)
	s.learned("after the return")
	s.wait("devices", all(up(s.gw1, true), up(s.gw2, false)))
	s.fromVirtualMAC(told, s.gw1, s.gw2)
	st := s.status(s.gw1)
	if r := st.Routers[0]; r.MAC != "virtual" || r.Device != "us4-51-lan0" {
		t.Errorf("status tells of MAC %q and device %q", r.MAC, r.Device)
	}
	s.whole()
}

func TestVirtualMACHandOver(t *testing.T) {
	s := virtualScene(t, "")
	told := s.told()
	asked := time.Now()
	s.ok(s.gw1, "failover")
	s.settled(s.gw2)
	s.intact(asked)
	s.learned("after the hand-over")
	s.wait("devices", all(up(s.gw1, false), up(s.gw2, true)))
	s.fromVirtualMAC(told, s.gw2)
	zero := slices.ContainsFunc(told.Frames(), func(f capture.Frame) bool {
		p := capture.Decode(f.Data)
		return f.From == "gw1" && p.Kind == capture.VRRP && p.Priority == 0
	})
	if !zero {
		t.Error("gw1 did not resign")
	}
	cut := s.crash(s.gw2)
	s.intact(cut)
	s.whole()
}

// Somebody deletes the devices, or takes them down or up. They are put back as they
// were, with what is on them, and nobody changes its role.
func TestVirtualMACDevicesArePutBack(t *testing.T) {
	s := virtualScene(t, "")
	before := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}
	for name, do := range map[string]func(*netlink.Handle, netlink.Link) error{
		"deleted": (*netlink.Handle).LinkDel,
		"down":    (*netlink.Handle).LinkSetDown,
		"up":      (*netlink.Handle).LinkSetUp,
		"renumbered": func(h *netlink.Handle, l netlink.Link) error {
			return h.LinkSetHardwareAddr(l, net.HardwareAddr{2, 0, 0, 0, 0, 7})
		},
	} {
		told := s.told()
		done := time.Now()
		for _, g := range s.Gateways {
			for device := range devices {
				l, err := g.Netlink().LinkByName(device)
				s.must(err)
				s.must(do(g.Netlink(), l))
			}
		}
		s.wait(name+": devices put back", all(up(s.gw1, true), up(s.gw2, false), holds(s.gw1, true), holds(s.gw2, false)))
		s.intact(done)
		if name != "up" {
			s.wait(name+": announced again", func(context.Context) error {
				for _, f := range told.Frames() {
					if p := capture.Decode(f.Data); p.Kind == capture.ARP && f.From == "gw1" {
						return nil
					}
				}
				return errors.New("it is not")
			})
		}
	}
	if now := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}; now != before {
		t.Errorf("transitions were %d, are %d", before, now)
	}
	cut := s.crash(s.gw1)
	s.intact(cut)
	s.whole()
}

// The daemon comes back and finds its devices in use.
func TestVirtualMACDaemonKilled(t *testing.T) {
	s := virtualScene(t, "")
	before := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}
	killed := time.Now()
	pid := s.kill(s.gw1, "daemon")
	s.wait("another daemon", replaced(s.gw1, pid, "daemon"))
	s.settled(s.gw1)
	s.intact(killed)
	s.wait("devices", all(up(s.gw1, true), up(s.gw2, false)))
	if now := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}; now != before {
		t.Errorf("transitions were %d, are %d", before, now)
	}
	s.whole()
}

// A gateway dies without a word; its kernel goes on with devices and addresses.
// Clean knows them by their marks; and so does the next start.
func TestVirtualMACBothKilledAndCleaned(t *testing.T) {
	s := newScene(t, pair.Options{RouterKeys: virtual})
	before := s.sysctls(s.gw1.Node)
	s.settle()
	for n, next := range []func(){
		func() { t.Log(s.ok(s.gw1, "clean")); s.pristine(s.gw1, before); s.must(s.gw1.Start()) },
		func() { s.must(s.gw1.Start()) },
	} {
		s.wait("gw1 to hold it all", all(up(s.gw1, true), holds(s.gw1, true)))
		s.must(s.gw1.Kill())
		s.wait("gw2 active", s.gw2.Is("active"))
		s.wait("gw1 to hold it all still", all(up(s.gw1, true), holds(s.gw1, true)))
		next()
		s.settled(s.gw1)
		s.wait(fmt.Sprintf("%d: devices", n), all(up(s.gw1, true), up(s.gw2, false)))
	}
}

// An orderly stop leaves nothing behind.
func TestVirtualMACStop(t *testing.T) {
	s := newScene(t, pair.Options{RouterKeys: virtual})
	before := s.sysctls(s.gw1.Node)
	s.settle()
	s.load(s.gw1, 10)
	asked := time.Now()
	s.must(s.gw1.Process().Signal(syscall.SIGTERM))
	if a := s.ended(s.gw1.Process()); a.code != 0 {
		t.Errorf("exit code %d", a.code)
	}
	s.wait("gw2 active", s.gw2.Is("active"))
	s.intact(asked)
	s.pristine(s.gw1, before)
	s.whole()
}

// A reload changes the MAC of running gateways, there and back, one gateway after
// the other.
func TestReloadSwitchesTheMAC(t *testing.T) {
	s := newScene(t, pair.Options{Interval: unhurried})
	s.settle()
	s.load(s.gw1, 20)
	before := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}
	plain := func(g *pair.Gateway) string { return g.Config() }
	with := func(g *pair.Gateway) string {
		return strings.ReplaceAll(g.Config(), "vrid =", virtual+"\nvrid =")
	}
	gone := func(g *pair.Gateway) func(context.Context) error {
		return func(context.Context) error {
			for name := range devices {
				if _, err := g.Netlink().LinkByName(name); err == nil {
					return errors.New(g.Name + " has " + name)
				}
			}
			return nil
		}
	}
	for _, step := range []struct {
		name  string
		file  func(*pair.Gateway) string
		after []func(context.Context) error
	}{
		{"to virtual", with, []func(context.Context) error{up(s.gw1, true), up(s.gw2, false)}},
		{"back", plain, []func(context.Context) error{gone(s.gw1), gone(s.gw2)}},
		{"to virtual again", with, []func(context.Context) error{up(s.gw1, true), up(s.gw2, false)}},
	} {
		began := time.Now()
		for _, g := range []*pair.Gateway{s.gw2, s.gw1} {
			s.must(g.WriteFile(configPath, []byte(step.file(g)), 0o644))
			s.ok(g, "reload")
		}
		s.wait(step.name, all(append(step.after, holds(s.gw1, true), holds(s.gw2, false))...))
		s.intact(began)
	}
	s.wait("hosts to learn", func(context.Context) error {
		if s.neighbour(s.Inside, "10.0.0.1") != devices["us4-51-lan0"] || s.neighbour(s.Outside, "203.0.113.1") != devices["us4-52-wan0"] {
			return errors.New("another MAC")
		}
		return nil
	})
	if now := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}; now != before {
		t.Errorf("transitions were %d, are %d", before, now)
	}
	s.wait("no alarm", all(calm(s.gw1), calm(s.gw2)))
	cut := s.crash(s.gw1)
	s.intact(cut)
	s.learned("after the crash")
	s.whole()
}

// Nobody can talk to the gateway by its addresses, and everything else works.
func TestAcceptFalse(t *testing.T) {
	for _, mac := range []string{"", virtual} {
		s := newScene(t, pair.Options{RouterKeys: mac + "\naccept = false"})
		s.settle()
		s.load(s.gw1, 10)
		dial := func(n *lab.Node, to string, bound time.Duration) (err error) {
			s.must(n.Do(func() error {
				var c net.Conn
				if c, err = net.DialTimeout("tcp", to, bound); err == nil {
					c.Close()
				}
				return nil
			}))
			return err
		}
		// A port that nobody serves: at the gateway's own address it is refused, at
		// the virtual one there is no answer.
		if err := dial(s.Inside, "10.0.0.2:22", patience); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("own address: %v, want a refusal", err)
		}
		var timeout net.Error
		if err := dial(s.Inside, "10.0.0.1:22", 500*time.Millisecond); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("virtual address: %v, want no answer", err)
		}
		s.wait("the status to tell of what was refused", func(context.Context) error {
			if s.status(s.gw1).NAT.Drops["refused"] == 0 {
				return errors.New("it tells of none")
			}
			return nil
		})
		cut := s.crash(s.gw1)
		s.intact(cut)
		s.whole()
	}
}
