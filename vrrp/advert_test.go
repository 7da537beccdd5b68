package vrrp_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"understudy/vrrp"
)

func TestParseAdvertVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.name, func(t *testing.T) {
			var a vrrp.Advert
			if got := parse(v.packet, &a, nil).String(); got != v.alone {
				t.Errorf("without configuration: want %s, got %s", v.alone, got)
			}
			if got := parse(v.packet, &a, &v.config).String(); got != v.within {
				t.Errorf("with configuration: want %s, got %s", v.within, got)
			}
			// A padded frame must not change a verdict.
			padded := append(slices.Clone(v.packet), make([]byte, 14)...)
			if got := parse(padded, &a, nil).String(); got != v.alone {
				t.Errorf("padded: want %s, got %s", v.alone, got)
			}
			if v.alone != "none" {
				return
			}
			want := *v.fields
			got := vrrp.Advert{Version: a.Version, VRID: a.VRID, Priority: a.Priority, Interval: a.Interval,
				Form: a.Form, AuthType: a.AuthType, Auth: a.Auth}
			if got.Version != want.Version || got.VRID != want.VRID || got.Priority != want.Priority ||
				got.Interval != want.Interval || got.Form != want.Form || got.AuthType != want.AuthType || got.Auth != want.Auth {
				t.Errorf("want %+v, got %+v", want, got)
			}
			if list := a.AppendAddresses(nil); !slices.Equal(list, v.addresses) {
				t.Errorf("addresses: want %v, got %v", v.addresses, list)
			}
			if !a.Lists(v.addresses) {
				t.Error("Lists does not know its own addresses")
			}
		})
	}
}

func TestAppendAdvertVectors(t *testing.T) {
	for _, v := range vectors(t) {
		if v.alone != "none" {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			d, _ := vrrp.ParseDatagram(v.packet)
			got := vrrp.AppendAdvert([]byte("before"), v.fields, v.addresses, d.Src)
			if want := append([]byte("before"), d.Payload...); !bytes.Equal(got, want) {
				t.Errorf("want %x\n got %x", want, got)
			}
		})
	}
}

// good is a valid advert of two addresses, to be broken by the rows below.
func good(src string) (*vrrp.Advert, []netip.Addr, netip.Addr) {
	a := &vrrp.Advert{Version: 3, VRID: 7, Priority: 100, Interval: time.Second, Form: vrrp.FormMessage}
	list := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}
	if netip.MustParseAddr(src).Is6() {
		a.Form = vrrp.FormPseudo
		list = []netip.Addr{netip.MustParseAddr("fe80::1"), netip.MustParseAddr("2001:db8::1")}
	}
	return a, list, netip.MustParseAddr(src)
}

