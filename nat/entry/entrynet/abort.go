package entrynet

import (
	"encoding/binary"
	"hash/crc32"
)

// SCTP needs no waking: the kernel knows the verification tags of an association, and an
// ABORT with the client's own ends it at once (RFC 9260 sections 3.3.7, 8.5.1 B).

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendAbort appends an IP packet with an SCTP ABORT from the entry point to the client.
func appendAbort(b []byte, f Flow) []byte {
	const sctp, hops, abort, size = 132, 64, 6, 16
	b = appendIP(b, f, sctp, hops, size)
	at := len(b)
	b = binary.BigEndian.AppendUint16(b, f.To.Port())
	b = binary.BigEndian.AppendUint16(b, f.Client.Port())
	b = binary.BigEndian.AppendUint32(b, f.Tag)
	b = append(b, 0, 0, 0, 0, abort, 0, 0, 4) // checksum; the chunk, whose tag is the receiver's (T = 0)
	binary.LittleEndian.PutUint32(b[at+8:], crc32.Checksum(b[at:], castagnoli))
	return b
}

// appendIP appends the header of a packet with so many bytes behind it (RFC 791, RFC 8200),
// from the entry point to the client; it ends with both addresses.
func appendIP(b []byte, f Flow, proto, hops, size byte) []byte {
	if f.Client.Addr().Is4() {
		b = append(b, 0x45, 0)
		b = binary.BigEndian.AppendUint16(b, 20+uint16(size))
		b = append(b, 0, 0, 0x40, 0, hops, proto, 0, 0) // not to be fragmented; the kernel fills in the checksum
	} else {
		b = append(b, 0x60, 0, 0, 0, 0, size, proto, hops)
	}
	return append(append(b, f.To.Addr().AsSlice()...), f.Client.Addr().AsSlice()...)
}
