package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"understudy/appliance"
	"understudy/appliance/lab"
	"understudy/appliance/lab/capture"
	"understudy/appliance/lab/pair"
)

// deaf takes from a gateway what the other says by VRRP, and gives it back:
// nothing else is lost, so both go on serving all hosts.
func (s *scene) deaf(g *pair.Gateway, on bool) {
	s.t.Helper()
	for _, name := range []string{"lan0", "wan0"} {
		if on {
			s.must(g.Link(name).Deafen(vrrpProtocol))
		} else {
			s.must(g.Link(name).Undeafen())
		}
	}
}

const vrrpProtocol = 112

// claims records who says where the LAN's address is.
func (s *scene) claims() *capture.Capture {
	s.t.Helper()
	return s.claimsOn(s.LAN, pair.LANAddress.Addr())
}

// claimsOn records who says where an address is.
func (s *scene) claimsOn(seg *lab.Segment, address netip.Addr) *capture.Capture {
	s.t.Helper()
	c, err := capture.Start(seg, capture.Options{Keep: func(f capture.Frame) bool {
		return capture.Decode(f.Data).Announces(address)
	}})
	s.must(err)
	s.t.Cleanup(func() { _ = c.Stop() })
	return c
}

// claimed is a condition: the gateway has announced the address after a moment,
// and nobody after it.
func claimed(c *capture.Capture, g *pair.Gateway, since time.Time) func(context.Context) error {
	return func(context.Context) error {
		last := ""
		for _, f := range c.Frames() {
			if f.At.After(since) {
				last = f.From
			}
		}
		if last != g.Name {
			return fmt.Errorf("the last announcement is by %q, want %s", last, g.Name)
		}
		return nil
	}
}

// quiet is a condition: the gateway raises none of the guard's alarms.
func quiet(g *pair.Gateway) func(context.Context) error {
	return func(ctx context.Context) error {
		st, err := g.Status(ctx)
		if err != nil {
			return err
		}
		for _, name := range []string{"split-brain", "peer-incompatible", "adverts-unheard", "no-heartbeat"} {
			if hasAlarm(st, name) {
				return fmt.Errorf("%s has alarms %v", g.Name, st.Alarms)
			}
		}
		return nil
	}
}

// detail of an alarm; "" if it is not raised.
func detail(st appliance.Status, name string) string {
	for _, a := range st.Alarms {
		if a.Name == name {
			return a.Detail
		}
	}
	return ""
}

// beating is a condition: the gateway hears the other's heartbeats.
func beating(g *pair.Gateway) func(context.Context) error {
	return func(ctx context.Context) error {
		st, err := g.Status(ctx)
		if err != nil {
			return err
		}
		if p := st.Guard.Peers; len(p) != 1 || p[0].Last == nil || time.Since(*p[0].Last) > 2*time.Second {
			return fmt.Errorf("%s hears no heartbeats: %+v", g.Name, st.Guard)
		}
		return nil
	}
}

// healed waits until the better of the two is Active alone, has said so to the
// neighbours, and no alarm is left; then asks every flow.
func (s *scene) healed(c *capture.Capture, heal time.Time, split bool) {
	s.t.Helper()
	s.settled(s.gw1)
	s.wait("the alarms to end", all(quiet(s.gw1), quiet(s.gw2)))
	if split {
		s.wait("gw1 to announce again", claimed(c, s.gw1, heal))
	}
	s.stays("gw1 active alone", time.Second, all(s.gw1.Is("active"), s.gw2.Is("backup")))
	s.intact(heal)
}

// a cut takes something away from the pair, and gives it back.
type cut func(s *scene, on bool)

func deafBoth(s *scene, on bool)  { s.deaf(s.gw1, on); s.deaf(s.gw2, on) }
func deafOther(s *scene, on bool) { s.deaf(s.gw2, on) }
func partition(s *scene, on bool) { s.silence(s.gw1, on) }
func noSync(s *scene, on bool) {
	if on {
		s.must(s.gw1.Link("sync0").Unplug())
	} else {
		s.must(s.gw1.Link("sync0").Plug())
	}
}
func everything(s *scene, on bool) { noSync(s, on); partition(s, on) }

