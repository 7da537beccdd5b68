package vrrpnet

import (
	"net/netip"
	"testing"
)

func watching(names ...string) *links {
	s := &links{ours: ours, now: make([]Link, len(names)), told: make([]bool, len(names))}
	for _, n := range names {
		s.names = append(s.names, Interface{Name: n, Virtual: []netip.Addr{netip.MustParseAddr("10.0.0.1")}})
	}
	return s
}

func (s *links) told1(t *testing.T) (l Link) {
	t.Helper()
	n := 0
	s.report(func(link Link) { l, n = link, n+1 })
	if n != 1 {
		t.Fatalf("told %d times", n)
	}
	return l
}

func TestLinksKeepThePrimaryAddress(t *testing.T) {
	s := watching("a")
	first, second := netip.MustParsePrefix("10.0.0.2/24"), netip.MustParsePrefix("10.0.0.3/24")
	s.setLink(1, []byte("a"), MAC{}, true)
	s.setAddress(1, second, 0, false)
	if l := s.told1(t); l.Primary4 != second.Addr() {
		t.Fatalf("%+v", l)
	}
	// The kernel may list them in another order after a change.
	s.removeAddress(1, second)
	s.setAddress(1, first, 0, false)
	s.setAddress(1, second, 0, false)
	s.report(func(l Link) { t.Errorf("told %+v", l) })
}

func TestLinksForgetALostDeletion(t *testing.T) {
	s := watching("a")
	if !s.setLink(1, []byte("a"), MAC{}, true) {
		t.Error("not fresh")
	}
	s.setAddress(1, netip.MustParsePrefix("10.0.0.2/24"), 0, false)
	s.told1(t)
	if s.setLink(1, []byte("a"), MAC{}, true) {
		t.Error("fresh again")
	}
	// Nobody said that 1 is gone, but 2 has its name now.
	if !s.setLink(2, []byte("a"), MAC{}, true) {
		t.Error("not fresh: nobody would ask for its addresses")
	}
	if l := s.told1(t); l.Index != 2 || l.Primary4.IsValid() {
		t.Errorf("%+v", l)
	}
	if len(s.known) != 1 {
		t.Errorf("%d interfaces of one name", len(s.known))
	}
}

func TestLinksSweep(t *testing.T) {
	s := watching("a", "b")
	s.setLink(1, []byte("a"), MAC{}, true)
	s.setLink(2, []byte("b"), MAC{}, true)
	s.setAddress(1, netip.MustParsePrefix("10.0.0.2/24"), 0, false)
	s.setAddress(1, netip.MustParsePrefix("10.0.0.3/24"), 0, false)
	s.report(func(Link) {})
	s.round++
	s.setLink(1, []byte("a"), MAC{}, true)
	s.setAddress(1, netip.MustParsePrefix("10.0.0.3/24"), 0, false)
	s.sweep()
	var got []Link
	s.report(func(l Link) { got = append(got, l) })
	want := []Link{{Name: "a", Index: 1, Up: true, Primary4: netip.MustParseAddr("10.0.0.3")}, {Name: "b"}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("told %+v, want %+v", got, want)
	}
}

// Of a takeover's thousands of addresses none is kept: each would be compared
// with each.
func TestLinksDoNotRememberOurOwnAddresses(t *testing.T) {
	s := watching("a")
	s.setLink(1, []byte("a"), MAC{}, true)
	own := netip.MustParsePrefix("10.0.0.2/24")
	s.setAddress(1, own, 0, false)
	for i := range 1000 {
		s.setAddress(1, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 32), ours, false)
	}
	if n := len(s.known[0].addrs); n != 1 {
		t.Errorf("%d addresses are remembered", n)
	}
	// One that we have taken over in place stops being a candidate.
	s.setAddress(1, own, ours, false)
	if l := s.told1(t); l.Primary4.IsValid() {
		t.Errorf("%+v", l)
	}
}

func TestLinksPrimaryIsFit(t *testing.T) {
	for _, test := range []struct {
		name   string
		prefix string
		proto  uint8
		unfit  bool
		ok     bool
	}{
		{"OK in the subnet", "10.0.0.2/24", 0, false, true},
		{"OK elsewhere", "192.168.0.1/24", 0, false, true},
		{"bad: virtual", "10.0.0.1/24", 0, false, false},
		{"bad: ours", "10.0.0.2/24", ours, false, false},
		{"bad: tentative", "10.0.0.2/24", 0, true, false},
		{"bad: loopback", "127.0.0.1/8", 0, false, false},
		{"OK link-local", "fe80::2/64", 0, false, true},
		{"bad: global", "2001:db8::2/64", 0, false, false},
		{"bad: tentative link-local", "fe80::2/64", 0, true, false},
		{"bad: ours, link-local", "fe80::2/64", ours, false, false},
		{"bad: made of the virtual MAC", "fe80::200:5eff:fe00:233/64", 0, false, false},
		{"bad: made of the virtual MAC of IPv4", "fe80::200:5eff:fe00:133/64", 0, false, false},
		{"OK made of another MAC of that vendor", "fe80::200:5eff:fe00:333/64", 0, false, true},
	} {
		s := watching("a")
		s.setLink(1, []byte("a"), MAC{}, true)
		s.setAddress(1, netip.MustParsePrefix(test.prefix), test.proto, test.unfit)
		l := s.told1(t)
		if got := l.Primary4.IsValid() || l.Primary6.IsValid(); got != test.ok {
			t.Errorf("%s: %+v", test.name, l)
		}
	}
}
