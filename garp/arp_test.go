package garp

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"testing"
)

var (
	vmac = MAC{0x00, 0x00, 0x5e, 0x00, 0x01, 0x33}
	vip  = netip.MustParseAddr("10.0.1.254")
)

// The forms in use; what each is and who sends it is in the name.
var arpVectors = []struct {
	name, hex string
	packet    ARP
}{
	{
		"request with THA = SHA (ours)",
		"0001080006040001" + "00005e000133" + "0a0001fe" + "00005e000133" + "0a0001fe",
		Gratuitous(vmac, vip),
	},
	{
		"reply with THA = SHA (RFC 5944 4.6)",
		"0001080006040002" + "00005e000133" + "0a0001fe" + "00005e000133" + "0a0001fe",
		GratuitousReply(vmac, vip),
	},
	{
		"announcement of RFC 5227: THA zero",
		"0001080006040001" + "00005e000133" + "0a0001fe" + "000000000000" + "0a0001fe",
		ARP{Op: OpRequest, SenderMAC: vmac, Sender: vip, Target: vip},
	},
	{
		"announcement of keepalived and FRR: THA all ones",
		"0001080006040001" + "00005e000133" + "0a0001fe" + "ffffffffffff" + "0a0001fe",
		ARP{Op: OpRequest, SenderMAC: vmac, Sender: vip, TargetMAC: Broadcast, Target: vip},
	},
	{
		"probe of RFC 5227: no sender",
		"0001080006040001" + "00005e000133" + "00000000" + "000000000000" + "0a0001fe",
		ARP{Op: OpRequest, SenderMAC: vmac, Sender: netip.IPv4Unspecified(), Target: vip},
	},
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestARPVectors(t *testing.T) {
	for _, v := range arpVectors {
		t.Run(v.name, func(t *testing.T) {
			raw := unhex(t, v.hex)
			if got := AppendARP(nil, v.packet); !bytes.Equal(got, raw) {
				t.Errorf("append\nwant %x\ngot  %x", raw, got)
			}
			padded := append(raw, make([]byte, 18)...)
			if got, r := ParseARP(padded); got != v.packet || r != ReasonNone {
				t.Errorf("parse\nwant %+v\ngot  %+v (%v)", v.packet, got, r)
			}
		})
	}
}

func TestARPIsGratuitous(t *testing.T) {
	probe := ARP{Op: OpRequest, SenderMAC: vmac, Sender: netip.IPv4Unspecified(), Target: vip}
	question := ARP{Op: OpRequest, SenderMAC: vmac, Sender: vip, Target: vip.Next()}
	for _, c := range []struct {
		name              string
		p                 ARP
		gratuitous, probe bool
	}{
		{"announcement", Gratuitous(vmac, vip), true, false},
		{"reply form", GratuitousReply(vmac, vip), true, false},
		{"probe", probe, false, true},
		{"question", question, false, false},
	} {
		if g, p := c.p.IsGratuitous(), c.p.IsProbe(); g != c.gratuitous || p != c.probe {
			t.Errorf("%s: gratuitous %v, probe %v", c.name, g, p)
		}
	}
}

func TestParseARPRefusals(t *testing.T) {
	good := unhex(t, arpVectors[0].hex)
	for _, c := range []struct {
		name   string
		mutate func(b []byte) []byte
		want   Reason
	}{
		{"empty", func(b []byte) []byte { return nil }, ReasonTruncated},
		{"half a header", func(b []byte) []byte { return b[:7] }, ReasonTruncated},
		{"last octet missing", func(b []byte) []byte { return b[:27] }, ReasonTruncated},
		{"hardware type token ring", func(b []byte) []byte { b[1] = 6; return b }, ReasonType},
		{"protocol IPv6", func(b []byte) []byte { b[2], b[3] = 0x86, 0xdd; return b }, ReasonType},
		{"hardware length 8", func(b []byte) []byte { b[4] = 8; return b }, ReasonLength},
		{"protocol length 16", func(b []byte) []byte { b[5] = 16; return b }, ReasonLength},
		{"operation 0", func(b []byte) []byte { b[7] = 0; return b }, ReasonOperation},
		{"operation RARP request", func(b []byte) []byte { b[7] = 3; return b }, ReasonOperation},
		{"sender MAC is a group", func(b []byte) []byte { b[8] = 1; return b }, ReasonSender},
		{"sender MAC is zero", func(b []byte) []byte { clear(b[8:14]); return b }, ReasonSender},
		{"sender is multicast", func(b []byte) []byte { b[14] = 224; return b }, ReasonSender},
		{"sender is loopback", func(b []byte) []byte { b[14] = 127; return b }, ReasonSender},
		{"sender is broadcast", func(b []byte) []byte { copy(b[14:], "\xff\xff\xff\xff"); return b }, ReasonSender},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, r := ParseARP(c.mutate(bytes.Clone(good))); r != c.want {
				t.Errorf("reason %q, want %q", r, c.want)
			}
		})
	}
}

func TestReasonWords(t *testing.T) {
	seen := map[string]bool{}
	for r := ReasonNone; r <= ReasonOption; r++ {
		if seen[r.String()] || (r.String() == "") != (r == ReasonNone) {
			t.Errorf("reason %d has the word %q", r, r)
		}
		seen[r.String()] = true
	}
}

// What is accepted must come out of Append as it went in.
func FuzzParseARP(f *testing.F) {
	for _, v := range arpVectors {
		f.Add(unhex(f, v.hex))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, r := ParseARP(b)
		if r != ReasonNone {
			return
		}
		if got := AppendARP(nil, p); !bytes.Equal(got, b[:arpLen]) {
			t.Errorf("%x became %x", b[:arpLen], got)
		}
	})
}

func TestAppendARPDoesNotAllocate(t *testing.T) {
	buf := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() { buf = AppendARP(buf[:0], Gratuitous(vmac, vip)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
