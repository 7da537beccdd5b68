package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"understudy/nat"
	"understudy/nat/entry"
)

// entryAt is an entry point at an address, with one server and more lines.
func entryAt(name, address, server, more string) string {
	return fmt.Sprintf("[[nat.entry]]\nname=%q\naddress=%q\nservers=[{address=%q}]\n%s\n", name, address, server, more)
}

// entryWith is an entry point with one server, which is there as a check says.
func entryWith(name, address, server, check string) string {
	return fmt.Sprintf("[[nat.entry]]\nname=%q\naddress=%q\nservers=[{address=%q, check=%q}]\n", name, address, server, check)
}

// Checks without a host.
const (
	page  = "[[check]]\nname=\"page\"\nkind=\"http\"\n"
	alive = "[[check]]\nname=\"alive\"\nkind=\"icmp\"\n"
	port9 = "[[check]]\nname=\"port\"\nkind=\"tcp\"\ntarget=\":9000\"\n"
	both  = "[[check]]\nname=\"both\"\nkind=\"any\"\nchecks=[\"uplink\",\"well\"]\n[[check]]\nname=\"uplink\"\nkind=\"icmp\"\ntarget=\"10.0.0.9\"\n" +
		"[[check]]\nname=\"well\"\nkind=\"all\"\nchecks=[\"page\",\"alive\"]\n" + page + alive
)

// tried says what each check tries.
func tried(c *Config) (out string) {
	for _, k := range c.Checks {
		if k.Combined() {
			out += fmt.Sprintln(k.Name, k.Kind, k.Checks)
		} else {
			out += fmt.Sprintln(k.Name, "tries", k.Target)
		}
	}
	return out
}

// servedBy says which check each first server has.
func servedBy(c *Config) (out string) {
	for _, e := range c.Entries() {
		out += e.Name + ": " + e.Servers[0].Check + "\n"
	}
	return out
}

