package lacp

import (
	"encoding/binary"
	"fmt"
)

// EtherType is that of the Slow Protocols (802.3, annex 57A).
const EtherType = 0x8809

// bodyLen is the shortest PDU, in octets after the EtherType; the frame is 124.
const bodyLen = 110

// MAC is an Ethernet address or, in a PDU, the identity of a system.
type MAC [6]byte

// Group is where Slow Protocols frames go. No bridge forwards it, so what
// arrives was sent by the other end of the link.
var Group = MAC{0x01, 0x80, 0xc2, 0x00, 0x00, 0x02}

// String returns the address as colon-separated hexadecimal.
func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// Subtype tells the Slow Protocols apart: the first octet of the PDU.
type Subtype uint8

// The subtypes of link aggregation.
const (
	SubtypeLACP   Subtype = 1
	SubtypeMarker Subtype = 2
)

// Classify says whether a frame is one of ours, and of which kind. body begins
// after the EtherType. The subtype is returned with a reason too, if there is
// one to read.
func Classify(dst MAC, etherType uint16, body []byte) (Subtype, Reason) {
	var s Subtype
	if len(body) > 0 {
		s = Subtype(body[0])
	}
	switch {
	case dst != Group:
		return s, ReasonDMAC
	case etherType != EtherType:
		return s, ReasonEtherType
	case len(body) == 0:
		return s, ReasonTruncated
	case s != SubtypeLACP && s != SubtypeMarker:
		return s, ReasonSubtype
	}
	return s, ReasonNone
}

// AppendHeader appends the Ethernet header of a PDU that the port src sends: 14
// octets. Append or AppendMarker adds the rest.
func AppendHeader(b []byte, src MAC) []byte {
	b = append(b, Group[:]...)
	b = append(b, src[:]...)
	return binary.BigEndian.AppendUint16(b, EtherType)
}
