package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"understudy/appliance/lab/capture"
	"understudy/appliance/lab/pair"
)

// Both gateways see all packets, and one of them lets them out. A crash leaves nothing to
// install, and what began in the moment before it goes on.
func TestActiveReplication(t *testing.T) {
	s := newScene(t, pair.Options{})
	copies, err := s.Net.Segment("copies")
	s.must(err)
	for _, g := range s.Gateways {
		_, err := g.Join(copies, "mir0")
		s.must(err)
	}
	s.settle()
	for _, g := range s.Gateways {
		c := strings.Replace(g.Config(), "mode = \"incremental\"\n", "mode = \"active\"\nmirror = \"mir0\"\n", 1)
		c = strings.Replace(c, fmt.Sprintf("from = %q", pair.InsideNet), fmt.Sprintf("from = \"%s/32\"", pair.InsideHost), 1)
		s.must(g.WriteFile(configPath, []byte(c), 0o644))
		s.ok(g, "reload")
	}
	s.settled(s.gw1)
	var wires []*capture.Capture
	for _, seg := range []capture.Segment{s.LAN, s.WAN} {
		w, err := capture.Start(seg, capture.Options{Keep: func(f capture.Frame) bool {
			p := capture.Decode(f.Data)
			// What its kernel says by itself, of its links: all flows are of IPv4.
			own := p.Kind == capture.ARP || p.Kind == capture.VRRP || p.Src.Is6() && p.Dst.IsMulticast()
			return f.From == "gw2" && !own
		}})
		s.must(err)
		defer w.Stop()
		wires = append(wires, w)
	}
	s.load(s.gw1, 40)
	s.wait("the standby to count copies", func(context.Context) error {
		st := s.status(s.gw2)
		if m := st.NAT.Mirror; m == nil || m.Taken == 0 || m.KeptIn == 0 || st.Sessions.Mode != "active" {
			return fmt.Errorf("it says %+v of copies, mode %q", m, st.Sessions.Mode)
		}
		return nil
	})
	for _, w := range wires {
		s.must(w.Stop())
		for _, f := range w.Frames() {
			t.Errorf("the standby sends %v", f)
		}
	}
	cut := s.crash(s.gw1)
	s.intact(cut)
	if took := s.status(s.gw2).Sessions.LastTakeover; took == nil || took.Installed != 0 {
		t.Errorf("the last takeover was %+v, want none installed", took)
	}
	s.whole()

	s.must(s.gw2.Link("mir0").Down())
	s.wait("an alarm", func(context.Context) error {
		for _, a := range s.status(s.gw2).Alarms {
			if a.Name == "mirror-down" {
				return nil
			}
		}
		return fmt.Errorf("%+v", s.status(s.gw2).Alarms)
	})
}