func TestGoodEntries(t *testing.T) {
	const web = "203.0.113.10:443/tcp"
	first := func(c *Config) Entry { return c.Mappings.Entries[0] }
	for _, row := range []struct {
		name, more string
		got        func(*Config) any
		want       any
	}{
		{"the defaults", entryAt("web", web, "10.0.0.21:8443", ""), func(c *Config) any { return first(c) }, Entry{Router: "wan", Config: entry.Config{
			Name: "web", Steer: entry.Primary, OnFailure: entry.Reset, How: entry.Lazy,
			Match:   entry.Match{Address: netip.MustParseAddr("203.0.113.10"), Proto: nat.TCP, Ports: nat.Ports{First: 443, Last: 443}},
			Servers: []entry.Server{{Address: netip.MustParseAddrPort("10.0.0.21:8443"), Weight: 1}}}}},
		{"its address moves with the router", entryAt("web", web, "10.0.0.21:8443", ""),
			func(c *Config) any {
				return c.Identity("wan").String() + "|" + c.EntryGroup("web") + "|" + c.EntryGroup("mail")
			},
			"address 203.0.113.1/24 dev wan0\naddress 203.0.113.10/32 dev wan0\n|wan|"},
		{"the router's own address", entryAt("web", "203.0.113.1:443/tcp", "10.0.0.21:8443", ""),
			func(c *Config) any { return c.Identity("wan").String() }, "address 203.0.113.1/24 dev wan0\n"},
		{"two of one address", entryAt("web", web, "10.0.0.21:8443", "") + entryAt("dns", "203.0.113.10:443/udp", "10.0.0.21:8443", ""),
			func(c *Config) any { return len(c.NAT().Groups[1].Addresses) }, 2},
		{"a range of ports", entryAt("web", "203.0.113.10:8000-8099/sctp", "10.0.0.21", ""),
			func(c *Config) any { return fmt.Sprint(first(c).Match, " ", first(c).Servers[0].Address.Port()) }, "203.0.113.10:8000-8099/sctp 0"},
		{"a mark", "[[nat.entry]]\nname=\"web\"\nfwmark=\"0x10\"\nrouter=\"wan\"\nservers=[{address=\"10.0.0.21:80\"}]",
			func(c *Config) any { return fmt.Sprint(first(c).Match, " ", len(c.NAT().Groups[1].Addresses)) }, "mark 0x10 1"},
		{"a check, a weight, a limit", check("up", "") + "[[nat.entry]]\nname=\"web\"\naddress=\"" + web + "\"\nsteer=\"weighted\"\nservers=[{address=\"10.0.0.21:80\",check=\"up\",weight=7,max=9,resume=7}]",
			func(c *Config) any { return fmt.Sprint(first(c).Servers[0]) }, "{10.0.0.21:80 up 7  0 9 7  false}"},
		{"a number of a file is added to the weight", "[[check]]\nname=\"load\"\nkind=\"file\"\npath=\"/run/load\"\nvalue=true\n" + "[[nat.entry]]\nname=\"web\"\naddress=\"" + web +
			"\"\nservers=[{address=\"10.0.0.21:80\",weight=7,weigh=\"load\",weigh_by=-2},{address=\"10.0.0.22:80\",weigh=\"load\"}]",
			func(c *Config) any { return fmt.Sprint(first(c).Servers) }, "[{10.0.0.21:80  7 load -2 0 0  false} {10.0.0.22:80  1 load 1 0 0  false}]"},
		{"all that has a time or a number", entryAt("web", web, "10.0.0.21:80", "persist=\"5m\"\nslow_start=\"30s\"\nquorum=1\nspare=\"10.0.0.29:80\"\non_failure=\"keep\"\nforward=\"nat\""),
			func(c *Config) any {
				e := first(c)
				return fmt.Sprint(e.Persist, e.SlowStart, e.Quorum, e.Spare, e.OnFailure)
			}, "5m0s 30s 1 10.0.0.29:80keep"},
		{"the networks of the routers, for clients that are in them", entryAt("web", web, "10.0.0.21:80", ""), func(c *Config) any { return fmt.Sprint(c.Entries()[0].Links) }, "[10.0.0.0/24 203.0.113.0/24]"},
		{"direct", entryAt("web", web, "10.0.0.21", `forward="direct"`) + sessions,
			func(c *Config) any {
				e := c.Entries()[0]
				return fmt.Sprint(e.Direct, e.Links, c.Mappings.Inside(), c.NAT().Events != nil)
			}, "true [] [] false"},
		{"in a tunnel", entryAt("web", web, "10.9.0.21", "forward=\"tunnel\"\ntunnel=\"gue:5555\"") + entryAt("ssh", "203.0.113.10:22/tcp", "10.9.0.21", `forward="tunnel"`) + sessions,
			func(c *Config) any {
				e := c.Entries()
				return fmt.Sprint(e[0].Direct, e[0].Tunnel, e[1].Tunnel, e[0].Links, c.Mappings.Inside(), c.NAT().Events != nil)
			}, "true gue:5555 ipip [] [] false"},
		{"servers may have replicated flows", entryAt("web", web, "10.0.0.21:80", "spare=\"10.0.0.29:80\""),
			func(c *Config) any { return fmt.Sprint(c.Mappings.Inside()) }, "[10.0.0.21/32 10.0.0.29/32]"},
		{"events are filtered where entry points translate", entryAt("web", web, "10.0.0.21:80", "") + sessions,
			func(c *Config) any { return c.NAT().Events != nil }, true},
		{"a check for each server, with the server's address put in", page + entryWith("web", web, "10.0.0.21:8443", "page") + entryWith("dns", "203.0.113.10:443/udp", "10.0.0.21:8443", "page"),
			func(c *Config) any { return tried(c) + servedBy(c) }, "page@10.0.0.21:8443 tries 10.0.0.21:8443\nweb: page@10.0.0.21:8443\ndns: page@10.0.0.21:8443\n"},
		{"at a port of its own, which two servers share", port9 + entryWith("web", web, "10.0.0.21:8443", "port") + entryWith("dns", "203.0.113.10:443/udp", "10.0.0.21:53", "port"),
			func(c *Config) any { return tried(c) + servedBy(c) }, "port@10.0.0.21:9000 tries 10.0.0.21:9000\nweb: port@10.0.0.21:9000\ndns: port@10.0.0.21:9000\n"},
		{"at the usual port of a server without one", page + entryWith("web", web, "10.0.0.21", "page"),
			func(c *Config) any { return tried(c) }, "page@10.0.0.21:80 tries 10.0.0.21:80\n"},
		{"pinged", alive + entryWith("web", web, "10.0.0.21", "alive"),
			func(c *Config) any { return tried(c) }, "alive@10.0.0.21 tries 10.0.0.21:0\n"},
		{"made of checks", both + entryWith("web", web, "10.0.0.21:8443", "both"),
			func(c *Config) any { return tried(c) + servedBy(c) },
			"uplink tries 10.0.0.9:0\npage@10.0.0.21:8443 tries 10.0.0.21:8443\nalive@10.0.0.21 tries 10.0.0.21:0\n" +
				"well@10.0.0.21:8443 all [page@10.0.0.21:8443 alive@10.0.0.21]\nboth@10.0.0.21:8443 any [uplink well@10.0.0.21:8443]\nweb: both@10.0.0.21:8443\n"},
		{"that is not named with a server, and is not there", "[[check]]\nname=\"page\"\nkind=\"http\"\ntarget=\"10.0.0.9\"\n" + entryWith("web", web, "10.0.0.21:8443", "page"),
			func(c *Config) any { return tried(c) + servedBy(c) }, "page tries 10.0.0.9:80\nweb: page\n"},
		{"over IPv6", page + "[[router]]\nname=\"six\"\ninterface=\"wan0\"\nvrid=60\naddresses=[\"fe80::1/64\",\"2001:db8::1/64\"]\n" + entryWith("web", "[2001:db8::9]:443/tcp", "[fd00::21]:8443", "page"),
			func(c *Config) any { return tried(c) }, "page@[fd00::21]:8443 tries [fd00::21]:8443\n"},
		{"none", "", func(c *Config) any { return len(c.Entries()) + len(c.Mappings.Inside()) }, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := row.got(parse(t, "/etc/understudy/understudy.toml", twoRouters+row.more))
			if !reflect.DeepEqual(row.want, got) {
				t.Errorf("want %#v, got %#v", row.want, got)
			}
		})
	}
}

