package heartbeat

import (
	"encoding/binary"
	"time"
)

// Sizes of messages, in octets.
const (
	MinSize = headerSize + 1 + codeSize
	MaxSize = headerSize + MaxName + codeSize
	MaxName = 63

	headerSize = 44
	magic      = "uhs\x01"
)

// Kind is what a message is.
type Kind uint8

// The kinds.
const (
	Beat   Kind = 1
	Ask    Kind = 2
	Answer Kind = 3
)

// The flags of a server.
const (
	flagFailing = 1
	flagLeaving = 2
	knownFlags  = flagFailing | flagLeaving
)

// Message is a heartbeat, a question for one, or the answer.
type Message struct {
	Kind        Kind
	Failing     bool // the server's own check failed
	Leaving     bool // the server ends in good order: nothing comes after this
	Incarnation uint64
	Sequence    uint64
	Nonce       uint64
	Time        time.Time // to the nanosecond, 1970 to 2262
	Interval    time.Duration
	Name        string // of the server
}

// Append appends the message and its code to dst.
func Append(dst []byte, m Message, key Key) []byte {
	start := len(dst)
	flags := byte(0)
	if m.Failing {
		flags |= flagFailing
	}
	if m.Leaving {
		flags |= flagLeaving
	}
	name := m.Name[:min(len(m.Name), MaxName)]
	b := append(dst, magic...)
	b = append(b, byte(m.Kind), flags, byte(len(name)), 0)
	b = binary.BigEndian.AppendUint64(b, m.Incarnation)
	b = binary.BigEndian.AppendUint64(b, m.Sequence)
	b = binary.BigEndian.AppendUint64(b, m.Nonce)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Time.UnixNano()))
	b = binary.BigEndian.AppendUint32(b, uint32(min(max(m.Interval.Microseconds(), 0), 1<<32-1)))
	b = append(b, name...)
	return append(b, key.code(b[start:])...)
}

// Parse reads a message. Nothing of it is to be believed before its code was
// looked at, with the key of the server that it names: [Key.Fits].
func Parse(b []byte) (m Message, _ Reason) {
	if len(b) < len(magic) || string(b[:len(magic)]) != magic {
		return m, ReasonFormat
	}
	if len(b) < MinSize || len(b) != headerSize+int(b[6])+codeSize || b[6] == 0 || b[6] > MaxName {
		return m, ReasonLength
	}
	m = Message{
		Kind:    Kind(b[4]),
		Failing: b[5]&flagFailing != 0, Leaving: b[5]&flagLeaving != 0,
		Incarnation: binary.BigEndian.Uint64(b[8:]),
		Sequence:    binary.BigEndian.Uint64(b[16:]),
		Nonce:       binary.BigEndian.Uint64(b[24:]),
		Time:        time.Unix(0, int64(binary.BigEndian.Uint64(b[32:]))),
		Interval:    time.Duration(binary.BigEndian.Uint32(b[40:])) * time.Microsecond,
		Name:        string(b[headerSize : len(b)-codeSize]),
	}
	switch {
	case m.Kind < Beat || m.Kind > Answer, b[5]&^knownFlags != 0, b[7] != 0, m.Incarnation == 0, (m.Kind == Beat) != (m.Nonce == 0), (m.Kind == Beat) != (m.Interval > 0):
		return Message{}, ReasonFormat
	}
	return m, ReasonNone
}
