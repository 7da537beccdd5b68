package config

import (
	"strings"
	"testing"
)

// TestExcluded: addresses that move with a router and are in no advert, and such on
// another interface.
func TestExcluded(t *testing.T) {
	const more = `
[[router]]
name = "vip"
interface = "eth0"
vrid = 7
addresses = ["10.7.0.1/24", "10.7.1.1/24 dev eth1"]
excluded = ["10.7.2.1/24", "2001:db8::1/64 dev eth2", "fe80::7/64 dev eth2"]
accept = false
`
	c := parse(t, "f", twoRouters+more)
	if got, want := c.Identity("vip").String(), "address 10.7.0.1/24 dev eth0\naddress 10.7.2.1/24 dev eth0\naddress 10.7.1.1/24 dev eth1\naddress 2001:db8::1/64 dev eth2\naddress fe80::7/64 dev eth2\n"; got != want {
		t.Errorf("want %s, got %s", want, got)
	}
	r := c.Election().Routers[2]
	if len(r.Addresses) != 2 || r.Addresses[1].String() != "10.7.1.1" {
		t.Errorf("adverts tell %v", r.Addresses)
	}
	if got := c.Routers[2].Interfaces(); strings.Join(got, " ") != "eth0 eth1 eth2" {
		t.Errorf("interfaces %v", got)
	}
	if got := len(c.NAT().Refused); got != 5 {
		t.Errorf("%d addresses are not accepted", got)
	}
	if got := len(c.FlowNetworks("vip")); got != 4 {
		t.Errorf("%d networks", got)
	}
	other := parse(t, "f", twoRouters+strings.Replace(more, "10.7.2.1/24", "10.7.2.2/24", 1))
	if c.Hash() == other.Hash() {
		t.Error("nodes that exclude different addresses agree")
	}
	moved := parse(t, "f", twoRouters+strings.ReplaceAll(more, "eth2", "eth3"))
	if c.Hash() != moved.Hash() {
		t.Error("nodes must not have interfaces of one name")
	}
	mac := parse(t, "f", twoRouters+more+"mac = \"virtual\"\n")
	if got := mac.Identity("vip").String(); !strings.Contains(got, "address 10.7.2.1/24 dev us4-7-eth0\n") || !strings.Contains(got, "address 2001:db8::1/64 dev eth2\n") {
		t.Errorf("with a device: %s", got)
	}
}
