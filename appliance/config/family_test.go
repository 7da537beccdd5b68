package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"understudy/vrrp"
)

// dual is a router of both families, and one beside it on another interface with
// the same link-local address.
const dual = `
node = "gw1"
[[router]]
name = "lan"
interface = "lan0"
vrid = 51
priority = 200
track = ["wan0"]
addresses = ["2001:db8:1::1/64", "10.0.0.1/24", "fe80::2/64", "fe80::1/64"]
[[router]]
name = "wan"
interface = "wan0"
vrid = 52
addresses = ["fe80::1/64", "203.0.113.1/24"]
`

// nat66 translates to an address that is in no subnet of a router.
const nat66 = `
[nat]
source = [{ from = "fd00::/64", out = "wan0", to = "2001:db8:9::7", router = "wan" }]
forward = [{ address = "[2001:db8:9::7]:80/tcp", to = "[fd00::9]:8080", router = "wan" }]
`

const gateway = `
[[group]]
name = "gateway"
routers = ["wan", "lan"]
`

// TestFamilies: a [[router]] becomes a virtual router a family, of one name; and
// what is made of that.
func TestFamilies(t *testing.T) {
	lines := func(format string, list ...any) string {
		var b strings.Builder
		for _, x := range list {
			fmt.Fprintf(&b, format+"\n", x)
		}
		return b.String()
	}
	virtual := strings.ReplaceAll(dual, "vrid =", "mac = \"virtual\"\nvrid =")
	refusing := strings.Replace(dual, "vrid = 51", "accept = false\nvrid = 51", 1)
	rows := []struct {
		name, file string
		got        func(*Config) string
		want       string
	}{
		{"link-local addresses go first, as they are ordered", dual, func(c *Config) (out string) {
			for _, r := range c.Routers {
				out += fmt.Sprintln(r.Name, r.Family, r.VRID, r.Priority, r.Track, r.Addresses)
			}
			return out
		}, "lan 4 51 200 [{interface wan0 0 false}] [10.0.0.1/24]\n" +
			"lan 6 51 200 [{interface wan0 0 false}] [fe80::2/64 fe80::1/64 2001:db8:1::1/64]\n" +
			"wan 4 52 100 [] [203.0.113.1/24]\n" +
			"wan 6 52 100 [] [fe80::1/64]\n"},
		{"one group each, by name", dual, func(c *Config) string { return fmt.Sprint(c.Groups) }, "[{lan [lan] [] false} {wan [wan] [] false}]"},
		{"a group has both of each", dual + gateway, func(c *Config) string {
			set, err := vrrp.NewSet(c.Election())
			if err != nil {
				return err.Error()
			}
			return fmt.Sprint(set.Config().Groups, len(set.Config().Routers), set.Config().Routers[1].Family)
		}, "[{gateway [wan lan]}] 4 6"},
		{"the identity", dual + gateway, func(c *Config) string { return c.Identity("gateway").String() },
			"address 10.0.0.1/24 dev lan0\naddress 2001:db8:1::1/64 dev lan0\naddress fe80::1/64 dev lan0\naddress fe80::2/64 dev lan0\n" +
				"address 203.0.113.1/24 dev wan0\naddress fe80::1/64 dev wan0\n"},
		{"a device a family", virtual, func(c *Config) string { return c.Identity("lan").String() },
			"device us4-51-lan0 on lan0 mac 00:00:5e:00:01:33\ndevice us6-51-lan0 on lan0 mac 00:00:5e:00:02:33\n" +
				"address 10.0.0.1/24 dev us4-51-lan0\naddress 2001:db8:1::1/64 dev us6-51-lan0\naddress fe80::1/64 dev us6-51-lan0\naddress fe80::2/64 dev us6-51-lan0\n"},
		{"gates: a link-local address by its interface", dual, func(c *Config) (out string) {
			for _, g := range c.NAT().Groups {
				out += g.Name + ": " + lines("%v", anys(g.Addresses)...)
			}
			return out
		}, "lan: 10.0.0.1\n2001:db8:1::1\nfe80::1%lan0\nfe80::2%lan0\nwan: 203.0.113.1\nfe80::1%wan0\n"},
		{"gates: and by device and parent", virtual, func(c *Config) string { return lines("%v", anys(c.NAT().Groups[1].Addresses)...) },
			"203.0.113.1\nfe80::1%us6-52-wan0\nfe80::1%wan0\n"},
		{"refused", refusing, func(c *Config) string { return fmt.Sprint(c.NAT().Refused) },
			"[10.0.0.1 fe80::2%lan0 fe80::1%lan0 2001:db8:1::1]"},
		{"an address that only translation uses is of the IPv4 router", dual + "[nat]\nsource=[{from=\"10.0.0.0/24\",out=\"wan0\",to=\"203.0.113.7\"}]",
			func(c *Config) string { return c.Identity("wan").String() },
			"address 203.0.113.1/24 dev wan0\naddress 203.0.113.7/32 dev wan0\naddress fe80::1/64 dev wan0\n"},
		{"and an IPv6 one of the IPv6 router", dual + nat66, func(c *Config) string { return c.Identity("wan").String() },
			"address 203.0.113.1/24 dev wan0\naddress 2001:db8:9::7/128 dev wan0\naddress fe80::1/64 dev wan0\n"},
		{"what is translated, by each device of its family", strings.ReplaceAll(dual, "vrid =", "mac = \"virtual\"\nvrid =") + nat66,
			func(c *Config) string { return fmt.Sprint(c.NAT().Sources, c.NAT().Forwards) },
			"[source fd00::/64 out wan0 source fd00::/64 out us6-52-wan0] [forward [2001:db8:9::7]:80/tcp]"},
		{"nodes agree on it", dual + nat66, func(c *Config) string { return strings.Join(strings.Split(c.Agreement(), "\n")[:3], "\n") },
			"forward [2001:db8:9::7]:80/tcp to [fd00::9]:8080 with ipv6/52/fe80::1/64\n" +
				"group lan members ipv4/51/10.0.0.1/24 ipv6/51/2001:db8:1::1/64\ngroup wan members ipv4/52/203.0.113.1/24 ipv6/52/fe80::1/64"},
		{"the agreement", dual + gateway, (*Config).Agreement,
			"group gateway members ipv4/51/10.0.0.1/24 ipv4/52/203.0.113.1/24 ipv6/51/2001:db8:1::1/64 ipv6/52/fe80::1/64\n" +
				"router ipv4/51 addresses 10.0.0.1/24\nrouter ipv4/52 addresses 203.0.113.1/24\n" +
				"router ipv6/51 addresses 2001:db8:1::1/64 fe80::1/64 fe80::2/64\nrouter ipv6/52 addresses fe80::1/64\n"},
		{"what is tracked is of the group, once", dual + check("up", "") + "[[group]]\nname=\"g\"\nrouters=[\"lan\"]",
			func(c *Config) string { return fmt.Sprint(c.Health().Groups[0]) }, "{g [{lan 200 []}]}"},
		{"checks over IPv6", dual + "[[check]]\nname=\"a\"\nkind=\"icmp\"\ntarget=\"2001:db8::9\"\nsource=\"2001:db8::2\"\n" +
			"[[check]]\nname=\"b\"\nkind=\"tcp\"\ntarget=\"[fe80::9]:80\"\ninterface=\"lan0\"\n[[check]]\nname=\"c\"\nkind=\"route\"\nprefix=\"::/0\"\n",
			func(c *Config) string {
				return fmt.Sprintln(c.Checks[0].Target.Addr(), c.Checks[0].Source, c.Checks[1].Target, c.Checks[1].Interface, c.Checks[2].Prefix)
			}, "2001:db8::9 2001:db8::2 [fe80::9]:80 lan0 ::/0\n"},
		{"an owner of both families", strings.ReplaceAll(strings.Replace(dual, "priority = 200", "", 1), "vrid =", "priority = 255\nvrid ="),
			func(c *Config) string { return fmt.Sprint(c.Routers[1].Priority, c.Routers[3].Priority) }, "255 255"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if got := row.got(parse(t, "f", row.file)); got != row.want {
				t.Errorf("want\n%s\ngot\n%s", row.want, got)
			}
		})
	}
}

