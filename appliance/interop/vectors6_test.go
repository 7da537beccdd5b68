package interop

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// Where we and the rivals of IPv6 are on the segment.
const (
	dutAddress6  = "fe80::2"
	hostAddress6 = "fe80::9"
)

// joinDUT6 is a box and a host with nothing but IPv6.
func joinDUT6(s *scene, set settings) *dut {
	s.t.Helper()
	return joinDUTs(s, row("v3 IPv6"), set, dutAddress6+"/64", hostAddress6+"/64")
}

// TestVectorsIPv6 is TestVectors for IPv6.
func TestVectorsIPv6(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	d := joinDUT6(s, settings{})
	set := settings{priority: 100, interval: 40950 * time.Millisecond}
	full := []string{`"fe80::90/64"`} // what fits into 1500 octets
	for i := range 89 {
		full = append(full, fmt.Sprintf(`"2001:db8:90::%x/64"`, i+1))
	}
	var config strings.Builder
	for _, r := range []struct {
		vrid      uint8
		addresses string
	}{
		{5, `"2001:db8::370:7334/64", "fe80::5:5/64"`}, {7, `"fe80::7/64"`}, {53, `"fe80::53/64"`},
		{54, `"fe80::5:54/64", "2001:db8::54/64"`}, {90, strings.Join(full, ",")},
	} {
		config.WriteString(routerTOML(fmt.Sprintf("r%d", r.vrid), "lan0", r.vrid, set, r.addresses, ""))
	}
	d.run(config.String())
	d.wait("us to be Backup", d.is("r53", "backup"))
	d.takesAll(t, s.socket(d.host, "lan0"), append(handMade6(t), fileVectors(t, 3, 6)...))
}

// advert6 is an advert of the host's for VRID 53, by hand: the IPv6 header, then the
// message.
func advert6(t *testing.T) []byte {
	t.Helper()
	b, err := hex.DecodeString("6c000000001870ff" + "fe800000000000000000000000000009" + "ff020000000000000000000000000012" +
		"3135c80100640000" + "fe800000000000000000000000000053")
	if err != nil {
		t.Fatal(err)
	}
	return sum6(b)
}

// sum6 puts the checksum on: over the addresses, length and next header of the IPv6
// header too (RFC 8200 section 8.1).
func sum6(b []byte) []byte {
	b[46], b[47] = 0, 0
	pseudo := append([]byte{}, b[8:40]...)
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(b)-40))
	pseudo = append(pseudo, 0, 0, 0, 112)
	binary.BigEndian.PutUint16(b[46:], internetSum(append(pseudo, b[40:]...)))
	return b
}

// handMade6 is what the file does not have.
func handMade6(t *testing.T) []vector {
	t.Helper()
	base := advert6(t)
	change := func(f func(b []byte) []byte) []byte { return f(append([]byte{}, base...)) }
	at := func(i int, v byte) []byte { return change(func(b []byte) []byte { b[i] = v; return sum6(b) }) }
	grown := func(n int) []byte {
		return change(func(b []byte) []byte {
			b = append(b, make([]byte, n)...)
			binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
			return sum6(b)
		})
	}
	full := change(func(b []byte) []byte {
		b = b[:48]
		b[41], b[43] = 90, 90
		b = append(b, netip.MustParseAddr("fe80::90").AsSlice()...)
		for i := range 89 {
			b = append(b, netip.MustParseAddr(fmt.Sprintf("2001:db8:90::%x", i+1)).AsSlice()...)
		}
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
		return sum6(b)
	})
	return []vector{
		{"Hop Limit 0", at(7, 0), "r53", "ttl"},
		{"Hop Limit 1", at(7, 1), "r53", "ttl"},
		{"Hop Limit 254", at(7, 254), "r53", "ttl"},
		{"another group", at(39, 0x13), "r53", "destination"},
		{"version 2", at(40, 0x21), "r53", "version"},
		{"version 4", at(40, 0x41), "r53", "version"},
		{"type 0", at(40, 0x30), "r53", "type"},
		{"type 2", at(40, 0x32), "r53", "type"},
		{"VRID 0", at(41, 0), anyRouter, "vrid"},
		{"VRID of nobody", at(41, 99), anyRouter, "vrid"},
		{"no address", change(func(b []byte) []byte { b[43], b[5] = 0, 8; return sum6(b[:48]) }), "r53", "addr_count"},
		{"a count too high", at(43, 2), "r53", "length"},
		{"addresses of IPv4", change(func(b []byte) []byte { b[5] = 12; return sum6(append(b[:48], 10, 0, 1, 8)) }), "r53", "length"},
		{"an octet too many", grown(1), "r53", "length"},
		{"an address too many", grown(16), "r53", "length"},
		{"longer than its IPv6 header says", change(func(b []byte) []byte { b[5] = 0x10; return b }), "r53", "length"},
		{"cut off", change(func(b []byte) []byte { return b[:50] }), anyRouter, "truncated"},
		{"checksum of the message only", change(func(b []byte) []byte {
			b[46], b[47] = 0, 0
			binary.BigEndian.PutUint16(b[46:], internetSum(b[40:]))
			return b
		}), "r53", "checksum"},
		{"one bit wrong", change(func(b []byte) []byte { b[63] ^= 1; return b }), "r53", "checksum"},
		{"interval 0", at(45, 0), "r53", "interval"},
		{"first address global", change(func(b []byte) []byte {
			copy(b[48:], netip.MustParseAddr("2001:db8::53").AsSlice())
			return sum6(b)
		}), "r53", "link_local"},
		{"first address of IPv4, mapped", change(func(b []byte) []byte {
			copy(b[48:], netip.MustParseAddr("::ffff:169.254.0.1").AsSlice())
			return sum6(b)
		}), "r53", "link_local"},
		{"our own address", at(23, 2), "r53", "own"},
		{"reserved bits set", at(44, 0xf0), "r53", "received"},
		{"ninety addresses", full, "r90", "received"},
	}
}