// resum puts the right message-only checksum on an IPv4 advert without options.
func resum(p []byte) {
	m := p[20:]
	m[6], m[7] = 0, 0
	var s uint32
	for i := 0; i+1 < len(m); i += 2 {
		s += uint32(binary.BigEndian.Uint16(m[i:]))
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	binary.BigEndian.PutUint16(m[6:], ^uint16(s))
}

// behind puts IPv6 extension headers of 8 octets before the message.
func behind(p []byte, kinds ...byte) []byte {
	for _, kind := range slices.Backward(kinds) {
		p = slices.Insert(p, 40, p[6], 0, 0, 0, 0, 0, 0, 0)
		p[6] = kind
	}
	binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
	return p
}

func TestParseAdvertLadder(t *testing.T) {
	tests := []struct {
		name  string
		src   string
		spoil func(p []byte) []byte
		want  vrrp.Reason
	}{
		{"OK", "10.0.0.9", func(p []byte) []byte { return p }, vrrp.ReasonNone},
		{"OK reserved bits of the interval set", "10.0.0.9", func(p []byte) []byte { p[24] |= 0xf0; resum(p); return p }, vrrp.ReasonNone},
		{"OK IP options", "10.0.0.9", func(p []byte) []byte {
			p = slices.Insert(p, 20, 1, 1, 1, 1)
			p[0]++
			binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
			return p
		}, vrrp.ReasonNone},
		{"OK IPv6", "fe80::9", func(p []byte) []byte { return p }, vrrp.ReasonNone},
		{"bad empty", "10.0.0.9", func(p []byte) []byte { return nil }, vrrp.ReasonTruncated},
		{"bad IP version", "10.0.0.9", func(p []byte) []byte { p[0] = 0x55; return p }, vrrp.ReasonTruncated},
		{"bad IP header length", "10.0.0.9", func(p []byte) []byte { p[0] = 0x44; return p }, vrrp.ReasonTruncated},
		{"bad IP header cut", "10.0.0.9", func(p []byte) []byte { return p[:19] }, vrrp.ReasonTruncated},
		{"bad IPv6 header cut", "fe80::9", func(p []byte) []byte { return p[:39] }, vrrp.ReasonTruncated},
		{"bad total length over the packet", "10.0.0.9", func(p []byte) []byte { p[3]++; return p }, vrrp.ReasonTruncated},
		{"bad payload length over the packet", "fe80::9", func(p []byte) []byte { p[5]++; return p }, vrrp.ReasonTruncated},
		{"bad fragment", "10.0.0.9", func(p []byte) []byte { p[6] = 0x20; return p }, vrrp.ReasonTruncated},
		{"bad TTL before version", "10.0.0.9", func(p []byte) []byte { p[8] = 1; p[20] = 0x41; return p }, vrrp.ReasonTTL},
		{"bad destination before version", "10.0.0.9", func(p []byte) []byte { p[19]++; p[20] = 0x41; return p }, vrrp.ReasonDestination},
		{"bad version 2 over IPv6", "fe80::9", func(p []byte) []byte { p[40] = 0x21; return p }, vrrp.ReasonVersion},
		{"bad version before type", "10.0.0.9", func(p []byte) []byte { p[20] = 0x42; return p }, vrrp.ReasonVersion},
		{"bad type 0", "10.0.0.9", func(p []byte) []byte { p[20] = 0x30; return p }, vrrp.ReasonType},
		{"bad protocol", "10.0.0.9", func(p []byte) []byte { p[9] = 17; return p }, vrrp.ReasonType},
		{"bad count 0 before length", "10.0.0.9", func(p []byte) []byte { p[23] = 0; return p }, vrrp.ReasonAddrCount},
		{"bad longer than the count", "10.0.0.9", func(p []byte) []byte { p[23] = 1; resum(p); return p }, vrrp.ReasonLength},
		{"bad checksum before vrid", "10.0.0.9", func(p []byte) []byte { p[21] = 0; return p }, vrrp.ReasonChecksum},
		{"bad vrid 0 before interval", "10.0.0.9", func(p []byte) []byte { p[21], p[24], p[25] = 0, 0, 0; resum(p); return p }, vrrp.ReasonVRID},
		{"bad interval 0 with reserved bits", "10.0.0.9", func(p []byte) []byte { p[24], p[25] = 0xf0, 0; resum(p); return p }, vrrp.ReasonInterval},
		{"OK IPv6 hop-by-hop options", "fe80::9", func(p []byte) []byte { return behind(p, 0) }, vrrp.ReasonNone},
		{"OK IPv6 all options", "fe80::9", func(p []byte) []byte { return behind(p, 0, 60, 60, 60) }, vrrp.ReasonNone},
		{"bad IPv6 too many options", "fe80::9", func(p []byte) []byte { return behind(p, 60, 60, 60, 60, 60) }, vrrp.ReasonTruncated},
		{"bad IPv6 routed", "fe80::9", func(p []byte) []byte { return behind(p, 43) }, vrrp.ReasonVersion},
		{"bad IPv6 another protocol behind options", "fe80::9", func(p []byte) []byte { p[6] = 17; return behind(p, 0) }, vrrp.ReasonType},
		{"bad IPv6 fragment", "fe80::9", func(p []byte) []byte { return behind(p, 44) }, vrrp.ReasonTruncated},
		{"bad IPv6 fragment behind options", "fe80::9", func(p []byte) []byte { return behind(p, 60, 44) }, vrrp.ReasonTruncated},
		{"bad IPv6 options over the packet", "fe80::9", func(p []byte) []byte { p = behind(p, 0); p[41] = 99; return p }, vrrp.ReasonTruncated},
		{"bad IPv6 without pseudo-header", "fe80::9", func(p []byte) []byte { resum(p[20:]); return p }, vrrp.ReasonChecksum},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, list, src := good(tt.src)
			p := tt.spoil(vrrp.AppendPacket(nil, a, list, src))
			var got vrrp.Advert
			if r := parse(p, &got, nil); r != tt.want {
				t.Errorf("want %v, got %v", tt.want, r)
			}
		})
	}
}

func TestParseAdvertAuthType3(t *testing.T) {
	a := &vrrp.Advert{Version: 2, VRID: 7, Priority: 100, Interval: time.Second, AuthType: 3}
	p := vrrp.AppendPacket(nil, a, []netip.Addr{netip.MustParseAddr("10.0.0.1")}, netip.MustParseAddr("10.0.0.9"))
	if r := parse(p, a, nil); r != vrrp.ReasonAuth {
		t.Errorf("want auth, got %v", r)
	}
}

