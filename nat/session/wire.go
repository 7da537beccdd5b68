package session

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Version is the version of the frame header. Everything else evolves by frame
// types and attributes that carry a critical bit.
const Version = 1

// HeaderLen is the length of a frame header in bytes: version, type, two bytes
// of zero, payload length (32 bits, network byte order). MaxFrame bounds the
// payload: a longer one is refused before it is read.
const (
	HeaderLen = 8
	MaxFrame  = 64 << 10
)

// Type is the type of a frame. A receiver skips an unknown type unless its
// highest bit, the critical bit, is set.
type Type uint8

const critical = 0x80

const (
	TypeHello   Type = critical | 1 // both ways, first
	TypeBegin   Type = critical | 2 // a full transfer of a group begins
	TypeRecords Type = critical | 3 // upserts and deletes of one group
	TypeEnd     Type = critical | 4 // a full transfer is over: sweep
	TypeTerm    Type = critical | 5 // a group's term, and whether the sender is its Active
	TypeAudit   Type = 6            // what the group's set must be at this point of the stream
	TypeAck     Type = critical | 7 // back: frames received, frames applied
	TypeResync  Type = critical | 8 // back: begin a full transfer of a group
	TypePing    Type = 9
	TypePong    Type = 10
	TypeKept    Type = critical | 11 // records of a group the sender is not Active for; none: that was all

	TypeDigest    Type = 12            // sums of buckets at this point of the stream: see mend.go, survey.go
	TypeBuckets   Type = critical | 13 // a transfer of some buckets begins, is over: sweep within them
	TypeRefusal   Type = 14            // back: records that are not taken, and why
	TypeQuery     Type = 15            // what do you have of these flows?
	TypeInventory Type = 16            // back: the answer to DIGEST or QUERY

	TypePacked Type = critical | 24 // RECORDS in fewer bytes: see pack.go
	TypeMove   Type = 40            // last of a connection: another goes on where this one ends; see move.go
	TypeLook   Type = 48            // back: how do you stand? see view.go
	TypeView   Type = 49            // a piece of the answer
)

// String is the name of the type in logs.
func (t Type) String() string {
	switch t {
	case TypeHello:
		return "hello"
	case TypeBegin:
		return "begin"
	case TypeRecords:
		return "records"
	case TypeEnd:
		return "end"
	case TypeTerm:
		return "term"
	case TypeAudit:
		return "audit"
	case TypeAck:
		return "ack"
	case TypeResync:
		return "resync"
	case TypePing:
		return "ping"
	case TypePong:
		return "pong"
	case TypeKept:
		return "kept"
	case TypePacked:
		return "packed"
	case TypeDigest:
		return "digest"
	case TypeBuckets:
		return "buckets"
	case TypeRefusal:
		return "refusal"
	case TypeQuery:
		return "query"
	case TypeInventory:
		return "inventory"
	case TypeMove:
		return "move"
	case TypeLook:
		return "look"
	case TypeView:
		return "view"
	}
	return fmt.Sprintf("type %#x", uint8(t))
}

// counted tells whether acknowledgements count frames of this type: those that
// carry state. A type that the first version did not have is counted only if it is
// sent to no peer but one that has asked for it: both ends must count alike.
func (t Type) counted() bool {
	return t >= TypeBegin && t <= TypeTerm || t == TypeAudit || t == TypeKept || t == TypeBuckets || t == TypePacked
}

// Errors of the frame layer. They end a connection; what is wrong with a single
// record does not.
var (
	ErrVersion   = errors.New("session: frame of another protocol version")
	ErrLength    = errors.New("session: frame longer than allowed")
	ErrType      = errors.New("session: unknown critical frame type")
	ErrMalformed = errors.New("session: malformed frame")
	ErrOrder     = errors.New("session: frame before hello")
)

// Header is a decoded frame header.
type Header struct {
	Type   Type
	Length int // of the payload, at most MaxFrame
}

// ParseHeader decodes the first HeaderLen bytes of a frame.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, ErrMalformed
	}
	if b[0] != Version {
		return Header{}, ErrVersion
	}
	n := binary.BigEndian.Uint32(b[4:])
	if n > MaxFrame {
		return Header{}, ErrLength
	}
	return Header{Type(b[1]), int(n)}, nil
}

// openFrame appends a header whose length closeFrame fills in.
func openFrame(b []byte, t Type) ([]byte, int) {
	return append(b, Version, byte(t), 0, 0, 0, 0, 0, 0), len(b)
}

func closeFrame(b []byte, start int) []byte {
	binary.BigEndian.PutUint32(b[start+4:], uint32(len(b)-start-HeaderLen))
	return b
}

// reader takes a payload apart. The first thing missing sets bad; what is read
// afterwards is zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) u8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// uvarint32 refuses what does not fit.
func (r *reader) uvarint32() uint32 {
	v := r.uvarint()
	if v > 1<<32-1 {
		r.bad = true
	}
	return uint32(v)
}

// bytes reads a length and as many bytes.
func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	return r.take(int(n))
}
