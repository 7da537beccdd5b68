package e2e

import (
	"strings"
	"testing"
	"time"

	"understudy/appliance/lab/pair"
)

// A gateway comes back, and the switch does not let anything through to one of its
// links yet, though it is up. With adverts every 10 ms it would be Active after
// 35 ms, beside the other one. It leaves that one alone until its links deliver.
func TestReturnWithALinkThatDoesNotDeliverYet(t *testing.T) {
	s := newScene(t, pair.Options{Interval: 10 * time.Millisecond, RouterKeys: `settle = "5s"`})
	s.settle()
	s.load(s.gw1, 10)
	cut := s.crash(s.gw1)
	s.intact(cut)

	s.must(s.gw1.Reboot())
	s.must(s.gw1.Link("wan0").Silence())
	back := time.Now()
	s.must(s.gw1.Start())
	s.wait("gw1 standing by", s.gw1.Is("backup"))
	s.stays("gw1 standing by, gw2 serving", 2*time.Second, all(s.gw1.Is("backup"), s.gw2.Is("active"), holds(s.gw1, false)))
	if log := s.gw1.Output(); strings.Contains(log, `"state":"active"`) {
		t.Error("gw1 was active while its link did not deliver")
	}
	s.intact(back)
	s.must(s.gw1.Link("wan0").Unsilence())
	s.settled(s.gw1)
	s.intact(back)
	s.whole()
}
