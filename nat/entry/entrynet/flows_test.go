package entrynet

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"understudy/nat"
	"understudy/nat/entry"
	"understudy/nat/session"
)

var web = entry.Match{Address: netip.MustParseAddr("203.0.113.10"), Proto: nat.TCP, Ports: nat.Ports{First: 443, Last: 443}}

func ports(list ...string) (out []netip.AddrPort) {
	for _, s := range list {
		if a, err := netip.ParseAddr(s); err == nil {
			out = append(out, netip.AddrPortFrom(a, 0))
		} else {
			out = append(out, netip.MustParseAddrPort(s))
		}
	}
	return out
}

// flow is one from a client, that called to, and is answered by server.
func flow(proto nat.Proto, to, server string) *session.Record {
	t, s := netip.MustParseAddrPort(to), netip.MustParseAddrPort(server)
	return &session.Record{Key: session.Key{Src: session.AddrFrom(netip.MustParseAddr("198.51.100.7")), SrcPort: 4000,
		Dst: session.AddrFrom(t.Addr()), DstPort: t.Port(), Proto: uint8(proto), Family: 4},
		ReplySrc: session.AddrFrom(s.Addr()), ReplySrcPort: s.Port()}
}

func TestWhoseFlow(t *testing.T) {
	many := web
	many.Ports = nat.Ports{First: 8000, Last: 8099}
	udp := web
	udp.Proto = nat.UDP
	x := newIndex([]entry.Point{
		{Name: "web", Match: web, Servers: ports("10.0.0.21:80", "10.0.0.22:80")},
		{Name: "many", Match: many, Servers: ports("10.0.0.21", "10.0.0.22")},
		{Name: "udp", Match: udp, Servers: ports("10.0.0.21:80")},
		{Name: "marked", Match: entry.Match{Mark: 16}, Servers: ports("10.0.0.22:80", "10.0.0.23:80")},
	})
	for _, row := range []struct {
		name       string
		proto      nat.Proto
		to, server string
		want       string
	}{
		{"the first server", nat.TCP, "203.0.113.10:443", "10.0.0.21:80", "{0 0} true"},
		{"the second", nat.TCP, "203.0.113.10:443", "10.0.0.22:80", "{0 1} true"},
		{"the other protocol", nat.UDP, "203.0.113.10:443", "10.0.0.21:80", "{2 0} true"},
		{"a port of the range", nat.TCP, "203.0.113.10:8042", "10.0.0.22:8042", "{1 1} true"},
		{"one that was not kept", nat.TCP, "203.0.113.10:8042", "10.0.0.22:8043", "{0 0} false"},
		{"called elsewhere: by the mark", nat.TCP, "203.0.113.99:9", "10.0.0.22:80", "{3 0} true"},
		{"only the mark's", nat.UDP, "203.0.113.99:9", "10.0.0.23:80", "{3 1} true"},
		{"a server of an address called elsewhere", nat.TCP, "203.0.113.99:443", "10.0.0.21:80", "{0 0} false"},
		{"nobody's server", nat.TCP, "203.0.113.10:443", "10.0.0.24:80", "{0 0} false"},
	} {
		at, ok := x.find(flow(row.proto, row.to, row.server))
		if got := fmt.Sprint(at, ok); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
}

func TestFilterOfOneServer(t *testing.T) {
	points := []entry.Point{{Servers: ports("10.0.0.21:80", "10.0.0.22:80")}, {Servers: ports("10.0.0.21:81", "[2001:db8::1]:80")}}
	for _, row := range []struct {
		dead []Server
		want string
	}{
		{[]Server{{0, 0}}, "4 10.0.0.21"},
		{[]Server{{0, 0}, {1, 0}}, "4 10.0.0.21"},
		{[]Server{{0, 0}, {0, 1}}, "0 invalid IP"},
		{[]Server{{1, 1}}, "6 2001:db8::1"},
	} {
		f := filterOf(points, row.dead)
		if got := fmt.Sprint(f.Family, " ", f.ReplySrc); got != row.want {
			t.Errorf("%v: %s, want %s", row.dead, got, row.want)
		}
	}
}

// A segment's checksum covers addresses, protocol, length and all of itself.
func TestSegment(t *testing.T) {
	for _, f := range []Flow{
		{Client: netip.MustParseAddrPort("198.51.100.7:4000"), To: netip.MustParseAddrPort("203.0.113.10:443")},
		{Client: netip.MustParseAddrPort("[2001:db8::7]:4000"), To: netip.MustParseAddrPort("[2001:db8::10]:443")},
	} {
		for _, stamped := range []bool{false, true} {
			b := appendSegment(nil, f, 0x12345678, 0x9abcdef0, stamped)
			header, addresses := 20, 12
			if f.Client.Addr().Is6() {
				header, addresses = 40, 8
			}
			s := b[header:]
			sum := uint32(6 + len(s))
			for i := addresses; i < len(b); i += 2 {
				sum += uint32(binary.BigEndian.Uint16(b[i:]))
			}
			if sum = sum>>16 + sum&0xffff; sum>>16+sum&0xffff != 0xffff {
				t.Errorf("%v: checksum %#x", f, sum)
			}
			if int(s[12]>>4)*4 != len(s) || s[13] != 0x10 || binary.BigEndian.Uint16(s) != 443 || binary.BigEndian.Uint16(s[2:]) != 4000 || binary.BigEndian.Uint32(s[4:]) != 0x12345678 {
				t.Errorf("%v: segment % x", f, s)
			}
			if length := len(b); f.Client.Addr().Is4() && int(binary.BigEndian.Uint16(b[2:])) != length || f.Client.Addr().Is6() && int(binary.BigEndian.Uint16(b[4:])) != len(s) {
				t.Errorf("%v: length of % x", f, b)
			}
		}
	}
}

func TestMostly(t *testing.T) {
	a, b := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2")
	got := mostly(map[Client]int{{a, 0}: 1, {a, 1}: 3, {b, 2}: 2, {b, 1}: 2})
	if want := []Client{{a, 1}, {b, 1}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
