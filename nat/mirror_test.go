package nat

import (
	"strings"
	"testing"
)

func TestMirrorOfThePlan(t *testing.T) {
	with := func(m *Mirror) Config { c := gateway(); c.Mirror = m; return c }
	a := mustNew(t, with(&Mirror{"mir0", []string{"wan0", "lan0", "wan0"}}))
	b := mustNew(t, with(&Mirror{"mir0", []string{"lan0", "wan0"}}))
	if a.String() != b.String() || !Diff(a, b).Empty() || !strings.Contains(a.String(), "mirror mir0 of lan0 wan0\n") {
		t.Errorf("%s\n%s", a, Diff(a, b))
	}
	none := mustNew(t, with(nil))
	if Diff(a, none).Empty() || Diff(none, a).Empty() {
		t.Error("no difference to none")
	}
	for want, m := range map[string]*Mirror{
		"copies nothing":         {"mir0", nil},
		"would copy its own":     {"lan0", []string{"lan0"}},
		"missing":                {"", []string{"lan0"}},
		"cannot be an interface": {"mir0", []string{"a b"}},
	} {
		if ps := Check(with(m)); len(ps) == 0 || !strings.Contains(ps[len(ps)-1].Reason, want) && !strings.Contains(ps[0].Reason, want) {
			t.Errorf("%v: %v, want %q", m, ps, want)
		}
	}
	c := gateway()
	c.Sources[1].Keeps = true
	if Diff(mustNew(t, gateway()), mustNew(t, c)).Sources.Empty() {
		t.Error("kept ports are no difference")
	}
}
