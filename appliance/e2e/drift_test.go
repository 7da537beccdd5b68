package e2e

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/nftables"

	"understudy/appliance/lab/capture"
	"understudy/appliance/lab/pair"
)

// Somebody removes the addresses. They are put back and announced again, and
// nobody changes its role for it.
func TestRemovedAddressIsPutBack(t *testing.T) {
	s := newScene(t, pair.Options{Interval: unhurried})
	s.settle()
	s.load(s.gw1, 20)
	arp, err := capture.Start(s.LAN, capture.Options{Keep: func(f capture.Frame) bool {
		return f.From == "gw1" && capture.Decode(f.Data).Announces(pair.LANAddress.Addr())
	}})
	s.must(err)
	defer arp.Stop()
	before := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}
	for range 3 {
		removed := time.Now()
		s.remove(s.gw1, "lan0")
		s.remove(s.gw1, "wan0")
		s.wait("the addresses to be back", holds(s.gw1, true))
		s.wait("an announcement", func(context.Context) error {
			for _, f := range arp.Frames() {
				if f.At.After(removed) {
					return nil
				}
			}
			return errors.New("none")
		})
		s.intact(removed)
	}
	if now := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}; now != before {
		t.Errorf("transitions were %d, are %d", before, now)
	}
	s.whole()
}

// remove takes the virtual address from a link, as an administrator would.
func (s *scene) remove(g *pair.Gateway, link string) {
	s.t.Helper()
	addrs, err := g.Link(link).Addrs()
	s.must(err)
	for _, a := range addrs {
		if a.Addr() == pair.LANAddress.Addr() || a.Addr() == pair.WANAddress.Addr() {
			s.must(g.Link(link).DelAddr(a))
			return
		}
	}
	s.t.Fatalf("%s has no virtual address on %s: %v", g.Name, link, addrs)
}

// Somebody flushes every rule of the machine, as scripts do that think they own
// it. While there are none, what passes is not translated, and flows may end;
// everything is put back, and what is new then works.
func TestFlushedRulesetIsPutBack(t *testing.T) {
	s := newScene(t, pair.Options{Interval: unhurried})
	s.settle()
	s.load(s.gw1, 10)
	before := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}
	for _, g := range s.Gateways {
		s.must(g.Do(func() error {
			c, err := nftables.New()
			if err != nil {
				return err
			}
			c.FlushRuleset()
			return c.Flush()
		}))
	}
	for _, g := range s.Gateways {
		s.wait("the table of "+g.Name, func(context.Context) error {
			if len(s.ourTables(g)) != 1 {
				return errors.New("it is not there")
			}
			return nil
		})
	}
	more := s.conns(9100, 10)
	if _, err := s.traffic.In.Fresh(s.within(patience)); err != nil {
		t.Errorf("no new connection through the forward: %v", err)
	}
	if now := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}; now != before {
		t.Errorf("transitions were %d, are %d", before, now)
	}
	s.wait("equal tables", s.tablesEqual(s.gw1))
	s.crash(s.gw1)
	if dead := more.Check(s.within(patience)); len(dead) > 0 {
		t.Errorf("connections that began after the flush are dead: %v", dead)
	}
}

// A cable of the active gateway is pulled: it is faulty as a whole, and says so
// before it lets go; when the cable is back, so is the gateway.
func TestCablePulled(t *testing.T) {
	for _, name := range []string{"lan0", "wan0"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, pair.Options{})
			s.settle()
			s.load(s.gw1, 20)
			pulled := time.Now()
			s.must(s.gw1.Link(name).Unplug())
			s.wait("gw1 in fault, gw2 active", all(s.gw1.Is("fault"), s.gw2.Is("active")))
			s.wait("the addresses to be gone from gw1", holds(s.gw1, false))
			s.intact(pulled)
			back := time.Now()
			s.must(s.gw1.Link(name).Plug())
			s.settled(s.gw1)
			s.intact(back)
			s.wait("equal tables", s.tablesEqual(s.gw1))
			s.whole()
		})
	}
}
