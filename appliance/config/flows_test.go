package config

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"understudy/nat"
)

const pairOfRouters = `node = "gw1"
[[router]]
name = "lan"
interface = "lan0"
vrid = 51
addresses = ["10.0.0.1/24", "10.0.1.1/24"]
[[router]]
name = "wan"
interface = "wan0"
vrid = 52
addresses = ["203.0.113.1/24"]
[[group]]
name = "gw"
routers = ["lan", "wan"]
[sessions]
listen = "10.255.0.1:7788"
peers = [{ name = "gw2", address = "10.255.0.2:7788" }]
secret_file = "good"
`

func networks(s ...string) (out []netip.Prefix) {
	for _, p := range s {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func TestFlowNetworks(t *testing.T) {
	for _, tt := range []struct {
		name, add string
		want      []netip.Prefix
		bound     bool
	}{
		{"those of the addresses", "", networks("10.0.0.0/24", "10.0.1.0/24", "203.0.113.0/24"), false},
		{"those that are named, in the only group", `networks = [{ network = "10.0.0.0/8" }, { network = "0.0.0.0/0", router = "wan" }]`,
			networks("10.0.0.0/8", "0.0.0.0/0"), true},
	} {
		c := parse(t, "gw.toml", pairOfRouters+tt.add)
		if diff := cmp.Diff(tt.want, c.FlowNetworks("gw"), same); diff != "" || c.FlowsBound() != tt.bound {
			t.Errorf("%s: bound %v, -want +got:\n%s", tt.name, c.FlowsBound(), diff)
		}
	}
}

func TestFlowClasses(t *testing.T) {
	c := parse(t, "gw.toml", pairOfRouters+`
[[sessions.class]]
protocol = "udp"
ports = ["53", "5060-5061"]
replicate = false
[[sessions.class]]
protocol = "47"
[[sessions.class]]
min_age = "1500ms"
`)
	want := []FlowClass{
		{Protocol: 17, Ports: []nat.Ports{{First: 53, Last: 53}, {First: 5060, Last: 5061}}},
		{Protocol: 47, Replicate: true},
		{Replicate: true, MinAge: 1500 * time.Millisecond},
	}
	if diff := cmp.Diff(want, c.Sessions.Classes); diff != "" || !c.Sessions.Routed {
		t.Errorf("routed %v, -want +got:\n%s", c.Sessions.Routed, diff)
	}
}
