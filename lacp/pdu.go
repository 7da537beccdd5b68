package lacp

import "encoding/binary"

// Info is what a PDU says of one end.
type Info struct {
	SystemPriority uint16
	System         MAC
	Key            uint16
	PortPriority   uint16
	Port           uint16
	State          State
}

// PDU is an LACPDU.
type PDU struct {
	Version           uint8
	Actor             Info   // the sender
	Partner           Info   // what the sender knows of the receiver
	CollectorMaxDelay uint16 // units of 10 µs
	// Extensions are the TLVs of version 2 and later, as they are on the wire,
	// without the terminator. They alias the packet they were read from.
	Extensions []byte
}

const (
	tlvActor     = 1
	tlvPartner   = 2
	tlvCollector = 3

	infoLen      = 20 // of actor and partner information, type and length included
	collectorLen = 16

	actorAt     = 2
	partnerAt   = actorAt + infoLen
	collectorAt = partnerAt + infoLen
	moreAt      = collectorAt + collectorLen // the terminator in version 1
)

// Parse reads an LACPDU; b begins with the subtype, which [Classify] has looked
// at. Octets after the PDU are padding or a frame check sequence. Unless it
// returns ReasonNone, p is filled only as far as the reading came. Does not
// allocate; p.Extensions aliases b.
func Parse(b []byte, p *PDU) Reason {
	*p = PDU{}
	if len(b) > 1 {
		p.Version = b[1]
	}
	if len(b) < bodyLen {
		return ReasonTruncated
	}
	if b[actorAt+1] != infoLen {
		return ReasonActorLength
	}
	p.Actor = parseInfo(b[actorAt:])
	if b[partnerAt+1] != infoLen {
		return ReasonPartnerLength
	}
	p.Partner = parseInfo(b[partnerAt:])
	if b[collectorAt+1] != collectorLen {
		return ReasonCollectorLength
	}
	p.CollectorMaxDelay = binary.BigEndian.Uint16(b[collectorAt+2:])
	if p.Version >= 2 {
		return p.parseMore(b[moreAt:])
	}
	if b[moreAt+1] != 0 {
		return ReasonTerminator
	}
	return ReasonNone
}

// parseMore finds the terminator behind TLVs that this version of the standard
// may not know. A TLV too short to hold its own header ends the list as well:
// nothing behind it can be found, and nothing behind it matters to us.
func (p *PDU) parseMore(b []byte) Reason {
	n := 0
	for ; len(b)-n >= 2 && b[n] != 0 && b[n+1] >= 2; n += int(b[n+1]) {
		if n+int(b[n+1]) > len(b) {
			return ReasonTruncated
		}
	}
	p.Extensions = b[:n:n]
	switch {
	case len(b)-n < 2:
		return ReasonTruncated
	case b[n] == 0 && b[n+1] != 0:
		return ReasonTerminator
	}
	return ReasonNone
}

func parseInfo(b []byte) Info {
	return Info{
		SystemPriority: binary.BigEndian.Uint16(b[2:]),
		System:         MAC(b[4:10]),
		Key:            binary.BigEndian.Uint16(b[10:]),
		PortPriority:   binary.BigEndian.Uint16(b[12:]),
		Port:           binary.BigEndian.Uint16(b[14:]),
		State:          State(b[16]),
	}
}

// Append appends the PDU to b, from the subtype on: 110 octets, or more if the
// extensions need it; below version 2 there are none. It does not allocate if b
// has the room.
func Append(b []byte, p *PDU) []byte {
	start := len(b)
	b = append(b, byte(SubtypeLACP), p.Version)
	b = appendInfo(b, tlvActor, p.Actor)
	b = appendInfo(b, tlvPartner, p.Partner)
	b = append(b, tlvCollector, collectorLen)
	b = binary.BigEndian.AppendUint16(b, p.CollectorMaxDelay)
	b = appendZeros(b, collectorLen-4)
	if p.Version >= 2 {
		b = append(b, p.Extensions...)
	}
	b = append(b, 0, 0)
	return appendZeros(b, bodyLen-(len(b)-start))
}

func appendInfo(b []byte, tlv byte, i Info) []byte {
	b = append(b, tlv, infoLen)
	b = binary.BigEndian.AppendUint16(b, i.SystemPriority)
	b = append(b, i.System[:]...)
	b = binary.BigEndian.AppendUint16(b, i.Key)
	b = binary.BigEndian.AppendUint16(b, i.PortPriority)
	b = binary.BigEndian.AppendUint16(b, i.Port)
	return append(b, byte(i.State), 0, 0, 0)
}

func appendZeros(b []byte, n int) []byte {
	for range n {
		b = append(b, 0)
	}
	return b
}
