package ra_test

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"testing"

	"understudy/garp/ra"
)

// asks is a solicitation as a Linux host sends it, with its link-layer address.
func asks() []byte {
	b, err := hex.DecodeString("60000000" + "00103aff" +
		"fe80000000000000" + "0000000000000009" + "ff02000000000000" + "0000000000000002" +
		"8500000000000000" + "0101020000000109")
	if err != nil {
		panic(err)
	}
	return b
}

// sealed puts the length and the checksum right.
func sealed(b []byte) []byte {
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	b[42], b[43] = 0, 0
	s := uint32(len(b)-40) + 58
	for i := 8; i < len(b); i += 2 {
		s += uint32(b[i]) << 8
		if i+1 < len(b) {
			s += uint32(b[i+1])
		}
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	binary.BigEndian.PutUint16(b[42:], ^uint16(s))
	return b
}

// RFC 4861, 6.1.1: what is no valid Router Solicitation is silently discarded.
func TestSolicitation(t *testing.T) {
	unspecified := func(b []byte) []byte { clear(b[8:24]); return b }
	for name, test := range map[string]struct {
		b  []byte
		ok bool
	}{
		"OK with the host's address":      {sealed(asks()), true},
		"OK without options":              {sealed(asks()[:48]), true},
		"OK unspecified, no options":      {sealed(unspecified(asks())[:48]), true},
		"OK an option nobody knows":       {sealed(append(asks(), 200, 1, 0, 0, 0, 0, 0, 0)), true},
		"OK padding":                      {append(sealed(asks()), 0, 0, 0, 0), true},
		"OK an odd number of octets":      {sealed(append(asks()[:48], 200, 1, 0, 0, 0, 0, 0, 0)), true},
		"unspecified with an address":     {sealed(unspecified(asks())), false},
		"empty":                           {nil, false},
		"a header only":                   {asks()[:40], false},
		"too short":                       {sealed(asks()[:47]), false},
		"shorter than it says":            {sealed(asks())[:52], false},
		"another version":                 {changed(sealed(asks()), 0, 0x40), false},
		"not ICMPv6":                      {changed(sealed(asks()), 6, 17), false},
		"an extension header":             {changed(sealed(asks()), 6, 0), false},
		"Hop Limit 254":                   {changed(sealed(asks()), 7, 254), false},
		"another type":                    {sealed(changed(asks(), 40, 134)), false},
		"a code":                          {sealed(changed(asks(), 41, 1)), false},
		"checksum":                        {changed(sealed(asks()), 47, 1), false},
		"an option of length 0":           {sealed(changed(asks(), 49, 0)), false},
		"an option longer than the rest":  {sealed(changed(asks(), 49, 2)), false},
		"an option that is cut":           {sealed(asks()[:54]), false},
		"the rest is shorter than a head": {sealed(append(asks(), 1)), false},
	} {
		src, ok := ra.Solicitation(test.b)
		if ok != test.ok {
			t.Errorf("%s: %v", name, ok)
		}
		if ok && src != netip.AddrFrom16([16]byte(test.b[8:24])) {
			t.Errorf("%s: from %v", name, src)
		}
		if !ok && src.IsValid() {
			t.Errorf("%s: refused, from %v", name, src)
		}
	}
	b := sealed(asks())
	if n := testing.AllocsPerRun(100, func() { ra.Solicitation(b) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func changed(b []byte, i int, v byte) []byte { b[i] = v; return b }

func FuzzSolicitation(f *testing.F) {
	f.Add(sealed(asks()))
	f.Add(sealed(asks()[:48]))
	f.Add([]byte{0x60})
	f.Fuzz(func(t *testing.T, b []byte) {
		src, ok := ra.Solicitation(b)
		if ok && (len(b) < 48 || b[40] != 133 || !src.Is6()) {
			t.Errorf("accepted %x from %v", b, src)
		}
	})
}
