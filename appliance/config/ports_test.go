package config

import (
	"strings"
	"testing"

	"understudy/nat"
)

const translating = `
[nat]
source = [{ from = "10.0.0.0/24", out = "wan0", to = "203.0.113.1", ports = "split" }]
`

// other is the file of the other node.
func other(src string) string {
	return strings.NewReplacer(`node = "gw1"`, `node = "gw2"`, `name = "gw2", address = "10.255.0.2`, `name = "gw1", address = "10.255.0.1`,
		`listen = "10.255.0.1`, `listen = "10.255.0.2`).Replace(src)
}

// TestSplitPorts: each node has its part by the order of names, all guard the whole,
// and they agree.
func TestSplitPorts(t *testing.T) {
	src := pairOfRouters + translating
	one, two := parse(t, "gw1.toml", src), parse(t, "gw2.toml", other(src))
	a, b := one.NAT().Sources[0], two.NAT().Sources[0]
	pool := nat.DefaultPorts()
	if a.Ports != pool.Part(0, 2) || b.Ports != pool.Part(1, 2) || a.Pool != pool || b.Pool != pool {
		t.Errorf("gw1 %v of %v, gw2 %v of %v", a.Ports, a.Pool, b.Ports, b.Pool)
	}
	if one.Hash() != two.Hash() {
		t.Errorf("they do not agree:\n%s\n%s", one.Agreement(), two.Agreement())
	}
	shared := parse(t, "gw1.toml", strings.Replace(src, `"split"`, `"shared"`, 1))
	if shared.Hash() == one.Hash() {
		t.Error("one that shares agrees with one that splits")
	}
	if s := shared.NAT().Sources[0]; s.Ports != (nat.Ports{}) || s.Pool != (nat.Ports{}) {
		t.Errorf("shared: %v of %v", s.Ports, s.Pool)
	}
	three := parse(t, "gw1.toml", strings.Replace(src, `7788" }]`, `7788" }, { name = "gw0", address = "10.255.0.3:7788" }]`, 1))
	if s := three.NAT().Sources[0]; s.Ports != pool.Part(1, 3) {
		t.Errorf("of three, the one in the middle: %v", s.Ports)
	}
	virtual := parse(t, "gw1.toml", strings.Replace(src, "vrid = 52", "mac = \"virtual\"\nvrid = 52", 1))
	if ss := virtual.NAT().Sources; len(ss) != 2 || ss[1].Ports != pool.Part(0, 2) || ss[1].Out == "wan0" {
		t.Errorf("by the device too: %v", ss)
	}
}

// TestEventsOfTheFile: which events are needed follows from the classes, where
// something is translated or the file insists.
func TestEventsOfTheFile(t *testing.T) {
	classes := "[[sessions.class]]\nprotocol = \"udp\"\nports = [\"53\"]\nreplicate = false\n[[sessions.class]]\nprotocol = \"udp\"\nmin_age = \"3s\"\n"
	for _, tt := range []struct {
		name, src string
		want      string // nil, or how many boxes never, late
	}{
		{"translated", pairOfRouters + classes + translating, "1 2"},
		{"routed only", pairOfRouters + classes, "nil"},
		{"routed only, but asked for", pairOfRouters + "filter = \"on\"\n" + classes, "1 2"},
		{"off", pairOfRouters + "filter = \"off\"\n" + classes + translating, "nil"},
		{"no classes", pairOfRouters + translating, "0 0"},
		{"no sessions", strings.Split(pairOfRouters, "[sessions]")[0] + strings.Replace(translating, `, ports = "split"`, "", 1), "nil"},
	} {
		e := parse(t, "gw.toml", tt.src).NAT().Events
		got := "nil"
		if e != nil {
			got = string(rune('0'+len(e.Never))) + " " + string(rune('0'+len(e.Late)))
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s: %v", tt.name, got, tt.want, e)
		}
	}
}
