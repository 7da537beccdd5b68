package witness

import (
	"slices"
	"strings"
	"testing"
	"time"

	"understudy/vrrp"
)

func TestPairHearsEachOther(t *testing.T) {
	p, a, b := settled(t, ModeAlarm, nil)
	for _, n := range p.node {
		s := n.guard.Snapshot(p.now).Peers[0]
		if s.Received < 10 || s.Unproven > 3 || p.now.Sub(s.Last) > beatEvery || s.Interval != beatEvery || s.Neighbour != NeighbourUp {
			t.Errorf("%s: %+v", testName(n.id), s)
		}
		for _, r := range n.took {
			if r != ReasonNone {
				t.Errorf("%s refused one: %v", testName(n.id), r)
			}
		}
	}
	at := a.guard.Snapshot(p.now).Peers[0].Groups[0]
	bt := b.guard.Snapshot(p.now).Peers[0].Groups[0]
	if at.State != vrrp.Backup || bt.State != vrrp.Active || bt.Term != a.set.Group(0).Term {
		t.Errorf("a says %+v, b says %+v", bt, at)
	}
	for i, r := range at.Routers {
		if !r.Hears || r.Heard || r.Priority != 100 || r.Interface != []string{"lanb", "wanb"}[i] {
			t.Errorf("b says of its routers %+v", at.Routers)
		}
	}
	for _, r := range bt.Routers {
		if r.Hears || !r.Heard || r.Priority != 200 {
			t.Errorf("a says of its routers %+v", bt.Routers)
		}
	}
}

// The rows of what is heard where, with what follows in each mode.
func TestSplits(t *testing.T) {
	type cut func(p *pair, on bool)
	lan := func(node int) cut { return func(p *pair, on bool) { p.deaf[node] = [2]bool{on, p.deaf[node][1]} } }
	all := func(nodes ...int) cut {
		return func(p *pair, on bool) {
			for _, n := range nodes {
				p.deaf[n] = [2]bool{on, on}
			}
		}
	}
	mute := func(p *pair, on bool) { p.mute = [2]bool{on, on} }
	for _, tt := range []struct {
		name         string
		mode         Mode
		cuts         []cut
		b            vrrp.State // after 1.5 s
		findA, findB []Kind
		late         vrrp.State // of b after 3 s: the limit is over
		lateA, lateB []Kind
	}{
		{"alarm, one segment", ModeAlarm, []cut{lan(0), lan(1)}, vrrp.Backup, []Kind{KindUnheard}, []Kind{KindUnheard}, vrrp.Backup, []Kind{KindUnheard}, []Kind{KindUnheard}},
		{"alarm, both, both ways", ModeAlarm, []cut{all(0, 1)}, vrrp.Active, []Kind{KindSplitBrain}, []Kind{KindSplitBrain}, vrrp.Active, []Kind{KindSplitBrain}, []Kind{KindSplitBrain}},
		{"alarm, b is deaf", ModeAlarm, []cut{all(1)}, vrrp.Active, []Kind{KindSplitBrain}, []Kind{KindSplitBrain}, vrrp.Active, []Kind{KindSplitBrain}, []Kind{KindSplitBrain}},
		{"alarm, a is deaf: nothing happens", ModeAlarm, []cut{all(0)}, vrrp.Backup, nil, nil, vrrp.Backup, nil, nil},
		{"alarm, everything", ModeAlarm, []cut{all(0, 1), mute}, vrrp.Active, nil, nil, vrrp.Active, nil, nil},
		{"alarm, heartbeats alone", ModeAlarm, []cut{mute}, vrrp.Backup, nil, nil, vrrp.Backup, nil, nil},
		{"alarm, b is deaf and there are no heartbeats", ModeAlarm, []cut{all(1), mute}, vrrp.Active, []Kind{KindSplitBrain}, nil, vrrp.Active, []Kind{KindSplitBrain}, nil},
		{"off, b is deaf", ModeOff, []cut{all(1)}, vrrp.Active, nil, nil, vrrp.Active, nil, nil},
		{"hold, both, both ways", ModeHold, []cut{all(0, 1)}, vrrp.Backup, []Kind{KindUnheard}, []Kind{KindUnheard}, vrrp.Active, []Kind{KindSplitBrain}, []Kind{KindSplitBrain}},
		{"hold, b is deaf", ModeHold, []cut{all(1)}, vrrp.Backup, []Kind{KindUnheard}, []Kind{KindUnheard}, vrrp.Active, []Kind{KindSplitBrain}, []Kind{KindSplitBrain}},
		{"hold, everything", ModeHold, []cut{all(0, 1), mute}, vrrp.Active, nil, nil, vrrp.Active, []Kind{KindNoHeartbeat}, []Kind{KindNoHeartbeat}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, a, b := settled(t, tt.mode, func(_ int, c *vrrp.SetConfig) {
				if tt.mode == ModeHold {
					c.HoldLimit = testLimit
				}
			})
			for _, c := range tt.cuts {
				c(p, true)
			}
			p.run(1500 * time.Millisecond)
			a.is(vrrp.Active, "cut")
			b.is(tt.b, "cut")
			a.found("cut", tt.findA...)
			b.found("cut", tt.findB...)
			p.run(2 * time.Second)
			b.is(tt.late, "cut for long")
			a.found("cut for long", tt.lateA...)
			b.found("cut for long", tt.lateB...)
			for _, c := range tt.cuts {
				c(p, false)
			}
			p.run(5 * time.Second)
			a.is(vrrp.Active, "healed")
			b.is(vrrp.Backup, "healed")
			a.found("healed")
			b.found("healed")
			if want := tt.late == vrrp.Active && tt.mode != ModeOff; want != (len(a.again) > 0) || len(b.again) > 0 {
				t.Errorf("announced again: a %v, b %v", a.again, b.again)
			}
		})
	}
}

