package probe

import (
	"encoding/binary"
	"hash/crc32"
)

// SCTP chunk types (RFC 9260 section 3.2).
const (
	SCTPData             = 0
	SCTPInit             = 1
	SCTPInitAck          = 2
	SCTPShutdown         = 7
	SCTPShutdownAck      = 8
	SCTPCookieEcho       = 10
	SCTPCookieAck        = 11
	SCTPShutdownComplete = 14
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// SCTPPacket is an SCTP packet of one chunk, with its checksum (RFC 9260 sections 3
// and 6.8). tag is the verification tag that the receiver has asked for: 0 in INIT.
// A DATA chunk is a whole message.
func SCTPPacket(src, dst uint16, tag uint32, chunk byte, value []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, src)
	b = binary.BigEndian.AppendUint16(b, dst)
	b = binary.BigEndian.AppendUint32(b, tag)
	flags := byte(0)
	if chunk == SCTPData {
		flags = 3 // not in fragments
	}
	b = append(b, 0, 0, 0, 0, chunk, flags)
	b = binary.BigEndian.AppendUint16(b, uint16(4+len(value)))
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	// The one checksum of the Internet that is sent with its low byte first.
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b, castagnoli))
	return b
}

// SCTPInitValue is what INIT and INIT ACK say (RFC 9260 sections 3.3.2 and 3.3.3): the
// tag that the other end must use, a window, a stream each way, the first sequence
// number; and the state cookie that an INIT ACK must have.
func SCTPInitValue(tag uint32, cookie bool) []byte {
	b := binary.BigEndian.AppendUint32(nil, tag)
	b = binary.BigEndian.AppendUint32(b, 65536)
	b = append(b, 0, 1, 0, 1, 0, 0, 0, 1)
	if cookie {
		b = append(b, 0, 7, 0, 8, 1, 2, 3, 4)
	}
	return b
}
