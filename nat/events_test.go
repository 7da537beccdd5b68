package nat

import (
	"strings"
	"testing"
)

func TestEventsOfThePlan(t *testing.T) {
	dns := Calls{UDP, UDP, Ports{53, 53}}
	ntp := Calls{UDP, UDP, Ports{123, 123}}
	with := func(e *Events) Plan {
		c := gateway()
		c.Events = e
		return mustNew(t, c)
	}
	a, b := with(&Events{Never: []Calls{ntp, dns}}), with(&Events{Never: []Calls{dns, ntp}})
	if a.String() != b.String() || !Diff(a, b).Empty() {
		t.Errorf("the order counts: %s", Diff(a, b))
	}
	if want := "events needed\nevents never 17-17/53-53\nevents never 17-17/123-123\n"; !strings.HasSuffix(a.String(), want) {
		t.Errorf("%q does not end in %q", a.String(), want)
	}
	for name, other := range map[string]*Events{
		"none": nil, "no lists": {}, "late": {Late: []Calls{dns, ntp}}, "early": {Early: true, Never: []Calls{dns, ntp}},
	} {
		p := with(other)
		if Diff(a, p).Empty() || Diff(p, a).Empty() || a.String() == p.String() {
			t.Errorf("%s: no difference", name)
		}
	}
	if !Diff(with(nil), with(nil)).Empty() {
		t.Error("nil differs from nil")
	}
}
