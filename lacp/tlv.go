package lacp

import (
	"encoding/binary"
	"iter"
)

// TLVType is the type of one of the TLVs that version 2 adds (802.1AX-2014, 6.4.2.4).
type TLVType uint8

// The types.
const (
	TLVPortAlgorithm      TLVType = 4
	TLVConversationDigest TLVType = 5
	TLVConversationMask1  TLVType = 6 // 7 to 9 have the other three parts
	TLVConversationMask4  TLVType = 9
	TLVServiceMapping     TLVType = 10
)

// Lengths of their values.
const (
	algorithmLen = 4
	digestLen    = 18
	serviceLen   = 16
)

// TLV is one of them.
type TLV struct {
	Type  TLVType
	Value []byte // aliases the packet
}

// TLVs goes through p.Extensions, which Parse has made sure of. Others may be known
// to later versions only.
func (p *PDU) TLVs() iter.Seq[TLV] {
	return func(yield func(TLV) bool) {
		for b := p.Extensions; len(b) >= 2 && b[1] >= 2 && int(b[1]) <= len(b); b = b[b[1]:] {
			if !yield(TLV{TLVType(b[0]), b[2:b[1]]}) {
				return
			}
		}
	}
}

// Algorithm is by what the sender spreads conversations over links; ok is false if
// it does not say. A TLV of a known type and another length is one that we do not
// know.
func (p *PDU) Algorithm() (algorithm uint32, ok bool) {
	if v := p.value(TLVPortAlgorithm, algorithmLen); v != nil {
		return binary.BigEndian.Uint32(v), true
	}
	return 0, false
}

// ConversationDigest is the sender's number of the link and the digest of its list
// of conversations and links; ok is false if it does not say.
func (p *PDU) ConversationDigest() (link uint16, digest [16]byte, ok bool) {
	v := p.value(TLVConversationDigest, digestLen)
	if v == nil {
		return 0, digest, false
	}
	return binary.BigEndian.Uint16(v), [16]byte(v[2:]), true
}

// ServiceMapping is the digest of the sender's map from services to conversations;
// ok is false if it does not say.
func (p *PDU) ServiceMapping() (digest [16]byte, ok bool) {
	if v := p.value(TLVServiceMapping, serviceLen); v != nil {
		return [16]byte(v), true
	}
	return digest, false
}

// value finds the first TLV of that type and length.
func (p *PDU) value(t TLVType, length int) []byte {
	for tlv := range p.TLVs() {
		if tlv.Type == t && len(tlv.Value) == length {
			return tlv.Value
		}
	}
	return nil
}

// AppendTLV appends one to a PDU's Extensions. The value has at most 253 octets.
func AppendTLV(b []byte, t TLVType, value []byte) []byte {
	return append(append(b, byte(t), byte(len(value)+2)), value...)
}