// By default the guard only watches: both are Active where RFC 9568 says so, and
// each says what it knows of the other. After the heal one is, the better one.
func TestGuardAlarms(t *testing.T) {
	for _, tt := range []struct {
		name   string
		cut    cut
		active bool // gw2, while it lasts
		alarms [2]string
		sights string // what gw1 says of who hears whom
		hosts  bool   // both gateways go on serving
	}{
		{"multicast is lost both ways", deafBoth, true, [2]string{"split-brain", "split-brain"}, "not heard on lan0, ours not heard", true},
		{"one way", deafOther, true, [2]string{"split-brain", "split-brain"}, "does not yield to our 200", true},
		{"partition of LAN and WAN", partition, true, [2]string{"split-brain", "split-brain"}, "not heard on wan0, ours not heard", false},
		{"the session link alone", noSync, false, [2]string{"no-peer", "no-peer"}, "", true},
		{"everything", everything, true, [2]string{"no-peer", "no-peer"}, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, pair.Options{Interval: unhurried})
			s.settle()
			s.load(s.gw1, 10)
			s.wait("heartbeats", all(beating(s.gw1), beating(s.gw2)))
			claims := s.claims()
			moved := s.transitions(s.gw1)
			tt.cut(s, true)
			if tt.active {
				s.wait("gw2 to be active", s.gw2.Is("active"))
			}
			s.wait("alarms of gw1", alarmed(s.gw1, tt.alarms[0]))
			s.wait("alarms of gw2", alarmed(s.gw2, tt.alarms[1]))
			s.stays("gw1 active", time.Second, s.gw1.Is("active"))
			if !tt.active {
				s.stays("gw2 a standby", time.Second, s.gw2.Is("backup"))
			}
			if tt.alarms[0] == "split-brain" {
				text := detail(s.status(s.gw1), "split-brain")
				for _, want := range []string{"group gateway", "gw2", tt.sights} {
					if !strings.Contains(text, want) {
						t.Errorf("the alarm says %q, not %q", text, want)
					}
				}
			} else {
				s.must(all(quiet(s.gw1), quiet(s.gw2))(t.Context()))
			}
			heal := time.Now()
			tt.cut(s, false)
			s.healed(claims, heal, tt.active)
			s.whole()
			if n := s.transitions(s.gw1); n != moved {
				t.Errorf("gw1's routers have moved %d times", n-moved)
			}
		})
	}
}

// holdOptions has both gateways watch a host of the LAN.
func holdOptions(limit string) pair.Options {
	return pair.Options{
		Interval: unhurried, // a busy machine must not look like a dead one
		Top:      fmt.Sprintf("guard = \"hold\"\nguard_limit = %q\nguard_check = \"host\"\n", limit),
		Extra:    fmt.Sprintf("[[check]]\nname = \"host\"\nkind = \"icmp\"\ntarget = %q\nevery = \"100ms\"\ntimeout = \"1s\"\nfall = 2\nrise = 1\n", pair.InsideHost),
	}
}

// isHeld is a condition: the gateway's takeover is put off.
func isHeld(g *pair.Gateway) func(context.Context) error {
	return func(ctx context.Context) error {
		st, err := g.Status(ctx)
		if err != nil {
			return err
		}
		if !st.Groups[0].Held {
			return fmt.Errorf("%s: %+v", g.Name, st.Groups[0])
		}
		return nil
	}
}

// guarded waits until both hear each other's heartbeats, and that the host is
// there.
func (s *scene) guarded() {
	s.t.Helper()
	s.settle()
	for _, g := range s.Gateways {
		s.wait("heartbeats that know the host", func(ctx context.Context) error {
			st, err := g.Status(ctx)
			if err == nil && (len(st.Guard.Peers) != 1 || st.Guard.Peers[0].Neighbour != "up") {
				err = fmt.Errorf("%s: %+v", g.Name, st.Guard)
			}
			return err
		})
	}
}

// While gw1 says that it is active and hears the host, gw2 waits, and says so;
// when adverts come again within the limit nothing has happened.
func TestGuardHoldsUntilTheHeal(t *testing.T) {
	for name, c := range map[string]cut{"both ways": deafBoth, "one way": deafOther} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, holdOptions("1m"))
			s.guarded()
			s.load(s.gw1, 10)
			moved := s.transitions(s.gw1) + s.transitions(s.gw2)
			c(s, true)
			s.wait("gw2 to be held", isHeld(s.gw2))
			s.wait("its alarm", alarmed(s.gw2, "adverts-unheard"))
			s.wait("the alarm of gw1", alarmed(s.gw1, "adverts-unheard"))
			s.stays("one active", 2*time.Second, all(s.gw1.Is("active"), s.gw2.Is("backup"), isHeld(s.gw2)))
			text := detail(s.status(s.gw2), "adverts-unheard")
			for _, want := range []string{"group gateway", "gw1", "lan are not heard on lan0", "the takeover is held"} {
				if !strings.Contains(text, want) {
					t.Errorf("the alarm says %q, not %q", text, want)
				}
			}
			heal := time.Now()
			c(s, false)
			s.wait("the alarms to end", all(quiet(s.gw1), quiet(s.gw2)))
			s.settled(s.gw1)
			s.intact(heal)
			s.whole()
			if n := s.transitions(s.gw1) + s.transitions(s.gw2); n != moved {
				t.Errorf("routers have moved %d times", n-moved)
			}
		})
	}
}

