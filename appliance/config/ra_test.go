package config

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"understudy/garp/ra"
)

func raConfig(t *testing.T, node, more string) *Config {
	t.Helper()
	return parse(t, node, "node = \""+node+"\"\n[[router]]\nname = \"lan\"\ninterface = \"lan0\"\nvrid = 51\n"+
		`addresses = ["10.0.0.1/24", "2001:db8:1::1/64", "fe80::1/64", "2001:db8:2::1/64", "2001:db8:1::2/64"]`+"\n"+more+"\n")
}

// The IPv6 router of the two has it, with the defaults of RFC 4861, 6.2.1.
func TestRADefaults(t *testing.T) {
	c := raConfig(t, "gw1", "ra = {}")
	if len(c.Routers) != 2 || c.Routers[0].RA != nil {
		t.Fatalf("%+v", c.Routers)
	}
	want := &ra.Params{Interval: 10 * time.Minute, Lifetime: 30 * time.Minute, HopLimit: 64, Preference: ra.Medium, OnLink: true, Autonomous: true,
		Prefixes: []netip.Prefix{netip.MustParsePrefix("2001:db8:1::/64"), netip.MustParsePrefix("2001:db8:2::/64")},
		Valid:    30 * 24 * time.Hour, Preferred: 7 * 24 * time.Hour}
	if d := cmp.Diff(want, c.Routers[1].RA, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if c := raConfig(t, "gw1", ""); c.Routers[1].RA != nil {
		t.Error("it advertises without ra")
	}
}

func TestRASaysWhatIsWritten(t *testing.T) {
	for text, want := range map[string]string{
		`ra = { interval = "4s" }`:                                  "interval 4s lifetime 12s",
		`ra = { interval = "30m" }`:                                 "interval 30m0s lifetime 1h30m0s",
		`ra = { lifetime = "0s", prefixes = [] }`:                   "interval 10m0s lifetime 0s hop_limit 64 preference medium\n",
		`ra = { valid = "1h" }`:                                     "valid 1h0m0s preferred 1h0m0s",
		`ra = { dnssl = ["Example.ORG."] }`:                         "dnssl example.org",
		`ra = { prefixes = ["2001:db8:9::/64"] }`:                   "prefix 2001:db8:9::/64 onlink",
		`ra = { managed = true, other = true, mtu = 1400 }`:         "managed other mtu 1400",
		`ra = { autonomous = false, onlink = false }`:               "onlink false autonomous false",
		`ra = { preference = "low", hop_limit = 0 }`:                "hop_limit 0 preference low",
		`ra = { rdnss = ["2001:db8::53", "fe80::53"] }`:             "rdnss 2001:db8::53 rdnss fe80::53",
		`ra = { prefixes = ["2001:db8::/48"], autonomous = false }`: "prefix 2001:db8::/48",
	} {
		if got := raConfig(t, "gw1", text).Routers[1].RA.String() + "\n"; !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %q in it", text, got, want)
		}
	}
}

// RFC 9568, 8.2.3: all routers of a virtual router say the same, or it is noticed.
func TestRAHasToBeTheSame(t *testing.T) {
	one := raConfig(t, "gw1", `ra = { rdnss = ["2001:db8::53"] }`)
	for _, more := range []string{"", "ra = {}", `ra = { rdnss = ["2001:db8::54"] }`, `ra = { rdnss = ["2001:db8::53"], interval = "5m" }`} {
		if raConfig(t, "gw2", more).Hash() == one.Hash() {
			t.Errorf("%q is taken for the same", more)
		}
	}
	if two := raConfig(t, "gw2", `ra = { rdnss = ["2001:db8::53"], lifetime = "30m", prefixes = ["2001:db8:2::/64", "2001:db8:1::/64"] }`); two.Hash() != one.Hash() {
		t.Errorf("they differ:\n%s", cmp.Diff(one.Agreement(), two.Agreement()))
	}
}
