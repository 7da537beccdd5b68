package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAgain: an address that a keepalived.conf has twice is in adverts as it is written,
// and in the kernel once, as it is written first.
func TestAgain(t *testing.T) {
	const text = "vrrp_instance a {\n interface eth0\n virtual_router_id 1\n virtual_ipaddress {\n 10.0.0.1/24 label eth0:1\n 10.0.0.2\n 10.0.0.1\n }\n virtual_ipaddress_excluded {\n 10.0.0.2\n }\n}\n"
	out, err := Import("x.conf", []byte(text), ImportOptions{Options: Options{World: bigWorld()}})
	if err != nil {
		t.Fatal(err)
	}
	c := out.Config
	if got := fmt.Sprint(c.Election().Routers[0].Addresses); got != "[10.0.0.1 10.0.0.2 10.0.0.1]" {
		t.Errorf("adverts list %s", got)
	}
	assertUsable(t, c)
	if got, want := c.Identity("a").String(), "address 10.0.0.1/24 dev eth0\naddress 10.0.0.2/32 dev eth0\n"; got != want {
		t.Errorf("held is %s", got)
	}
	again := parse(t, "x.toml", out.TOML)
	if diff := cmp.Diff(c, again, sameMeaning); diff != "" {
		t.Errorf("-itself +its TOML:\n%s", diff)
	}
	once := parse(t, "x.toml", strings.Replace(out.TOML, "\"10.0.0.1/32 again\",", "", 1))
	if c.Hash() == once.Hash() {
		t.Error("nodes that do not list the same agree")
	}
	if len(once.Routers[0].Advertised) > 0 || len(once.Election().Routers[0].Addresses) != 2 {
		t.Errorf("each once: %v", once.Routers[0])
	}
}

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