// What the guard does not hold: when the limit is over, when gw1 has lost sight of
// the host, and when nothing is heard of gw1.
func TestGuardDoesNotHold(t *testing.T) {
	for _, tt := range []struct {
		name, limit string
		cut         cut
		split       bool
	}{
		{"beyond the limit", "2s", deafBoth, true},
		{"without the host", "1m", partition, true},
		{"without a heartbeat", "1m", everything, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, holdOptions(tt.limit))
			s.guarded()
			s.load(s.gw1, 10)
			claims := s.claims()
			tt.cut(s, true)
			s.wait("gw2 to be active", s.gw2.Is("active"))
			if tt.split {
				s.wait("alarms", all(alarmed(s.gw1, "split-brain"), alarmed(s.gw2, "split-brain")))
			} else {
				s.wait("alarms", all(alarmed(s.gw1, "no-heartbeat"), alarmed(s.gw2, "no-heartbeat")))
			}
			s.stays("both active", time.Second, all(s.gw1.Is("active"), s.gw2.Is("active")))
			heal := time.Now()
			tt.cut(s, false)
			s.healed(claims, heal, true)
			s.whole()
		})
	}
}

// Both are active, and then the session link alone is back: gw2, the lower, gives
// way to the heartbeat, without a word that would call for a third.
func TestGuardYieldsToAHeartbeat(t *testing.T) {
	s := newScene(t, holdOptions("1m"))
	s.guarded()
	s.load(s.gw1, 10)
	deafBoth(s, true)
	noSync(s, true)
	s.wait("gw2 to be active", s.gw2.Is("active"))
	claims, said := s.claims(), s.adverts()
	heal := time.Now()
	noSync(s, false)
	s.wait("gw2 to give way", s.gw2.Is("backup"))
	s.wait("gw2 to be held", isHeld(s.gw2))
	s.wait("gw1 to announce again", claimed(claims, s.gw1, heal))
	if _, zero := said.of(s.gw2); zero > 0 {
		t.Errorf("gw2 said priority 0, %d times", zero)
	}
	s.stays("one active", time.Second, all(s.gw1.Is("active"), s.gw2.Is("backup")))
	deafBoth(s, false)
	s.wait("the alarms to end", all(quiet(s.gw1), quiet(s.gw2)))
	s.settled(s.gw1)
	s.intact(heal)
	s.whole()
}

// A crash is noticed as soon as without the guard: heartbeats end with the adverts.
func TestGuardHoldAndACrash(t *testing.T) {
	s := newScene(t, holdOptions("1m"))
	s.guarded()
	s.load(s.gw1, 10)
	said := s.adverts()
	cut := s.crash(s.gw1)
	at, _ := said.of(s.gw2)
	if len(at) == 0 {
		t.Fatal("gw2 is active and has not said so")
	}
	// One heartbeat beyond the bound, and wide slack for a busy machine; held it
	// would be a minute.
	if took, bound := at[0].Sub(cut), s.Bound(s.gw2)+unhurried; took > bound+20*time.Second {
		t.Errorf("the first advert of gw2 came %v after the crash, want %v", took, bound)
	}
	s.intact(cut)
	s.whole()
}

// With one segment deaf nobody moves, but both tell.
func TestGuardTellsOfOneSegment(t *testing.T) {
	s := newScene(t, pair.Options{Interval: unhurried})
	s.settle()
	s.wait("heartbeats", all(beating(s.gw1), beating(s.gw2)))
	s.must(s.gw2.Link("lan0").Deafen(vrrpProtocol))
	s.wait("alarms", all(alarmed(s.gw1, "adverts-unheard"), alarmed(s.gw2, "adverts-unheard")))
	s.stays("one active", time.Second, all(s.gw1.Is("active"), s.gw2.Is("backup")))
	for _, g := range s.Gateways {
		if text := detail(s.status(g), "adverts-unheard"); !strings.Contains(text, "lan0") || strings.Contains(text, "wan0") {
			t.Errorf("%s says %q", g.Name, text)
		}
	}
	if out := s.ok(s.gw2, "status"); !strings.Contains(out, "heartbeats of gw1") || !strings.Contains(out, "adverts-unheard") {
		t.Errorf("status for people:\n%s", out)
	}
	s.must(s.gw2.Link("lan0").Undeafen())
	s.wait("the alarms to end", all(quiet(s.gw1), quiet(s.gw2)))
}

// Either process may die, and the heartbeats go on.
func TestHeartbeatsOutliveProcesses(t *testing.T) {
	s := newScene(t, pair.Options{Interval: unhurried})
	s.settle()
	s.wait("heartbeats", all(beating(s.gw1), beating(s.gw2)))
	heard := func() uint64 { return s.status(s.gw2).Guard.Peers[0].Received }
	was := heard()
	s.kill(s.gw1, "daemon")
	s.wait("more heartbeats", func(context.Context) error {
		if n := heard(); n < was+10 {
			return fmt.Errorf("%d, there were %d", n, was)
		}
		return nil
	})
	before := s.kill(s.gw1, "run")
	s.wait("another election", replaced(s.gw1, before, "election"))
	s.settled(s.gw1)
	s.wait("heartbeats", all(beating(s.gw1), beating(s.gw2)))
	if n := s.status(s.gw2).Guard.Peers[0].Drops["replay"]; n > 0 {
		t.Errorf("%d heartbeats of the new election were taken for old ones", n)
	}
}
