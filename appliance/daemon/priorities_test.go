package daemon

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"understudy/appliance/config"
	"understudy/vrrp"
)

// A change of priority is a line for each router that asks for it, in the states that keepalived has a word for.
func TestPriorityLines(t *testing.T) {
	cfg := &config.Config{
		Routers: []config.Router{{Name: "a", Family: 4, Priority: 100, TellPriority: true}, {Name: "a", Family: 6, Priority: 100, TellPriority: true},
			{Name: "b", Priority: 150}, {Name: "c", Priority: 254, TellPriority: true}},
		Groups: []config.Group{{Name: "gw", Routers: []string{"a", "b", "c"}}},
	}
	var p priorities
	both := []string{`INSTANCE "a" MASTER_PRIORITY 90`, `INSTANCE "c" MASTER_PRIORITY 244`}
	for _, tc := range []struct {
		name        string
		state       vrrp.State
		told        bool
		was, weight int
		want        []string
	}{
		{"nothing was told of it yet", 0, false, 0, -10, nil},
		{"stands by", vrrp.Backup, true, 0, 10, []string{`INSTANCE "a" BACKUP_PRIORITY 110`}}, // c cannot have more
		{"active", vrrp.Active, true, 0, -10, both},
		{"the same", vrrp.Active, true, -10, -10, nil},
		{"in fault", vrrp.Fault, true, 0, -10, nil},
		{"has ended", vrrp.Initialize, true, 0, -10, nil},
	} {
		if tc.told {
			p.note("gw", tc.state)
		}
		if d := cmp.Diff(tc.want, p.lines(cfg, "gw", tc.was, tc.weight)); d != "" {
			t.Errorf("%s: %s", tc.name, d)
		}
	}
	if got := p.lines(cfg, "gone", 0, 1); got != nil {
		t.Errorf("of no group: %v", got)
	}
}