// Nodes that steer otherwise do not fit together.
func TestEntriesAgree(t *testing.T) {
	base := entryAt("web", "203.0.113.10:443/tcp", "10.0.0.21:80", "")
	one := parse(t, "one", twoRouters+base)
	if want := "entry web 203.0.113.10:443/tcp by primary to 10.0.0.21:80*1 with ipv4/51/203.0.113.1/24\n"; !strings.Contains(one.Agreement(), want) {
		t.Errorf("want %q in\n%s", want, one.Agreement())
	}
	for name, other := range map[string]string{
		"another server": entryAt("web", "203.0.113.10:443/tcp", "10.0.0.22:80", ""),
		"another way":    entryAt("web", "203.0.113.10:443/tcp", "10.0.0.21:80", `steer="source-hash"`),
		"a spare":        entryAt("web", "203.0.113.10:443/tcp", "10.0.0.21:80", `spare="10.0.0.29:80"`),
		"directly":       strings.Replace(entryAt("web", "203.0.113.10:443/tcp", "10.0.0.21:80", `forward="direct"`), ":80", "", 1),
		"a mark":         "[[nat.entry]]\nname=\"web\"\nfwmark=\"0x10\"\nrouter=\"wan\"\nservers=[{address=\"10.0.0.21:80\"}]",
	} {
		if two := parse(t, "two", twoRouters+other); two.Hash() == one.Hash() {
			t.Errorf("%s: the nodes agree", name)
		}
	}
	tunnel := parse(t, "tunnel", twoRouters+entryAt("web", "203.0.113.10:443/tcp", "10.9.0.21", "forward=\"tunnel\"\ntunnel=\"gre\""))
	if want := "to 10.9.0.21*1 with ipv4/51/203.0.113.1/24 in gre\n"; !strings.Contains(tunnel.Agreement(), want) {
		t.Errorf("want %q in\n%s", want, tunnel.Agreement())
	}
	if two := parse(t, "two", twoRouters+base+"slow_start=\"10s\"\non_failure=\"keep\""); two.Hash() != one.Hash() {
		t.Error("each node has its own slow start")
	}
	hashed := strings.Replace(base, "servers=", "steer=\"source-hash\"\nservers=", 1)
	if two := parse(t, "two", twoRouters+hashed+"by_port=true"); two.Hash() == parse(t, "one", twoRouters+hashed).Hash() || !two.Mappings.Entries[0].ByPort {
		t.Error("by port: the nodes agree")
	}
	kept := parse(t, "one", twoRouters+base+"persist=\"1m\"")
	if two := parse(t, "two", twoRouters+base+"persist=\"1m\"\npersist_prefix=24"); two.Hash() == kept.Hash() || two.Mappings.Entries[0].PersistPrefix != 24 {
		t.Error("a prefix: the nodes agree")
	}
}
