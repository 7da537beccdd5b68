package config

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"understudy/health"
)

// Which things are tracked of a bond, written in each way.
func TestTrackedBonds(t *testing.T) {
	const head = "node = \"gw1\"\n[[router]]\nname = \"lan\"\ninterface = \"bond0\"\nvrid = 51\naddresses = [\"10.0.0.1/24\"]\n"
	bond := health.Source{Kind: health.KindBond, Name: "bond0"}
	for _, tt := range []struct {
		name, track, table string
		want               []health.Track
	}{
		{"bare, though a router is on it", `track = ["bond0"]`, "", []health.Track{{Source: bond}}},
		{"with what a member weighs", `track = ["bond:bond0"]`, "weight_per_member = -20", []health.Track{{Source: bond}, {Source: bond, Weight: -20}}},
		{"its own weight alone", `track = ["bond0:-30"]`, "weight_per_member = -20", []health.Track{{Source: bond, Weight: -30}}},
		{"not tracked", ``, "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := parse(t, "x.toml", head+tt.track+"\n[[bond]]\nname = \"bond0\"\n"+tt.table+"\n")
			h := c.Health()
			if diff := cmp.Diff(tt.want, h.Groups[0].Routers[0].Track); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if !slices.ContainsFunc(h.Sources, func(s health.SourceConfig) bool { return s.Source == bond && s.Counts && s.UpAfter == time.Second }) {
				t.Errorf("sources: %+v", h.Sources)
			}
			if _, err := health.NewTracker(time.Now(), h); err != nil {
				t.Error(err)
			}
			// The election does not look at it: a bond is the daemon's.
			if track := c.Election().Routers[0].Track; len(track) > 0 {
				t.Errorf("the election tracks %q", track)
			}
			if tracked := tt.track != ""; (c.WordBound() >= bondGrace) != tracked {
				t.Errorf("the first word may take %v", c.WordBound())
			}
		})
	}
}
