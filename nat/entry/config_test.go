package entry

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"understudy/nat"
)

func TestCheckNames(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(c *Config)
		want   string // part of the problem; "": there is none
	}{
		{"OK", func(*Config) {}, ""},
		{"OK: by a mark", func(c *Config) { c.Match = Match{Mark: 16} }, ""},
		{"OK: ports as called", func(c *Config) {
			for i := range c.Servers {
				c.Servers[i].Address = netip.AddrPortFrom(c.Servers[i].Address.Addr(), 0)
			}
		}, ""},
		{"bad protocol", func(c *Config) { c.Match.Proto = 1 }, "address: protocol 1"},
		{"bad ports", func(c *Config) { c.Match.Ports = nat.Ports{First: 9, Last: 8} }, "no range of ports"},
		{"bad mark", func(c *Config) { c.Match = Match{} }, "fwmark: 0"},
		{"bad: no servers", func(c *Config) { c.Servers = nil }, "servers: there are 0"},
		{"bad: a server twice", func(c *Config) { c.Servers[1] = c.Servers[0] }, "there twice"},
		{"bad: no address", func(c *Config) { c.Servers[1].Address = netip.AddrPort{} }, "no address"},
		{"bad: another family", func(c *Config) { c.Servers[1].Address = netip.MustParseAddrPort("[2001:db8::1]:80") }, "another family"},
		{"bad: one without a port", func(c *Config) {
			c.Servers[1].Address = netip.AddrPortFrom(c.Servers[1].Address.Addr(), 0)
		}, "one has a port, one has none"},
		{"bad weight", func(c *Config) { c.Servers[1].Weight = MaxWeight + 1 }, "weight 1001"},
		{"bad: weighed by too much", func(c *Config) { c.Servers[1].WeighBy = -MaxWeight - 1 }, "weighed by -1001"},
		{"bad maximum", func(c *Config) { c.Servers[1].Max = -1 }, "-1 connections"},
		{"OK: resumes", func(c *Config) { c.Servers[1].Max, c.Servers[1].Resume = 9, 9 }, ""},
		{"bad: resumes above its maximum", func(c *Config) { c.Servers[1].Max, c.Servers[1].Resume = 9, 10 }, "resumes below 10 connections"},
		{"bad spare", func(c *Config) { c.Spare = c.Servers[0].Address }, "spare: 10.0.0.1:80 is a server already"},
		{"OK: move", func(c *Config) { c.OnFailure = Move }, ""},
		{"bad: move by a mark", func(c *Config) { c.OnFailure, c.Match = Move, Match{Mark: 16} }, "on_failure: move goes by the address"},
		{"bad: move of UDP", func(c *Config) { c.OnFailure, c.Match.Proto = Move, nat.UDP }, "on_failure: move is for connections of TCP"},
		{"bad: move of ports as called", func(c *Config) {
			c.OnFailure = Move
			for i := range c.Servers {
				c.Servers[i].Address = netip.AddrPortFrom(c.Servers[i].Address.Addr(), 0)
			}
		}, "on_failure: move tells servers by address and port"},
		{"bad: move directly", func(c *Config) {
			c.OnFailure, c.Direct = Move, true
			for i := range c.Servers {
				c.Servers[i].Address = netip.AddrPortFrom(c.Servers[i].Address.Addr(), 0)
			}
		}, "on_failure: move has the gateway translate"},
		{"OK: move of IPv6", func(c *Config) {
			c.OnFailure, c.Match.Address = Move, netip.MustParseAddr("2001:db8::10")
			for i := range c.Servers {
				c.Servers[i].Address = netip.AddrPortFrom(netip.MustParseAddr("2001:db8:1::1").Next(), uint16(80+i))
			}
		}, ""},
		{"OK: a prefix", func(c *Config) { c.Persist, c.PersistPrefix = time.Minute, 24 }, ""},
		{"bad prefix", func(c *Config) { c.Persist, c.PersistPrefix = time.Minute, 33 }, "persist_prefix: 33 is no length"},
		{"bad: a prefix of nothing", func(c *Config) { c.PersistPrefix = 24 }, "persist_prefix: there is no persist"},
		{"OK: by port", func(c *Config) { c.Steer, c.ByPort = SourceHash, true }, ""},
		{"bad: by port in turn", func(c *Config) { c.ByPort = true }, `by_port: steer = "weighted" does not go by the client`},
		{"bad quorum", func(c *Config) { c.Quorum, c.Hysteresis = 2, 1 }, "never be reached"},
		{"bad hysteresis", func(c *Config) { c.Hysteresis = -1 }, "less than nothing"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := config(Weighted, 1, 1)
			row.change(&c)
			problems := Check([]Config{c})
			switch {
			case row.want == "" && len(problems) > 0:
				t.Errorf("refused: %v", problems)
			case row.want != "" && (len(problems) == 0 || !strings.Contains(problems[0].Error(), row.want)):
				t.Errorf("want %q, got %v", row.want, problems)
			}
		})
	}
	if problems := Check([]Config{config(Primary, 1), config(Primary, 1)}); len(problems) != 2 {
		t.Errorf("the same twice: want its name and its address, got %v", problems)
	}
}

func TestMatch(t *testing.T) {
	addr := netip.MustParseAddr("203.0.113.10")
	one := Match{Address: addr, Proto: nat.TCP, Ports: nat.Ports{First: 80, Last: 80}}
	many := Match{Address: addr, Proto: nat.TCP, Ports: nat.Ports{First: 80, Last: 89}}
	six := Match{Address: netip.MustParseAddr("2001:db8::1"), Proto: nat.UDP, Ports: nat.Ports{First: 53, Last: 53}}
	mark := Match{Mark: 16}
	for m, want := range map[Match]string{one: "203.0.113.10:80/tcp", many: "203.0.113.10:80-89/tcp", six: "[2001:db8::1]:53/udp", mark: "mark 0x10"} {
		if m.String() != want {
			t.Errorf("%v, want %s", m, want)
		}
	}
	udp := one
	udp.Proto = nat.UDP
	if !one.Overlaps(many) || one.Overlaps(udp) || one.Overlaps(mark) || !mark.Overlaps(mark) {
		t.Error("what overlaps")
	}
	if !many.Takes(nat.TCP, netip.AddrPortFrom(addr, 89)) || many.Takes(nat.TCP, netip.AddrPortFrom(addr, 90)) || mark.Takes(nat.TCP, netip.AddrPortFrom(addr, 80)) {
		t.Error("what is taken")
	}
}
