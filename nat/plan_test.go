package nat

import (
	"flag"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var rewrite = flag.Bool("rewrite", false, "write golden files anew")

func forward(address string, proto Proto, port uint16, to string) Forward {
	return Forward{Address: netip.MustParseAddr(address), Proto: proto, Port: port, To: netip.MustParseAddrPort(to)}
}

func gateway() Config {
	return Config{
		Sources: []Source{
			{From: netip.MustParsePrefix("10.0.1.0/24"), Out: "wan0", To: netip.MustParseAddr("203.0.113.1"), Ports: Ports{20000, 29999}},
			{From: netip.MustParsePrefix("10.0.0.0/24"), Out: "wan0", To: netip.MustParseAddr("203.0.113.1")},
			{From: netip.MustParsePrefix("10.0.0.0/24"), Out: "wan1", To: netip.MustParseAddr("198.51.100.1")},
		},
		Forwards: []Forward{
			forward("203.0.113.1", UDP, 53, "10.0.0.53:53"),
			forward("203.0.113.1", TCP, 443, "10.0.0.20:8443"),
			forward("203.0.113.9", TCP, 40000, "10.0.0.20:22"),
		},
		Groups: []Group{
			{Name: "gateway", Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("10.0.0.1")}},
			{Name: "backup-line", Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.1")}},
		},
		Devices:  []DeviceGate{{"us4-52-wan0", "gateway"}, {"us4-51-lan0", "gateway"}, {"us4-53-wan1", "backup-line"}},
		Refused:  []netip.Addr{netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("198.51.100.1")},
		Sessions: true,
	}
}

func mustNew(t *testing.T, c Config) Plan {
	t.Helper()
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPlanText(t *testing.T) {
	const file = "testdata/gateway.plan"
	got := mustNew(t, gateway()).String()
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("plan text (-want +got):\n%s", diff)
	}
}

func TestPlanDoesNotDependOnOrder(t *testing.T) {
	a, c := mustNew(t, gateway()), gateway()
	slices.Reverse(c.Sources)
	slices.Reverse(c.Forwards)
	slices.Reverse(c.Groups)
	slices.Reverse(c.Groups[0].Addresses)
	if diff := cmp.Diff(a.String(), mustNew(t, c).String()); diff != "" {
		t.Errorf("reversed configuration (-want +got):\n%s", diff)
	}
}

func TestPlanGroup(t *testing.T) {
	got := mustNew(t, gateway()).Group("gateway")
	want := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.9")}
	if !slices.Equal(want, got) {
		t.Errorf("Group: want %v, got %v", want, got)
	}
}

func TestPlanGroupDevices(t *testing.T) {
	got := mustNew(t, gateway()).GroupDevices("gateway")
	if want := []string{"us4-51-lan0", "us4-52-wan0"}; !slices.Equal(want, got) {
		t.Errorf("want %v, got %v", want, got)
	}
}

func TestGuardOnlyWhereSomethingIsMapped(t *testing.T) {
	c := gateway()
	c.Sources = nil
	if !mustNew(t, c).Guard() {
		t.Error("forwards alone: want a guard")
	}
	c.Forwards = nil
	if mustNew(t, c).Guard() {
		t.Error("no mapping: want no guard")
	}
}

func TestCheck(t *testing.T) {
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	for _, row := range []struct {
		name   string
		change func(*Config)
		want   []string // one part of each problem, in order; none: the plan is taken
	}{
		{"OK as it stands", func(*Config) {}, nil},
		{"OK same network on two interfaces", func(c *Config) { c.Sources[0].From = prefix("10.0.2.0/24") }, nil},
		{"OK adjacent networks", func(c *Config) {
			c.Sources[0].From = prefix("10.0.0.0/25")
			c.Sources[1].From = prefix("10.0.0.128/25")
		}, nil},
		{"bad nested networks", func(c *Config) { c.Sources[0].From = prefix("10.0.0.0/16") },
			[]string{"source 10.0.0.0/24 out wan0: from: overlaps 10.0.0.0/16"}},
		{"bad second network inside the first, a third between", func(c *Config) {
			c.Sources = append(c.Sources, Source{From: prefix("10.0.0.200/32"), Out: "wan0", To: addr("203.0.113.1")},
				Source{From: prefix("10.0.0.0/28"), Out: "wan0", To: addr("203.0.113.1")})
		}, []string{"10.0.0.200/32 out wan0: from: overlaps 10.0.0.0/24", "10.0.0.0/28 out wan0: from: overlaps 10.0.0.0/24"}},
		{"bad host bits", func(c *Config) { c.Sources[0].From = prefix("10.0.1.7/24") }, []string{"write 10.0.1.0/24"}},
		{"bad everything", func(c *Config) { c.Sources = c.Sources[:1]; c.Sources[0].From = prefix("0.0.0.0/0") }, []string{"every address there is"}},
		{"bad outside network", func(c *Config) { c.Sources[0].From = prefix("203.0.113.0/24") }, []string{"from: holds 203.0.113.1"}},
		{"bad IPv6 network", func(c *Config) { c.Sources[0].From = prefix("2001:db8::/64") }, []string{"to: 203.0.113.1 is of another family than 2001:db8::/64"}},
		{"bad link-local network", func(c *Config) { c.Sources[0].From, c.Sources[0].To = prefix("fe80::/64"), addr("2001:db8::1") }, []string{"does not leave its link", "belongs to no group"}},
		{"bad link-local address", func(c *Config) { c.Sources[0].From, c.Sources[0].To = prefix("fd00::/64"), addr("fe80::1") }, []string{"is no address that is translated"}},
		{"bad forward to another family", func(c *Config) { c.Forwards[0].To = netip.MustParseAddrPort("[fd00::5]:53") }, []string{"of another family"}},
		{"OK IPv6", func(c *Config) {
			c.Groups[0].Addresses = append(c.Groups[0].Addresses, addr("2001:db8::1"))
			c.Sources[0].From, c.Sources[0].To = prefix("fd00::/64"), addr("2001:db8::1")
			c.Forwards[0].Address, c.Forwards[0].To = addr("2001:db8::1"), netip.MustParseAddrPort("[fd00::5]:53")
		}, nil},
		{"bad interface", func(c *Config) { c.Sources[0].Out = "a-name-of-sixteen" }, []string{"longer than the 15 bytes"}},
		{"bad no interface", func(c *Config) { c.Sources[0].Out = "" }, []string{"out: missing"}},
		{"bad address of no group", func(c *Config) { c.Sources[2].To = addr("203.0.113.77") }, []string{"belongs to no group"}},
		{"bad pool", func(c *Config) { c.Sources[0].Ports = Ports{9, 8} }, []string{"ports: 9-8 is no range"}},
		{"bad forward twice", func(c *Config) { c.Forwards[1] = c.Forwards[0] }, []string{"already forwarded to 10.0.0.53:53"}},
		{"OK same port of the other protocol", func(c *Config) { c.Forwards[1].Port = 53 }, nil},
		{"bad forward inside the pool", func(c *Config) { c.Forwards[1].Port = 51820 }, []string{"port 51820 lies in the pool 16384-65535"}},
		{"bad forward to the pair", func(c *Config) { c.Forwards[1].To = netip.MustParseAddrPort("203.0.113.9:1") }, []string{"is an address of the gateways"}},
		{"bad forward without server", func(c *Config) { c.Forwards[1].To = netip.AddrPort{} }, []string{"is no server"}},
		{"bad forward of a protocol without ports", func(c *Config) { c.Forwards[1].Proto = 47 }, []string{"protocol 47"}},
		{"bad port 0", func(c *Config) { c.Forwards[1].Port = 0 }, []string{"port 0"}},
		{"bad group name twice", func(c *Config) { c.Groups[1].Name, c.Devices = "gateway", nil }, []string{`group "gateway": name: used twice`}},
		{"bad address in two groups", func(c *Config) { c.Groups[1].Addresses = append(c.Groups[1].Addresses, addr("10.0.0.1")) },
			[]string{`10.0.0.1 is in group "gateway" already`}},
		{"bad multicast address", func(c *Config) { c.Groups[1].Addresses = append(c.Groups[1].Addresses, addr("224.0.0.18")) }, []string{"want a unicast address"}},
		{"OK IPv6 addresses, one link-local on two interfaces", func(c *Config) {
			c.Groups[0].Addresses = append(c.Groups[0].Addresses, addr("2001:db8::1"), addr("fe80::1%lan0"))
			c.Groups[1].Addresses = append(c.Groups[1].Addresses, addr("fe80::1%wan0"))
			c.Refused = append(c.Refused, addr("fe80::1%wan0"))
		}, nil},
		{"bad link-local on no interface", func(c *Config) { c.Groups[1].Addresses = append(c.Groups[1].Addresses, addr("fe80::1")) }, []string{"fe80::1 needs its interface"}},
		{"bad global on an interface", func(c *Config) { c.Groups[1].Addresses = append(c.Groups[1].Addresses, addr("2001:db8::1%lan0")) }, []string{"needs its interface"}},
		{"bad IPv4 as IPv6", func(c *Config) { c.Groups[1].Addresses = append(c.Groups[1].Addresses, addr("::ffff:10.0.0.7")) }, []string{"write it as IPv4"}},
		{"bad IPv6 multicast", func(c *Config) { c.Groups[1].Addresses = append(c.Groups[1].Addresses, addr("ff02::12")) }, []string{"cannot be held"}},
		{"bad IPv6 twice", func(c *Config) {
			c.Groups[0].Addresses = append(c.Groups[0].Addresses, addr("fe80::1%lan0"))
			c.Groups[1].Addresses = append(c.Groups[1].Addresses, addr("fe80::1%lan0"))
		}, []string{"fe80::1%lan0 is in group"}},
		{"bad device of no group", func(c *Config) { c.Devices[0].Group = "x" }, []string{"gate device us4-52-wan0 group x: devices: "}},
		{"bad device twice", func(c *Config) { c.Devices[1] = c.Devices[0] }, []string{`group "gateway": devices: "us4-52-wan0" is there twice`}},
		{"bad device name", func(c *Config) { c.Devices[0].Device = "a/b" }, []string{"cannot be an interface name"}},
		{"bad refused address of no group", func(c *Config) { c.Refused[0] = addr("203.0.113.77") }, []string{"refuse 203.0.113.77: refused: belongs to no group"}},
		{"bad several at once, in the order of the file", func(c *Config) {
			c.Groups[0].Name, c.Devices = "", nil
			c.Forwards[0].Port = 0
			c.Sources[1].Out = "a b"
		}, []string{"source ", "forward ", "group "}},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := gateway()
			row.change(&c)
			got := Check(c)
			if len(got) != len(row.want) {
				t.Fatalf("want %d problems, got %v", len(row.want), got)
			}
			for i, part := range row.want {
				if !strings.Contains(got[i].Error(), part) {
					t.Errorf("problem %d: want %q in it, got %q", i, part, got[i].Error())
				}
			}
			if _, err := New(c); (err != nil) != (len(row.want) > 0) {
				t.Errorf("New: %v", err)
			}
		})
	}
}

func TestParseProto(t *testing.T) {
	for _, p := range []Proto{TCP, UDP, SCTP} {
		if got, err := ParseProto(p.String()); err != nil || got != p {
			t.Errorf("ParseProto(%q) = %v, %v", p, got, err)
		}
	}
	if _, err := ParseProto("gre"); err == nil {
		t.Error(`ParseProto("gre"): want an error`)
	}
}
