package garp

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
)

var (
	vip6  = netip.MustParseAddr("fe80::5:5")
	vmac6 = MAC{0x00, 0x00, 0x5e, 0x00, 0x02, 0x05}
)

// naFRR was captured from FRR 8.4.4 becoming Master for VRID 5 with fe80::5:5.
const naFRR = "6000000000203aff" +
	"fe800000000000000000000000050005" + "ff020000000000000000000000000001" +
	"88007984a0000000" + "fe800000000000000000000000050005" + "020100005e000205"

func TestNAVector(t *testing.T) {
	raw, want := unhex(t, naFRR), Unsolicited(vmac6, vip6)
	if got := AppendNA(nil, want); !bytes.Equal(got, raw) {
		t.Errorf("append\nwant %x\ngot  %x", raw, got)
	}
	if got, r := ParseNA(append(raw, 0, 0)); got != want || r != ReasonNone {
		t.Errorf("parse\nwant %+v\ngot  %+v (%v)", want, got, r)
	}
}

func TestNAWithoutLinkAddr(t *testing.T) {
	p := NA{Source: vip6, Destination: netip.MustParseAddr("fe80::9"), Target: vip6, Solicited: true}
	b := AppendNA(nil, p)
	if len(b) != 64 {
		t.Errorf("%d octets", len(b))
	}
	if got, r := ParseNA(b); got != p || r != ReasonNone {
		t.Errorf("got %+v (%v)", got, r)
	}
}

func TestParseNARefusals(t *testing.T) {
	sum := func(b []byte) []byte {
		b[42], b[43] = 0, 0
		binary.BigEndian.PutUint16(b[42:], ^icmpSum(b))
		return b
	}
	for _, c := range []struct {
		name   string
		mutate func(b []byte) []byte
		want   Reason
	}{
		{"empty", func(b []byte) []byte { return nil }, ReasonTruncated},
		{"shorter than its payload length", func(b []byte) []byte { return b[:71] }, ReasonTruncated},
		{"IPv4", func(b []byte) []byte { b[0] = 0x45; return b }, ReasonType},
		{"extension header", func(b []byte) []byte { b[6] = 0; return b }, ReasonType},
		{"came through a router", func(b []byte) []byte { b[7] = 254; return b }, ReasonHopLimit},
		{"payload below 24", func(b []byte) []byte { b[5] = 16; return b[:56] }, ReasonLength},
		{"a flipped bit", func(b []byte) []byte { b[50] ^= 1; return b }, ReasonChecksum},
		{"solicitation", func(b []byte) []byte { b[40] = 135; return sum(b) }, ReasonType},
		{"code 1", func(b []byte) []byte { b[41] = 1; return sum(b) }, ReasonType},
		{"solicited to a group", func(b []byte) []byte { b[44] |= flagSolicited; return sum(b) }, ReasonDestination},
		{"target is a group", func(b []byte) []byte { b[48] = 0xff; return sum(b) }, ReasonDestination},
		{"option of length 0", func(b []byte) []byte { b[65] = 0; return sum(b) }, ReasonOption},
		{"option beyond the end", func(b []byte) []byte { b[65] = 2; return sum(b) }, ReasonOption},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, r := ParseNA(c.mutate(unhex(t, naFRR))); r != c.want {
				t.Errorf("reason %q, want %q", r, c.want)
			}
		})
	}
}

// An unknown option is skipped.
func TestParseNAUnknownOption(t *testing.T) {
	b := unhex(t, naFRR)
	b[64] = 14
	b[42], b[43] = 0, 0
	binary.BigEndian.PutUint16(b[42:], ^icmpSum(b))
	if p, r := ParseNA(b); r != ReasonNone || !p.LinkAddr.IsZero() {
		t.Errorf("%+v (%v)", p, r)
	}
}

// What is accepted is the same after Append and Parse.
func FuzzParseNA(f *testing.F) {
	f.Add(unhex(f, naFRR))
	f.Add(AppendNA(nil, NA{Source: vip6, Destination: vip6, Target: vip6}))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, r := ParseNA(b)
		if r != ReasonNone {
			return
		}
		if again, r := ParseNA(AppendNA(nil, p)); again != p || r != ReasonNone {
			t.Errorf("%+v became %+v (%v)", p, again, r)
		}
	})
}
