package pair_test

import (
	"strings"
	"testing"

	"understudy/appliance/config"
	"understudy/appliance/lab/pair"
)

// What the laboratory writes is what the program reads.
func TestConfigIsValid(t *testing.T) {
	for _, tc := range []struct {
		name             string
		opt              pair.Options
		mapped, sessions bool
	}{
		{"whole", pair.Options{}, true, true},
		{"without sessions", pair.Options{NoSessions: true}, true, false},
		{"routed, without sessions", pair.Options{NoNAT: true, NoSessions: true}, false, false},
		{"unicast", pair.Options{Unicast: true}, true, true},
		{"with a journal", pair.Options{Journal: "always", Disk: "/nowhere"}, true, true},
		{"both see all packets", pair.Options{Mode: "active"}, true, true},
		{"with more keys", pair.Options{RouterKeys: "preempt = false"}, true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := pair.NewT(t, tc.opt)
			if copies := tc.opt.Mode == "active"; (p.Mirror != nil) != copies || (p.Gateways[0].Link(pair.MirrorLink) != nil) != copies {
				t.Errorf("a segment for copies: %v", p.Mirror)
			}
			for _, g := range p.Gateways {
				c, err := config.Parse("understudy.toml", []byte(g.Config()), config.Options{})
				if err != nil {
					t.Fatalf("%v\n%s", err, g.Config())
				}
				if c.Node != g.Name || len(c.Routers) != 2 || (c.Mappings != nil) != tc.mapped || (c.Sessions != nil) != tc.sessions {
					t.Errorf("%s was read as %+v", g.Name, c)
				}
				if want := !strings.Contains(tc.opt.RouterKeys, "false"); c.Routers[0].Preempt != want {
					t.Errorf("preempt is %v, want %v", c.Routers[0].Preempt, want)
				}
			}
		})
	}
}
