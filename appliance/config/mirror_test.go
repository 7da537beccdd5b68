package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"understudy/nat"
)

// TestMirror: what is copied, and which flows keep their ports for that.
func TestMirror(t *testing.T) {
	const active = `mode = "active"
mirror = "mirror0"
[nat]
source = [{ from = "10.0.0.9/32", out = "wan0", to = "203.0.113.9" }]
`
	c := parse(t, "gw.toml", pairOfRouters+active)
	got := c.NAT()
	want := &nat.Mirror{Link: "mirror0", Data: []string{"lan0", "wan0"}}
	if diff := cmp.Diff(want, got.Mirror); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !got.Sources[0].Keeps {
		t.Error("the one host does not keep its ports")
	}
	plain := parse(t, "gw.toml", pairOfRouters+active[len("mode = \"active\"\nmirror = \"mirror0\"\n"):])
	if m := plain.NAT(); m.Mirror != nil || m.Sources[0].Keeps {
		t.Errorf("without the mode: %+v", m)
	}
	if plain.Hash() == c.Hash() {
		t.Error("a node that copies agrees with one that does not")
	}
}
