package lacp

import (
	"bytes"
	"testing"
)

// What version 2 adds is read where it is whole, and passed over where not.
func TestTLVs(t *testing.T) {
	digest := [16]byte{1, 2, 3, 15: 9}
	x := AppendTLV(nil, TLVPortAlgorithm, []byte{0, 0x80, 0xc2, 1})
	x = AppendTLV(x, 200, []byte("from the future"))
	x = AppendTLV(x, TLVConversationDigest, append([]byte{0, 7}, digest[:]...))
	x = AppendTLV(x, TLVConversationMask1, make([]byte, 129))
	x = AppendTLV(x, TLVServiceMapping, digest[:])
	b := Append(nil, &PDU{Version: 2, Extensions: x})
	var p PDU
	if r := Parse(b, &p); r != ReasonNone {
		t.Fatal(r)
	}
	if a, ok := p.Algorithm(); !ok || a != 0x80c201 {
		t.Errorf("algorithm %#x, %v", a, ok)
	}
	if l, d, ok := p.ConversationDigest(); !ok || l != 7 || d != digest {
		t.Errorf("link %d, digest %x, %v", l, d, ok)
	}
	if d, ok := p.ServiceMapping(); !ok || d != digest {
		t.Errorf("service mapping %x, %v", d, ok)
	}
	var types []TLVType
	for v := range p.TLVs() {
		types = append(types, v.Type)
		if v.Type == 200 && !bytes.Equal(v.Value, []byte("from the future")) {
			t.Errorf("value %q", v.Value)
		}
	}
	if len(types) != 5 || types[1] != 200 || types[4] != TLVServiceMapping {
		t.Errorf("types %v", types)
	}

	// A known type of another length is another thing.
	p.Extensions = AppendTLV(AppendTLV(nil, TLVPortAlgorithm, make([]byte, 3)), TLVConversationDigest, make([]byte, 16))
	if _, ok := p.Algorithm(); ok {
		t.Error("an algorithm of 3 octets")
	}
	if _, _, ok := p.ConversationDigest(); ok {
		t.Error("a digest of 16 octets, link and all")
	}
	// What Parse has not seen does not lead astray.
	for _, bad := range [][]byte{{4}, {4, 0}, {4, 1}, {4, 6, 0}, {4, 200, 0, 0, 0, 0}} {
		p.Extensions = bad
		if _, ok := p.Algorithm(); ok {
			t.Errorf("an algorithm in % x", bad)
		}
	}
	if _, ok := (&PDU{}).ServiceMapping(); ok {
		t.Error("a service mapping in nothing")
	}
}
