package splice

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"testing"
)

func TestPacketsThereAndBack(t *testing.T) {
	for _, ends := range [][2]string{{"192.0.2.9:40000", "10.0.0.21:8443"}, {"[2001:db8:9::9]:40000", "[2001:db8:1::21]:8443"}} {
		from, to := netip.MustParseAddrPort(ends[0]), netip.MustParseAddrPort(ends[1])
		for _, s := range []Segment{
			{Seq: 0xffffffff, Flags: SYN, Window: 0xffff, Options: Options{MSS: 1220, SACK: true, Scaled: true, Scale: 14}},
			{Seq: 1, Flags: SYN, Options: Options{MSS: 1220}},
			{Seq: 1, Ack: 2, Flags: ACK, Window: 3, Data: []byte{}},
			{Seq: 0x80000000, Ack: 0x7fffffff, Flags: ACK | PSH, Data: []byte("odd")},
		} {
			b := AppendPacket(nil, from, to, &s)
			p, ok := ParsePacket(b)
			if !ok || !p.Sound || p.From != from || p.To != to || fmt.Sprint(p.Segment) != fmt.Sprint(s) {
				t.Errorf("%+v came back as %+v, %v", s, p, ok)
			}
			for i := range b {
				if _, ok := ParsePacket(b[:i]); ok {
					t.Errorf("%d of %d bytes are a packet", i, len(b))
				}
			}
			b[len(b)-1] ^= 1
			if p, ok := ParsePacket(b); ok && p.Sound {
				t.Errorf("%+v is sound with a bit of it changed", s)
			}
			if p, ok := ParseUnsummed(b); !ok || !p.Sound {
				t.Errorf("%+v without a checksum is %+v, %v", s, p, ok)
			}
		}
	}
}

// A SYN-ACK with options in another order, timestamps among them, and no checksum yet.
func TestPacketOfAnother(t *testing.T) {
	b, err := hex.DecodeString("4500003c00004000400626d60a0000150a0000091f909c4012345678000003e9a012fe8800000000020405b40402080a000000010000000201030307")
	if err != nil {
		t.Fatal(err)
	}
	p, ok := ParsePacket(b)
	want := Options{MSS: 1460, SACK: true, Scaled: true, Scale: 7, Stamped: true}
	if !ok || p.Sound || p.Segment.Options != want || p.Segment.Seq != 0x12345678 || p.Segment.End() != 0x12345679 {
		t.Errorf("%+v, %v", p, ok)
	}
}

func FuzzParsePacket(f *testing.F) {
	a := netip.MustParseAddrPort("192.0.2.9:1")
	f.Add(AppendPacket(nil, a, a, &Segment{Flags: SYN, Options: Options{MSS: 1, SACK: true, Scaled: true}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, ok := ParsePacket(b); ok && p.From.Addr().Is4() != p.To.Addr().Is4() {
			t.Error("ends of two families")
		}
	})
}
