package lacp

import "encoding/binary"

// MarkerKind is the type of a Marker PDU's TLV.
type MarkerKind uint8

// The kinds. Others are read like these and answered by nobody.
const (
	MarkerInformation MarkerKind = 1
	MarkerResponse    MarkerKind = 2
)

const markerLen = 16

// Marker asks whether all frames before it have arrived, or answers that they
// have (802.1AX-2008, 5.5). A gateway must answer.
type Marker struct {
	Version     uint8
	Kind        MarkerKind
	Port        uint16 // the requester's
	System      MAC    // the requester's
	Transaction uint32
}

// ParseMarker reads a Marker PDU; b begins with the subtype. The length of its
// TLV is not looked at: a header in wide use documents a wrong one. The only
// reason given is ReasonTruncated.
func ParseMarker(b []byte) (Marker, Reason) {
	if len(b) < bodyLen {
		return Marker{}, ReasonTruncated
	}
	return Marker{
		Version:     b[1],
		Kind:        MarkerKind(b[2]),
		Port:        binary.BigEndian.Uint16(b[4:]),
		System:      MAC(b[6:12]),
		Transaction: binary.BigEndian.Uint32(b[12:]),
	}, ReasonNone
}

// Answer returns the response to m, to be sent on the port that m came in by.
func (m Marker) Answer() Marker {
	m.Version, m.Kind = 1, MarkerResponse
	return m
}

// AppendMarker appends the PDU to b, from the subtype on: 110 octets. It does
// not allocate if b has the room.
func AppendMarker(b []byte, m Marker) []byte {
	b = append(b, byte(SubtypeMarker), m.Version, byte(m.Kind), markerLen)
	b = binary.BigEndian.AppendUint16(b, m.Port)
	b = append(b, m.System[:]...)
	b = binary.BigEndian.AppendUint32(b, m.Transaction)
	return appendZeros(b, bodyLen-16)
}