func TestAppendPacketHeaders(t *testing.T) {
	a, list, src := good("10.0.0.9")
	p := vrrp.AppendPacket(nil, a, list, src)
	d, _ := vrrp.ParseDatagram(p)
	if p[1] != 0xc0 || d.TTL != 255 || d.Protocol != 112 || d.Src != src || d.Dst != vrrp.Group4() {
		t.Errorf("IPv4 header: %x", p[:20])
	}
	var s uint32
	for i := 0; i < 20; i += 2 {
		s += uint32(binary.BigEndian.Uint16(p[i:]))
	}
	if s = s>>16 + s&0xffff; s != 0xffff {
		t.Errorf("IPv4 header checksum: sum %#x", s)
	}
	a, list, src = good("fe80::9")
	p = vrrp.AppendPacket(nil, a, list, src)
	d, _ = vrrp.ParseDatagram(p)
	if class := p[0]<<4 | p[1]>>4; class != 0xc0 || d.TTL != 255 || d.Protocol != 112 || d.Src != src || d.Dst != vrrp.Group6() {
		t.Errorf("IPv6 header: %x", p[:40])
	}
}

func TestAdvertLists(t *testing.T) {
	a, list, src := good("10.0.0.9")
	if r := parse(vrrp.AppendPacket(nil, a, list, src), a, nil); r != vrrp.ReasonNone {
		t.Fatal(r)
	}
	one, two, three := list[0], list[1], netip.MustParseAddr("10.0.0.3")
	for _, tt := range []struct {
		name string
		want []netip.Addr
		ok   bool
	}{
		{"OK same", []netip.Addr{one, two}, true},
		{"OK other order", []netip.Addr{two, one}, true},
		{"bad fewer", []netip.Addr{one}, false},
		{"bad other", []netip.Addr{one, three}, false},
		{"bad more", []netip.Addr{one, two, three}, false},
	} {
		if got := a.Lists(tt.want); got != tt.ok {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
}

func TestCentis(t *testing.T) {
	for d, want := range map[time.Duration]vrrp.Centis{
		0: 1, 10 * time.Millisecond: 1, 14 * time.Millisecond: 1, 15 * time.Millisecond: 2,
		time.Second: 100, 40950 * time.Millisecond: 4095, time.Minute: 4095,
	} {
		if got := vrrp.CentisOf(d); got != want {
			t.Errorf("CentisOf(%v): want %d, got %d", d, want, got)
		}
	}
}

func TestReasonNames(t *testing.T) {
	var names []string
	for _, r := range vrrp.Reasons() {
		names = append(names, r.String())
	}
	want := []string{"truncated", "ttl", "destination", "version", "type", "addr_count", "length", "checksum", "vrid",
		"auth", "interval", "link_local", "address_list", "source", "own", "delay", "icv", "replay"}
	if !slices.Equal(names, want) {
		t.Errorf("want %v\n got %v", want, names)
	}
}

// FuzzParseAdvert holds parse -> append -> parse: what was accepted can be said again, and is understood alike.
func FuzzParseAdvert(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.packet)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		d, r := vrrp.ParseDatagram(packet)
		var a, again vrrp.Advert
		if r != vrrp.ReasonNone || vrrp.ParseAdvert(d, &a) != vrrp.ReasonNone {
			return
		}
		list := a.AppendAddresses(nil)
		said := vrrp.AppendPacket(nil, &a, nil, d.Src)
		if same := vrrp.AppendPacket(nil, &a, list, d.Src); !bytes.Equal(said, same) {
			t.Fatalf("own list and given list differ:\n%x\n%x", said, same)
		}
		d2, _ := vrrp.ParseDatagram(said)
		if r := vrrp.ParseAdvert(d2, &again); r != vrrp.ReasonNone {
			t.Fatalf("own packet refused: %v\n%x\n%x", r, packet, said)
		}
		if !slices.Equal(list, again.AppendAddresses(nil)) || a.Interval != again.Interval || a.Priority != again.Priority ||
			a.VRID != again.VRID || a.Version != again.Version || a.Auth != again.Auth || a.AuthType != again.AuthType {
			t.Fatalf("want %+v, got %+v", a, again)
		}
	})
}

func BenchmarkParseAdvert(b *testing.B) {
	a, list, src := good("10.0.0.9")
	p := vrrp.AppendPacket(nil, a, list, src)
	b.ReportAllocs()
	for b.Loop() {
		if r := parse(p, a, nil); r != vrrp.ReasonNone {
			b.Fatal(r)
		}
	}
}

func BenchmarkAppendPacket(b *testing.B) {
	a, list, src := good("10.0.0.9")
	buf := make([]byte, 0, 128)
	b.ReportAllocs()
	for b.Loop() {
		buf = vrrp.AppendPacket(buf[:0], a, list, src)
	}
}
