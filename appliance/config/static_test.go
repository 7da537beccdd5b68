package config

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"understudy/nat"
)

// mappedFile has one of everything, by a device and without.
func mappedFile(keys string) string {
	return `node = "gw1"
[[router]]
name = "lan"
interface = "lan0"
vrid = 51
addresses = ["10.0.0.1/24"]
[[router]]
name = "wan"
interface = "wan0"
vrid = 52
addresses = ["203.0.113.1/24", "fe80::1/64", "2001:db8::1/64"]
` + keys + `
[[group]]
name = "gateway"
routers = ["lan", "wan"]
[nat]
source = [{ from = "10.0.0.0/24", out = "wan0", to = ["203.0.113.9", "203.0.113.16/31"], except = ["10.8.0.0/16"] }]
static = [
  { public = "203.0.113.20", private = "10.0.0.20" },
  { public = "203.0.113.24/30", private = "10.0.0.24/30", except = "10.9.0.1" },
  { public = "198.51.100.0/28", private = "10.1.0.16/28", router = "wan", onlink = false },
  { public = "2001:db8:f::/64", private = "fd00::/64", router = "wan", onlink = false },
]
forward = [
  { address = "203.0.113.1:5000-5009/udp", to = "10.0.0.5:6000-6009" },
  { address = "203.0.113.20:80-81/sctp", to = "10.0.0.6:8080" },
  { address = "198.51.100.77:25/tcp", to = "10.0.0.7:25", router = "wan", onlink = false },
]
`
}

func TestMappings(t *testing.T) {
	c := parse(t, "f", mappedFile(""))
	p, err := nat.New(c.NAT())
	if err != nil {
		t.Fatal(err)
	}
	want := `source 10.0.0.0/24 out wan0 to 203.0.113.9,203.0.113.16,203.0.113.17:16384-65535
static 198.51.100.0/28 out wan0 to 10.1.0.16/28
static 203.0.113.20 out wan0 to 10.0.0.20
static 203.0.113.24/30 out wan0 to 10.0.0.24/30
static 2001:db8:f::/64 out wan0 to fd00::/64
forward 198.51.100.77:25/tcp to 10.0.0.7:25
forward 203.0.113.1:5000-5009/udp to 10.0.0.5:6000-6009
forward 203.0.113.20:80-81/sctp to 10.0.0.6:8080
source 10.0.0.0/24 out wan0 except 10.8.0.0/16
source 10.0.0.24/30 out wan0 except 10.9.0.1/32
link 10.0.0.0/24
link 203.0.113.0/24
link 2001:db8::/64
gate 10.0.0.1 group gateway
gate 203.0.113.1 group gateway
gate 203.0.113.9 group gateway
gate 203.0.113.16 group gateway
gate 203.0.113.17 group gateway
gate 203.0.113.20 group gateway
gate 203.0.113.24 group gateway
gate 203.0.113.25 group gateway
gate 203.0.113.26 group gateway
gate 203.0.113.27 group gateway
gate 2001:db8::1 group gateway
gate fe80::1%wan0 group gateway
gate block 198.51.100.0/28 group gateway
gate block 198.51.100.77/32 group gateway
gate block 2001:db8:f::/64 group gateway
gate device ` + nat.BlockGate("gateway") + ` group gateway
guard on
sessions off
`
	want = strings.ReplaceAll(want, "/32 group", " group") // an address by itself
	if diff := cmp.Diff(want, p.String()); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	// What is routed here is on no interface.
	for _, a := range c.Identity("gateway").Addresses {
		if netip.MustParsePrefix("198.51.100.0/24").Contains(a.Prefix.Addr()) || netip.MustParsePrefix("2001:db8:f::/64").Contains(a.Prefix.Addr()) {
			t.Errorf("%v is held", a)
		}
	}
	if got := len(c.Identity("gateway").Addresses); got != 12 {
		t.Errorf("%d addresses: %v", got, c.Identity("gateway").Addresses)
	}
	inside := c.Mappings.Inside()
	for _, p := range []string{"10.0.0.0/24", "10.0.0.20/32", "10.1.0.16/28", "fd00::/64", "10.0.0.5/32"} {
		if !slices.Contains(inside, netip.MustParsePrefix(p)) {
			t.Errorf("%s is not inside: %v", p, inside)
		}
	}
}

// What leaves by a device leaves by the interface that it is on: mapped all the same.
func TestMappingsByADevice(t *testing.T) {
	c := parse(t, "f", mappedFile(`mac = "virtual"`))
	p, err := nat.New(c.NAT())
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"source 10.0.0.0/24 out us4-52-wan0 to 203.0.113.9,203.0.113.16,203.0.113.17:16384-65535\n",
		"static 203.0.113.20 out us4-52-wan0 to 10.0.0.20\n", "static 203.0.113.20 out wan0 to 10.0.0.20\n",
		"static 2001:db8:f::/64 out us6-52-wan0 to fd00::/64\n", "static 2001:db8:f::/64 out wan0 to fd00::/64\n",
		"source 10.0.0.0/24 out us4-52-wan0 except 10.8.0.0/16\n", "source 10.0.0.24/30 out us4-52-wan0 except 10.9.0.1/32\n",
	} {
		if !strings.Contains(p.String(), line) {
			t.Errorf("%q is not in\n%s", line, p)
		}
	}
	if len(p.Statics) != 8 {
		t.Errorf("%d mappings, want 8:\n%s", len(p.Statics), p)
	}
}

// Nodes agree on mappings, whatever the order of their files, and differ where one does.
func TestAgreementOnMappings(t *testing.T) {
	base := mappedFile("")
	hash := parse(t, "f", base).Hash()
	if h := parse(t, "f", strings.Replace(base, `["203.0.113.9", "203.0.113.16/31"]`, `["203.0.113.16-203.0.113.17", "203.0.113.9"]`, 1)).Hash(); h != hash {
		t.Error("the same addresses in another order differ")
	}
	for _, change := range [][2]string{
		{`"203.0.113.16/31"`, `"203.0.113.18/31"`}, {`except = ["10.8.0.0/16"]`, `except = ["10.9.0.0/16"]`},
		{`private = "10.0.0.20"`, `private = "10.0.0.21"`}, {`except = "10.9.0.1"`, `except = "10.9.0.2"`},
		{`{ public = "203.0.113.20", private = "10.0.0.20" },`, ``},
		{`:5000-5009/udp", to = "10.0.0.5:6000-6009"`, `:5000-5008/udp", to = "10.0.0.5:6000-6008"`},
		{`"10.0.0.5:6000-6009"`, `"10.0.0.5:6000"`}, {`80-81/sctp`, `80-81/tcp`},
	} {
		changed := strings.Replace(base, change[0], change[1], 1)
		if changed == base {
			t.Fatalf("%q is not in the file", change[0])
		}
		if parse(t, "f", changed).Hash() == hash {
			t.Errorf("%q in place of %q makes no difference", change[1], change[0])
		}
	}
}
