package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const routed = `node = "gw1"
[[router]]
name = "lan"
interface = "lan0"
vrid = 51
mac = "virtual"
addresses = ["10.0.0.1/24", "fe80::1/64", "2001:db8::1/64"]
routes = [
  { to = "default", via = "203.0.113.254", source = "10.0.0.1" },
  { to = "2001:db8:9::/48", via = "fe80::2" },
  { to = "192.0.2.0/24", table = 100, metric = 10, mtu = 1400, nexthops = [{ via = "10.0.0.253", weight = 2 }, { via = "172.16.0.1", dev = "far0", onlink = true }] },
  { to = "10.1.0.0/16", type = "blackhole", table = 4294967295 },
  { to = "172.16.0.0/24", dev = "far0" },
  { to = "172.17.0.0/24", dev = "far0", scope = "global" },
]
rules = [
  { priority = 1000, table = 100, from = "10.0.0.0/24", iif = "lan0" },
  { priority = 1001, table = 100, fwmark = "0x10/0xff", oif = "wan0" },
  { priority = 1002, table = 100, to = "2001:db8:9::/48", fwmark = "7" },
]
[[router]]
name = "wan"
interface = "wan0"
vrid = 52
addresses = ["203.0.113.1/24"]
[[group]]
name = "gateway"
routers = ["lan", "wan"]
`

// TestRoutesAndRules: what becomes of them. Where the interface of a gateway is not
// written it is that of the router in whose network the gateway is; a rule that
// names no address is for both families; and what comes in by an interface comes
// in by the devices on it too.
func TestRoutesAndRules(t *testing.T) {
	id := parse(t, "f", routed).Identity("gateway")
	want := `route 172.16.0.0/24 dev far0 scope link
route 172.17.0.0/24 dev far0
route blackhole 10.1.0.0/16 table 4294967295
route 2001:db8:9::/48 via fe80::2 dev lan0 metric 1024
route 192.0.2.0/24 table 100 metric 10 mtu 1400 nexthop via 10.0.0.253 dev lan0 weight 2 nexthop via 172.16.0.1 dev far0 weight 1 onlink
route 0.0.0.0/0 via 203.0.113.254 dev wan0 src 10.0.0.1
rule 1000: ipv4 from 10.0.0.0/24 iif lan0 lookup 100
rule 1000: ipv4 from 10.0.0.0/24 iif us4-51-lan0 lookup 100
rule 1001: ipv4 from all fwmark 0x10/0xff oif wan0 lookup 100
rule 1001: ipv6 from all fwmark 0x10/0xff oif wan0 lookup 100
rule 1002: ipv6 from all to 2001:db8:9::/48 fwmark 0x7/0xffffffff lookup 100
`
	got := id.String()
	got = got[strings.Index(got, "route "):]
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestRoutesAreAgreedOn: where they lead, not by which gateway.
func TestRoutesAreAgreedOn(t *testing.T) {
	base := parse(t, "f", routed)
	for _, row := range []struct {
		name, from, to string
		same           bool
	}{
		{"a gateway", `via = "203.0.113.254"`, `via = "203.0.113.253"`, true},
		{"an interface", "far0", "far1", true},
		{"the interface of a rule", `iif = "lan0"`, `iif = "lan1"`, true},
		{"a destination", "10.1.0.0/16", "10.2.0.0/16", false},
		{"a table", "table = 4294967295", "table = 101", false},
		{"what becomes of packets", "blackhole", "prohibit", false},
		{"the packets of a rule", `from = "10.0.0.0/24"`, `from = "10.0.0.0/25"`, false},
		{"no rules", "rules = [", "rules = []\n#", false},
	} {
		src := strings.ReplaceAll(routed, row.from, row.to)
		if row.name == "no rules" {
			i, j := strings.Index(routed, "rules = ["), strings.Index(routed, "]\n[[router]]\nname = \"wan\"")
			src = routed[:i] + routed[j+2:]
		}
		if other := parse(t, "f", src); (other.Hash() == base.Hash()) != row.same {
			t.Errorf("%s: want the same %t\n%s", row.name, row.same, cmp.Diff(base.Agreement(), other.Agreement()))
		}
	}
}
