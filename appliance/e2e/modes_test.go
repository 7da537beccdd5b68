package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"understudy/appliance/lab/pair"
)

// reload gives the gateway other keys of [sessions].
func (s *scene) reload(g *pair.Gateway, keys string) {
	s.t.Helper()
	c := strings.Replace(g.Config(), "mode = \"incremental\"\n", keys+"\n", 1)
	s.must(g.WriteFile(configPath, []byte(c), 0o644))
	s.ok(g, "reload")
}

// A standby that installs at a takeover has nothing in its kernel before it, and loses
// nothing by that. It is told so by a reload.
func TestInstallAtTakeover(t *testing.T) {
	s := newScene(t, pair.Options{})
	s.settle()
	s.reload(s.gw2, `install = "takeover"`)
	var err error
	s.traffic, err = s.StartTraffic(s.within(patience), pair.TrafficOptions{Connections: 40})
	s.must(err)
	s.must(s.traffic.Translated())
	s.wait("the standby to know every flow", func(context.Context) error {
		st := s.status(s.gw2).Sessions
		if st.Foreign < s.traffic.Total() || !st.InSync || st.Mode != "hybrid" || st.Install != "takeover" {
			return fmt.Errorf("%d of %d: %+v", st.Foreign, s.traffic.Total(), st)
		}
		return nil
	})
	if n := len(natted(s.table(s.gw2))); n != 0 {
		t.Errorf("%d flows are in the standby's kernel", n)
	}
	cut := s.crash(s.gw1)
	s.intact(cut)
	if took := s.status(s.gw2).Sessions.LastTakeover; took == nil || took.Installed < s.traffic.Total() || took.Outlived != 0 {
		t.Errorf("the last takeover was %+v, want %d installed", took, s.traffic.Total())
	}
	s.whole()
}

// A reload takes a gateway from mode to mode under load: nothing is lost by the change,
// nor by a hand-over in that mode, whatever it holds back.
func TestReloadChangesTheMode(t *testing.T) {
	for _, keys := range []string{
		"mode = \"leader-follower\"",
		"mode = \"periodic\"\nevery = \"10m\"",
		"mode = \"log-dependency\"\nbatch = 60000",
		"mode = \"log-optimistic\"\nevery = \"1m\"\nbatch = 60000",
	} {
		mode := strings.Split(keys, "\"")[1]
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, pair.Options{})
			s.settle()
			s.reload(s.gw1, keys)
			if st := s.status(s.gw1).Sessions; st.Mode != mode || st.Ack == "" {
				t.Errorf("status says %+v", st)
			}
			var err error
			s.traffic, err = s.StartTraffic(s.within(patience), pair.TrafficOptions{Connections: 20})
			s.must(err)
			s.must(s.traffic.Translated())
			for _, a := range s.status(s.gw1).Alarms {
				if a.Name == "lag" {
					t.Errorf("a lag that the mode brings with it is an alarm: %+v", a)
				}
			}
			asked := time.Now()
			s.ok(s.gw1, "failover")
			s.settled(s.gw2)
			s.intact(asked)
			s.whole()
		})
	}
}