// Two Actives of which one has the better claim: after the session link is back, with hold, the lower yields to the
// heartbeat, and within the limit there is one Active. With alarm both stay, as RFC 9568 says.
func TestTwoActivesMeetByHeartbeat(t *testing.T) {
	for mode, want := range map[Mode]vrrp.State{ModeAlarm: vrrp.Active, ModeHold: vrrp.Backup} {
		p, a, b := settled(t, mode, func(_ int, c *vrrp.SetConfig) { c.HoldLimit = testLimit })
		if mode == ModeAlarm {
			p, a, b = settled(t, mode, nil)
		}
		p.deaf, p.mute = [2][2]bool{{true, true}, {true, true}}, [2]bool{true, true}
		p.run(2 * time.Second)
		b.is(vrrp.Active, "everything is cut")
		p.mute = [2]bool{}
		p.run(time.Second)
		a.is(vrrp.Active, "the better")
		b.is(want, string(mode))
		if mode == ModeHold {
			if !slices.Contains(b.moves, "backup witness") || len(a.again) == 0 {
				t.Errorf("b was %v; a announced %v again", b.moves, a.again)
			}
			p.run(testLimit)
			b.is(vrrp.Active, "the limit is over")
			p.run(testLimit)
			b.is(vrrp.Active, "it does not yield for a second time")
			if n := len(slices.DeleteFunc(slices.Clone(b.moves), func(m string) bool { return !strings.HasPrefix(m, "active") })); n != 2 {
				t.Errorf("b was active %d times: %v", n, b.moves)
			}
		}
	}
}

// A neighbour that the peer does not hear, or of which it says nothing, is no reason to hold.
func TestHoldNeedsTheNeighbour(t *testing.T) {
	for _, n := range []Neighbour{NeighbourUnknown, NeighbourDown} {
		p, a, b := settled(t, ModeHold, func(_ int, c *vrrp.SetConfig) { c.HoldLimit = testLimit })
		a.guard.SetNeighbour(n)
		p.deaf[1] = [2]bool{true, true}
		p.run(600 * time.Millisecond)
		b.is(vrrp.Active, "neighbour "+n.String())
	}
}

// Crash of the Active: with and without hold, the other takes over at the same moment.
func TestCrashWithHold(t *testing.T) {
	var took [2]time.Duration
	for i, mode := range []Mode{ModeAlarm, ModeHold} {
		p, _, b := settled(t, mode, func(_ int, c *vrrp.SetConfig) {
			if mode == ModeHold {
				c.HoldLimit = testLimit
			}
		})
		crash := p.now
		p.node[0] = nil
		for b.set.Group(0).State != vrrp.Active && p.now.Sub(crash) < time.Second {
			p.run(time.Millisecond)
		}
		b.is(vrrp.Active, "after the crash")
		took[i] = p.now.Sub(crash)
	}
	if took[0] != took[1] {
		t.Errorf("%v without hold, %v with", took[0], took[1])
	}
}

