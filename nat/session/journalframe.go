package session

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// The journal is the table on disk, for the day on which nobody is left who has it
// in memory. It is a row of segments, numbered, and a segment is a row of frames:
//
//	length    32 bits, of the payload, network byte order
//	checksum  32 bits, CRC-32C (RFC 3720) of length and payload
//	payload   a byte of type, and what the type says
//
// The first frame of a segment is a HEAD; records are as on the wire. A power cut
// leaves whole frames and perhaps the beginning of one, or zeros, which length and
// checksum tell.

// JournalFrame is the type of a frame of the journal. Of an unknown type with the
// critical bit, and of what follows, a reader can make nothing.
type JournalFrame uint8

const (
	FrameHead     JournalFrame = critical | 1 // who writes, and since when
	FrameRecords  JournalFrame = critical | 2 // group, term, moment, records
	FrameComplete JournalFrame = critical | 3 // the snapshot that began with that segment is all there
)

// Lengths of the journal's frames in bytes: what stands in front of a payload, and
// the longest that there may be.
const (
	JournalHeaderLen = 8
	MaxJournalFrame  = 2 * MaxFrame
)

// ErrTorn is a frame that was not written whole, or has been damaged.
var ErrTorn = errors.New("session: damaged frame of a journal")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Stamp is a moment by two clocks, in milliseconds: since 1970, which somebody may
// set, and since the kernel booted, which says nothing after a reboot.
type Stamp struct{ Wall, Boot int64 }

// Kernel names a table of connections: which kernel it is in, as of which boot, and
// in which network namespace. The same Kernel is the same table.
type Kernel struct {
	Boot      [16]byte // /proc/sys/kernel/random/boot_id
	Namespace uint64   // SO_NETNS_COOKIE; 0: this kernel does not tell
}

// JournalHead is what a segment begins with.
type JournalHead struct {
	Node     string
	Config   uint64 // see [Hello]
	Kernel   Kernel
	Sequence uint64 // of the segment
	Snapshot bool   // a snapshot begins here: what is in earlier segments does not count once it is complete
	At       Stamp
	Groups   []JournalGroup // frames refer to a group by its place here
}

// JournalGroup is a group as it was when the segment began.
type JournalGroup struct {
	Name string // at most 255 bytes
	Term uint64
	// Resting: its sessions are from a journal themselves, and no kernel has them.
	Resting bool
}

// Attributes of a HEAD.
const (
	headNode     = critical | 1
	headConfig   = critical | 2
	headKernel   = critical | 3
	headSequence = critical | 4 // and flags
	headMoment   = critical | 5
	headGroup    = critical | 6 // term, flags, name; repeated
)

const (
	headSnapshot = 1 << 0
	groupResting = 1 << 0
)

// openJournal begins a frame, closeJournal completes it.
func openJournal(b []byte, t JournalFrame) ([]byte, int) {
	return append(b, 0, 0, 0, 0, 0, 0, 0, 0, byte(t)), len(b)
}

func closeJournal(b []byte, start int) []byte {
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-JournalHeaderLen))
	binary.BigEndian.PutUint32(b[start+4:], journalSum(b[start:start+4], b[start+JournalHeaderLen:]))
	return b
}

func journalSum(length, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum(length, castagnoli), castagnoli, payload)
}

// JournalLength returns how many bytes the frame has that b, at least
// JournalHeaderLen bytes of it, begins with.
func JournalLength(b []byte) (int, error) {
	if len(b) < JournalHeaderLen {
		return 0, ErrTorn
	}
	n := binary.BigEndian.Uint32(b)
	if n == 0 || n > MaxJournalFrame {
		return 0, ErrTorn
	}
	return JournalHeaderLen + int(n), nil
}

// ParseJournal takes a frame apart, all of it and nothing behind it.
func ParseJournal(b []byte) (t JournalFrame, body []byte, err error) {
	n, err := JournalLength(b)
	if err != nil {
		return 0, nil, err
	}
	if n != len(b) || binary.BigEndian.Uint32(b[4:]) != journalSum(b[:4], b[JournalHeaderLen:]) {
		return 0, nil, ErrTorn
	}
	return JournalFrame(b[JournalHeaderLen]), b[JournalHeaderLen+1:], nil
}

// AppendJournalHead appends a HEAD frame.
func AppendJournalHead(b []byte, h *JournalHead) []byte {
	b, start := openJournal(b, FrameHead)
	be := binary.BigEndian
	attr := func(typ byte, n int) { b = binary.AppendUvarint(append(b, typ), uint64(n)) }
	attr(headNode, len(h.Node))
	b = append(b, h.Node...)
	attr(headConfig, 8)
	b = be.AppendUint64(b, h.Config)
	attr(headKernel, 24)
	b = be.AppendUint64(append(b, h.Kernel.Boot[:]...), h.Kernel.Namespace)
	attr(headSequence, 9)
	b = append(be.AppendUint64(b, h.Sequence), flag(h.Snapshot)*headSnapshot)
	attr(headMoment, 16)
	b = appendStamp(b, h.At)
	for _, g := range h.Groups {
		attr(headGroup, 9+len(g.Name))
		b = append(be.AppendUint64(b, g.Term), flag(g.Resting)*groupResting)
		b = append(b, g.Name...)
	}
	return closeJournal(b, start)
}

func appendStamp(b []byte, at Stamp) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, uint64(at.Wall)), uint64(at.Boot))
}

func (r *reader) stamp() Stamp { return Stamp{int64(r.u64()), int64(r.u64())} }

// ParseJournalHead decodes the body of a HEAD frame.
func ParseJournalHead(b []byte) (*JournalHead, error) {
	h := new(JournalHead)
	r := reader{b: b}
	for len(r.b) > 0 {
		typ := r.u8()
		v := reader{b: r.bytes()}
		switch {
		case r.bad:
			return nil, ErrMalformed
		case typ == headNode:
			h.Node = string(v.b)
		case typ == headConfig:
			h.Config = v.u64()
		case typ == headKernel:
			copy(h.Kernel.Boot[:], v.take(len(h.Kernel.Boot)))
			h.Kernel.Namespace = v.u64()
		case typ == headSequence:
			h.Sequence = v.u64()
			h.Snapshot = v.u8()&headSnapshot != 0
		case typ == headMoment:
			h.At = v.stamp()
		case typ == headGroup:
			g := JournalGroup{Term: v.u64(), Resting: v.u8()&groupResting != 0}
			g.Name = string(v.b)
			h.Groups = append(h.Groups, g)
		case typ&critical != 0:
			return nil, ErrCritical
		}
		if v.bad {
			return nil, ErrMalformed
		}
	}
	if h.Node == "" || len(h.Node) > 255 || len(h.Groups) > MaxGroups {
		return nil, ErrMalformed
	}
	return h, nil
}

// appendComplete appends a COMPLETE frame for the snapshot that began with the given
// segment.
func appendComplete(b []byte, sequence uint64) []byte {
	b, start := openJournal(b, FrameComplete)
	return closeJournal(binary.BigEndian.AppendUint64(b, sequence), start)
}

// ParseComplete decodes the body of a COMPLETE frame: with which segment the
// snapshot began.
func ParseComplete(b []byte) (sequence uint64, err error) {
	r := reader{b: b}
	if sequence = r.u64(); r.bad {
		return 0, ErrMalformed
	}
	return sequence, nil
}