func anys[T any](list []T) (out []any) {
	for _, x := range list {
		out = append(out, x)
	}
	return out
}

// TestAdvertIsFull: as many addresses as fit into an advert, of each family.
func TestAdvertIsFull(t *testing.T) {
	file := func(four, six int) string {
		var list []string
		for i := range four {
			list = append(list, fmt.Sprintf("%q", fmt.Sprintf("10.0.%d.%d/16", i/200, i%200+1)))
		}
		for i := range six {
			list = append(list, fmt.Sprintf("%q", fmt.Sprintf("fe80::%x/64", i+1)))
		}
		return "node=\"a\"\n[[router]]\nname=\"r\"\ninterface=\"e\"\nvrid=1\naddresses=[" + strings.Join(list, ",") + "]\n"
	}
	c := parse(t, "f", file(255, 90))
	if n, m := len(c.Routers[0].Addresses), len(c.Routers[1].Addresses); n != 255 || m != 90 {
		t.Errorf("%d and %d addresses", n, m)
	}
	a := vrrp.Advert{Version: 3, VRID: 1, Priority: 100, Interval: 1e9}
	if n := len(vrrp.AppendPacket(nil, &a, c.Election().Routers[1].Addresses, c.Routers[1].Addresses[0].Addr())); n > 1500 || n+16 <= 1500 {
		t.Errorf("the fullest advert has %d octets", n)
	}
	for want, f := range map[string]string{
		"256 addresses do not fit into an advert; list at most 255, and make a second router for the rest":    file(256, 1),
		"91 IPv6 addresses do not fit into an advert; list at most 90, and make a second router for the rest": file(1, 91),
	} {
		_, err := Parse("f", []byte(f), Options{})
		var problems Problems
		if !errors.As(err, &problems) || !slices.ContainsFunc(problems, func(p Problem) bool { return p.What+"; "+p.Fix == want }) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