// What is refused all the time while we are Active is a peer that does not fit; a stray packet is not.
func TestIncompatible(t *testing.T) {
	version := func(i int, c *vrrp.SetConfig) {
		for r := range c.Routers {
			c.Routers[r].Interval, c.Routers[r].Version = time.Second, uint8(3-i)
		}
	}
	checksum := func(i int, c *vrrp.SetConfig) {
		for r := range c.Routers {
			c.Routers[r].Checksum = vrrp.ChecksumRFC9568
			if i == 1 {
				c.Routers[r].Checksum = vrrp.ChecksumRFC5798
			}
		}
	}
	t.Run("version", func(t *testing.T) {
		p := newPair(t, ModeAlarm, version)
		p.run(20 * time.Second)
		for _, n := range p.node {
			n.is(vrrp.Active, "of another version")
			n.found("of another version", KindSplitBrain, KindIncompatible)
			if f := n.guard.Findings(); !strings.Contains(f[len(f)-1].Detail, "version") {
				t.Errorf("findings: %+v", f)
			}
			if n.guard.Findings()[0].Peer != testName(1-n.id) {
				t.Errorf("of nobody: %+v", n.guard.Findings())
			}
		}
	})
	t.Run("without heartbeats", func(t *testing.T) {
		p := newPair(t, ModeAlarm, version)
		p.mute = [2]bool{true, true}
		p.run(20 * time.Second)
		for _, n := range p.node {
			n.found("of another version", KindIncompatible)
		}
		p.node[1] = nil
		p.run(20 * time.Second)
		p.node[0].found("the other is gone")
	})
	t.Run("one that refuses our checksum", func(t *testing.T) {
		p := newPair(t, ModeAlarm, checksum)
		p.deaf[1] = [2]bool{true, true} // our nodes understand both, keepalived does not
		p.mute = [2]bool{true, true}
		p.run(5 * time.Second)
		p.node[0].found("it does not yield", KindSplitBrain, KindIncompatible)
		p.deaf[1] = [2]bool{}
		p.run(5 * time.Second)
		p.node[0].found("it does")
	})
	t.Run("a stray packet", func(t *testing.T) {
		p, a, _ := settled(t, ModeAlarm, nil)
		for range 2 {
			a.guard.Refused(p.now, 0, a.set.Source(0), vrrp.ReasonChecksum)
			p.run(200 * time.Millisecond)
		}
		a.found("twice")
	})
}

// A rival that comes and goes does not make us announce all the time.
func TestReclaimIsRateLimited(t *testing.T) {
	p, a, _ := settled(t, ModeAlarm, nil)
	p.mute = [2]bool{true, true}
	adv := vrrp.Advert{Version: 3, VRID: 51, Priority: 1, Interval: 10 * time.Millisecond}
	for range 100 {
		a.guard.Heard(p.now, a.set, 0, testRogue, &adv)
		p.run(100 * time.Millisecond)
	}
	if n := len(a.again); n < 5 || n > 11 {
		t.Errorf("announced %d times in 10 s", n)
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	p, a, b := settled(t, ModeHold, func(_ int, c *vrrp.SetConfig) { c.HoldLimit = testLimit })
	buf := make([]byte, 0, MaxSize)
	if n := testing.AllocsPerRun(200, func() {
		p.now = p.now.Add(beatEvery)
		for _, n := range []*testNode{a, b} {
			packet, _ := n.guard.Append(p.now, 0, n.set, buf)
			to := p.node[1-n.id]
			if r := to.guard.Receive(p.now, p.now, packet); r != ReasonNone {
				t.Fatal(r)
			}
			for i := range to.guard.Said() {
				if in, ok := to.guard.Vouch(i); ok {
					to.set.Step(p.now, in)
				}
			}
			to.guard.Judge(p.now, to.set)
		}
	}); n > 0 {
		t.Errorf("%v allocations in a round", n)
	}
}
