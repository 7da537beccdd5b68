package vrrp_test

import (
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"understudy/vrrp"
)

// TestMachineInvariants throws any event at a machine at any time and holds the rules that follow from RFC 9568, 6.4.
func TestMachineInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := vrrp.MachineConfig{
			Version: 3, Priority: rapid.Uint8Range(1, 255).Draw(t, "priority"), Source: self,
			Interval: vrrp.Centis(rapid.Uint16Range(1, 300).Draw(t, "interval")).Duration(),
			Preempt:  rapid.Bool().Draw(t, "preempt"), Grouped: rapid.Bool().Draw(t, "grouped"),
		}
		m := vrrp.NewMachine(cfg)
		c := &machineCheck{t: t, m: m, cfg: cfg, now: epoch}
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			c.step()
		}
	})
}

type machineCheck struct {
	t    *rapid.T
	m    *vrrp.Machine
	cfg  vrrp.MachineConfig
	now  time.Time
	left bool
}

func (c *machineCheck) draw() vrrp.Input {
	t := c.t
	in := vrrp.Input{Event: vrrp.Event(rapid.SampledFrom([]vrrp.Event{
		vrrp.EventStartup, vrrp.EventTick, vrrp.EventTick, vrrp.EventTick, vrrp.EventAdvert, vrrp.EventAdvert, vrrp.EventAdvert,
		vrrp.EventShutdown, vrrp.EventPromote, vrrp.EventYield, vrrp.EventRelease, vrrp.EventAnnounce,
	}).Draw(t, "event"))}
	if rapid.Bool().Draw(t, "on time") && in.Event == vrrp.EventTick && !c.m.Deadline().IsZero() && c.m.Deadline().After(c.now) {
		c.now = c.m.Deadline()
	} else {
		c.now = c.now.Add(time.Duration(rapid.Int64Range(0, int64(2*c.cfg.Interval)).Draw(t, "wait")))
	}
	if in.Event == vrrp.EventAdvert {
		in.Priority = rapid.SampledFrom([]uint8{0, 1, c.cfg.Priority - 1, c.cfg.Priority, c.cfg.Priority + 1, 255}).Draw(t, "rival")
		in.Source = rapid.SampledFrom([]netip.Addr{lower, self, higher}).Draw(t, "source")
		in.Interval = vrrp.Centis(rapid.Uint16Range(1, 4095).Draw(t, "advertised")).Duration()
	}
	return in
}

func (c *machineCheck) step() {
	t, m := c.t, c.m
	before, deadline, ready, learned := m.State(), m.Deadline(), m.Ready(), m.Learned()
	in := c.draw()
	out := m.Step(c.now, in)
	after := m.State()

	if out.From != before || out.To != after {
		t.Fatalf("output says %v -> %v, was %v -> %v", out.From, out.To, before, after)
	}
	c.timers(after)
	c.sending(in, out, before, after)
	if m.Learned() != learned {
		accepted := in.Event == vrrp.EventAdvert && in.Priority != 0 && m.Learned() == in.Interval && in.Source != self
		if startup := before == vrrp.Initialize && m.Learned() == c.cfg.Interval; !accepted && !startup {
			t.Fatalf("learned %v from %+v in %v", m.Learned(), in, before)
		}
	}
	if in.Event == vrrp.EventAdvert && in.Source == self && (before != after || m.Deadline() != deadline) {
		t.Fatalf("own packet changed something: %+v", in)
	}
	switch {
	case before == vrrp.Backup && after == vrrp.Active && in.Event == vrrp.EventTick:
		if c.now.Before(deadline) || c.cfg.Grouped {
			t.Fatalf("active %v before the timer", deadline.Sub(c.now))
		}
	case before == vrrp.Backup && after == vrrp.Active && in.Event != vrrp.EventPromote:
		t.Fatalf("active by %+v", in)
	case before == vrrp.Active && after == vrrp.Backup && in.Event == vrrp.EventAdvert && !c.left:
		better := in.Priority > c.cfg.Priority || (in.Priority == c.cfg.Priority && in.Source.Compare(self) > 0)
		if !better || out.Send {
			t.Fatalf("yielded to %+v, sent %v", in, out.Send)
		}
	}
	if after == vrrp.Active && m.Deadline().IsZero() != (c.left || in.Event == vrrp.EventRelease && before == vrrp.Active) {
		t.Fatalf("Active, leaving %v, next advert %v", c.left, m.Deadline())
	}
	if !ready && m.Ready() && in.Event == vrrp.EventTick && c.now.Before(deadline) {
		t.Fatal("ready before the timer")
	}
	c.left = after == vrrp.Active && (c.left || in.Event == vrrp.EventRelease && before == vrrp.Active)
}

// timers: Backup has Active_Down_Timer (until it ran out), Active has Adver_Timer (unless leaving), Initialize none.
func (c *machineCheck) timers(s vrrp.State) {
	armed := !c.m.Deadline().IsZero()
	switch {
	case s == vrrp.Initialize && armed,
		s == vrrp.Backup && armed == c.m.Ready():
		c.t.Fatalf("%v: timer armed %v, ready %v", s, armed, c.m.Ready())
	}
	if s != vrrp.Backup && c.m.Ready() {
		c.t.Fatalf("%v and ready", s)
	}
	longest := vrrp.ActiveDown(3, c.cfg.Priority, c.m.Learned())
	if s == vrrp.Backup && armed && c.m.Deadline().Sub(c.now) > longest {
		c.t.Fatalf("timer in %v, longest %v", c.m.Deadline().Sub(c.now), longest)
	}
	if s == vrrp.Active && armed && c.m.Deadline().Sub(c.now) > c.cfg.Interval {
		c.t.Fatalf("next advert in %v", c.m.Deadline().Sub(c.now))
	}
}

// sending: only Active advertises; priority 0 marks its end, or that it is leaving, and is said once.
func (c *machineCheck) sending(in vrrp.Input, out vrrp.Output, before, after vrrp.State) {
	switch {
	case !out.Send:
		if before == vrrp.Active && in.Event == vrrp.EventShutdown && !c.left {
			c.t.Fatal("gave up without priority 0")
		}
	case out.Priority == 0:
		over := in.Event == vrrp.EventShutdown || in.Event == vrrp.EventRelease
		if before != vrrp.Active || !over || c.left {
			c.t.Fatalf("priority 0 in %v at %+v", before, in)
		}
	case after != vrrp.Active || out.Priority != c.cfg.Priority || (c.left && before == vrrp.Active):
		c.t.Fatalf("advert of %d in %v -> %v at %+v", out.Priority, before, after, in)
	}
}
