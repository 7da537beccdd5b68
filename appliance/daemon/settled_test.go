package daemon

import (
	"slices"
	"testing"

	"understudy/appliance/config"
	"understudy/nat"
)

// Blocks that are routed to the gateways are behind the gate of their group like its
// addresses: whoever opens it or shuts it, the fence too, asks for both.
func TestBlocksAreBehindTheGate(t *testing.T) {
	cfg, err := config.Parse("f", []byte(`node = "gw1"
[[router]]
name = "wan"
interface = "wan0"
vrid = 51
addresses = ["203.0.113.1/24"]
[nat]
static = [{ public = "198.51.100.0/28", private = "10.0.0.16/28", router = "wan", onlink = false }]
`), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := nat.New(cfg.NAT())
	if err != nil {
		t.Fatal(err)
	}
	var s settled
	s.set(cfg, plan)
	addresses, devices := s.gated("wan")
	if len(addresses) != 1 || !slices.Equal(devices, []string{nat.BlockGate("wan")}) {
		t.Errorf("behind the gate: %v, %v", addresses, devices)
	}
	if early, late := byFamily(devices); len(early) != 1 || len(late) > 0 {
		t.Errorf("opened with the addresses: %v, later: %v", early, late)
	}
	cfg.Sessions = &config.Sessions{}
	if c := replicatedFlows(cfg); len(c.Groups[0].Blocks) != 1 || len(c.Inside) != 1 {
		t.Errorf("the session plane knows %+v", c)
	}
}
