package e2e

import (
	"testing"
	"time"

	"understudy/appliance/lab/pair"
)

// silence cuts a gateway off from the others' adverts, and lifts that again;
// nothing of it shows in the carrier.
func (s *scene) silence(g *pair.Gateway, on bool) {
	s.t.Helper()
	for _, name := range []string{"lan0", "wan0"} {
		if on {
			s.must(g.Link(name).Silence())
		} else {
			s.must(g.Link(name).Unsilence())
		}
	}
}

// gw1 boots, hears nobody, and becomes active, as a gateway does that starts
// beside one too busy to advertise in time. When they hear each other gw1 wins;
// the sessions, which gw2 had, must not be the price.
func TestReturnWithoutHearingTheOther(t *testing.T) {
	s := newScene(t, pair.Options{})
	s.settle()
	s.load(s.gw1, 20)
	s.intact(s.crash(s.gw1))
	back := time.Now()
	s.must(s.gw1.Reboot())
	s.silence(s.gw1, true)
	s.must(s.gw1.Start())
	s.wait("gw1 to be active on its own", s.gw1.Is("active"))
	s.wait("the session link", s.gw1.InSync)
	s.wait("gw2 to be active still", s.gw2.Is("active"))
	s.silence(s.gw1, false)
	s.settled(s.gw1)
	s.intact(back)
	s.whole()
}
