//go:build guest

package bonds

import (
	"fmt"
	"testing"
	"time"

	"understudy/appliance"
	"understudy/lacp"
)

// links is how many the gateway's aggregate has.
const links = 4

// peers are what may be at the other end of the gateway's bond.
var peers = []struct {
	name string
	make func(s *scene, fast bool)
}{
	{"actor", (*scene).ours},
	{"kernel", (*scene).kernel},
	{"teamd", (*scene).teamd},
}

// The gateway's uplink is a bond of the kernel, at the other end is each kind of peer.
// Whatever happens to a link is found, with its evidence; the priority follows, and so
// do, as configured, the role and the traffic; and all of it passes.
func TestGuestBond(t *testing.T) {
	t.Parallel()
	for _, p := range peers {
		t.Run(p.name+" fast", func(t *testing.T) {
			t.Parallel()
			s := newScene(t, links, "bond0")
			s.bonded(true)
			p.make(s, true)
			s.start(s.gw.weigh(-20))
			s.step("comes up", func() { s.comesUp(system, true) })
			if p.name == "actor" {
				s.step("other frames", s.ignoresOtherFrames)
			}
			// One lost member is enough for the other gateway to serve.
			for i, tr := range []trouble{pulled, recabled, rekeyed} {
				s.step(tr.name, func() { s.strike(-20, hit{tr, i + 1}) })
			}
			s.step("partners not heard", func() {
				begun, found := s.strike(-20, on(silent, unheard, unhearing)...)
				s.inTime(begun, found[0], true)
				s.inTime(begun, found[2], true)
			})
			s.step("losses that weigh little", func() {
				s.reload(s.gw.weigh(-1))
				s.strike(-1, on(pulled, recabled, rekeyed)...)
			})
			s.step("too few links", s.breaksMinLinks)
			if p.name == "actor" {
				s.step("a flood", s.survivesAFlood)
			}
		})
		t.Run(p.name+" slow", func(t *testing.T) {
			t.Parallel()
			s := newScene(t, links, "bond0")
			s.bonded(false)
			p.make(s, false)
			s.start(s.gw.weigh(-1))
			s.step("comes up", func() { s.comesUp(system, false) })
			s.step("partners not heard", func() {
				begun, found := s.strike(-1, on(silent, unheard, unhearing)...)
				s.inTime(begun, found[0], false)
				s.inTime(begun, found[2], false)
			})
		})
	}
}

// step is one part of a test. What comes after one that failed would tell nothing.
func (s *scene) step(name string, fn func()) {
	s.t.Helper()
	whole := s.t
	ok := whole.Run(name, func(t *testing.T) { s.t = t; fn() })
	if s.t = whole; !ok {
		whole.FailNow()
	}
}

// comesUp waits for the aggregate, and for the gateway to serve by all of its links.
func (s *scene) comesUp(far lacp.MAC, fast bool) {
	s.t.Helper()
	since := time.Now()
	s.until("the aggregate", aggregate("ok", s.links), weighs(priority), clean, func(st appliance.Status) error {
		for _, m := range st.Bonds[0].Members {
			if m.PartnerSystem != far.String() || !m.Synchronized || m.Receive != "current" || m.Received == 0 || m.Sent == 0 {
				return fmt.Errorf("%+v", m)
			}
		}
		return nil
	})
	s.serves(priority, since, names(port, s.links))
	if a, ok := s.peer.(*actors); ok {
		for i, end := range a.ends {
			end.Look(func(a *lacp.Actor) {
				// The far end agrees, and each asks for the rate that it was told to.
				if p := a.Port(0); !p.Carries() || p.Partner.State.Has(lacp.Timeout) != fast || p.Actor.State.Has(lacp.Timeout) != fast {
					s.t.Errorf("%s: %+v", port(i), p)
				}
			})
		}
	}
}

// inTime holds what a silent partner was found to be, expired and then defaulted,
// against the standard's times: its last PDU may have been up to a period old when it
// fell silent.
func (s *scene) inTime(begun time.Time, f found, fast bool) {
	s.t.Helper()
	timeout, period := lacp.LongTimeout, lacp.SlowPeriodic
	if fast {
		timeout, period = lacp.ShortTimeout, lacp.FastPeriodic
	}
	const slack, early = 20 * time.Second, time.Second // of an emulated machine
	if d := f[0].Time.Sub(begun); d < timeout-period-early || d > timeout+slack {
		s.t.Errorf("expired after %v, not about %v", d, timeout)
	}
	if d := f[1].Time.Sub(f[0].Time); d < lacp.ShortTimeout-early || d > lacp.ShortTimeout+slack {
		s.t.Errorf("defaulted %v later, not %v", d, lacp.ShortTimeout)
	}
	s.t.Logf("expired %v after the last one may have come, defaulted %v later", f[0].Time.Sub(begun).Round(time.Millisecond), f[1].Time.Sub(f[0].Time).Round(time.Millisecond))
}

// breaksMinLinks has the aggregate need all of its links, without a weight: one that is
// lost is a fault.
func (s *scene) breaksMinLinks() {
	s.t.Helper()
	s.reload(tracks{s.gw.uplink, fmt.Sprintf("min_links = %d\nweight_per_member = -20\n", s.links)})
	since := time.Now()
	pulled.begin(s, 1)
	s.until("the fault", role("fault"), aggregate("failed", s.links-1), func(st appliance.Status) error {
		f, ok := find(st, "below_min_links", "")
		if want := fmt.Sprintf("%d of %d members carry, %d have to; not %s", s.links-1, s.links, s.links, eth(1)); !ok || f.Detail[:min(len(want), len(f.Detail))] != want {
			return fmt.Errorf("it has %+v, not %q", st.Bonds[0].Findings, want)
		}
		return nil
	})
	s.untilOf(s.gw2, "the other gateway to serve", role("active"))
	s.net.advertised("gw2", priority2, priority2, since)
	s.net.passes("gw2", "w0")
	since = time.Now()
	pulled.end(s, 1)
	s.until("the end of it", role("active"), weighs(priority), clean)
	s.serves(priority, since, names(port, s.links))
}
