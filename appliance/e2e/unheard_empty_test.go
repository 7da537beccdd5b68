package e2e

import (
	"testing"
	"time"

	"understudy/appliance/lab/pair"
)

// As before, but gw1 has won before it heard of a single session: what it does
// not know is no reason for gw2 to forget it.
func TestReturnBeforeAnySessionArrived(t *testing.T) {
	s := newScene(t, pair.Options{})
	s.settle()
	s.load(s.gw1, 20)
	s.intact(s.crash(s.gw1))
	back := time.Now()
	s.must(s.gw1.Reboot())
	s.must(s.gw1.Link("sync0").Unplug())
	s.silence(s.gw1, true)
	s.must(s.gw1.Start())
	s.wait("gw1 to be active on its own", s.gw1.Is("active"))
	s.silence(s.gw1, false)
	s.wait("gw2 to stand by", s.gw2.Is("backup"))
	s.must(s.gw1.Link("sync0").Plug())
	s.settled(s.gw1)
	// For a moment gw1 serves without the sessions. An answer of the server to a datagram that
	// came by gw2 may be the first that gw1 sees of that flow: to it the server has begun one,
	// and what comes from outside then is another, by another port.
	s.intactBut(back, "udp_in")
	s.whole()
}
