package conntrack

import (
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"understudy/nat/session"
)

// MaxBatch is how many messages are handed to the kernel in one system call.
// More gains nothing, and the kernel handles a batch without a pause: 64 take
// 0.15 to 0.35 ms.
const MaxBatch = 64

const (
	// answerSize holds an echoed entry or an error with its capped header.
	answerSize = 2048
	// dumpSize is the kernel's largest piece of a dump.
	dumpSize = 32 << 10
	// kernelBuf holds the answers to a batch many times over: a lost answer
	// would mean an unknown result.
	kernelBuf = 2 << 20
	// dumpWait bounds the wait for the next piece of a dump. The kernel makes it
	// while we ask for it, so this never happens.
	dumpWait = 5 * time.Second
)

// Kernel changes and reads the conntrack table of one network namespace. Not
// safe for concurrent use, nor from within the function given to Dump.
type Kernel struct {
	// Dumping, if it is set, is called before and after a dump: the last processor is
	// busy meanwhile.
	Dumping func(on bool)

	s    *socket
	in   *inbox
	dump *inbox // made by the first Dump
	seq  uint32
	ev   Event

	o InstallOptions // of the Install under way
	// sound counts the translations that were verified, up to soundAfter; -1: one was
	// wrong. checked are those of the batch under way.
	sound, checked int
	// create is AppendCreate; a test puts a wrong form in its place to see it
	// caught.
	create func(b []byte, seq uint32, r *session.Record, o *InstallOptions) []byte

	// The batch under way.
	out   []byte
	base  uint32 // sequence number of the first message
	last  int    // index in out of the last message
	n     int
	slots [MaxBatch]slot
}

// slot is one message of a batch and the kernel's answer to it.
type slot struct {
	index int // of the record in the caller's slice
	errno unix.Errno
	check bool // its translation is to be verified
	found bool // entry is the kernel's, echoed or asked for
	entry session.Record
}

// OpenKernel opens the injector in the network namespace of the calling thread.
// It needs CAP_NET_ADMIN.
func OpenKernel() (*Kernel, error) {
	s, err := openSocket(kernelBuf, kernelBuf)
	if err != nil {
		return nil, fmt.Errorf("conntrack: injector socket: %w", err)
	}
	tv := unix.NsecToTimeval(int64(dumpWait))
	if err := unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		_ = s.Close() // the first error is the one to tell
		return nil, fmt.Errorf("conntrack: injector socket: %w", os.NewSyscallError("setsockopt SO_RCVTIMEO", err))
	}
	return &Kernel{s: s, in: newInbox(MaxBatch, answerSize), seq: 1, create: AppendCreate}, nil
}

// PortID returns the netlink port that events of our own changes carry; see
// [ListenerConfig].
func (k *Kernel) PortID() uint32 { return k.s.portID }

// Close closes the socket. Entries stay.
func (k *Kernel) Close() error { return k.s.Close() }

// begin starts a batch. Sequence numbers are never used twice in a row of four
// billion, and never 0, which is an echo's.
func (k *Kernel) begin() {
	if k.seq > ^uint32(0)-MaxBatch {
		k.seq = 1
	}
	k.base, k.n, k.last, k.checked, k.out = k.seq, 0, 0, 0, k.out[:0]
}

// full tells whether the batch must be exchanged before the next message.
func (k *Kernel) full() bool { return k.n == MaxBatch }

// next takes a slot for the record with the given index and returns the sequence
// number of its message, which the caller appends to k.out at once.
func (k *Kernel) next(index int) (seq uint32) {
	s := &k.slots[k.n]
	s.index, s.errno, s.check, s.found = index, 0, false, false
	k.n++
	k.seq++
	k.last = len(k.out)
	return k.seq - 1
}

// exchange sends the batch and reads the answers into the slots. The kernel has
// handled all of it when send returns; a message that failed has answered, one
// that did not answer went well, and the last one is asked to.
//
// recs are the records that the slots' indexes mean. Echoes are recognised by
// their keys: they come in order, but without a sequence number.
func (k *Kernel) exchange(recs []session.Record) error {
	if k.n == 0 {
		return nil
	}
	addFlags(k.out, k.last, flagAck)
	if err := k.s.send(k.out); err != nil {
		return fmt.Errorf("conntrack: %w", err)
	}
	echo, lost := 0, false
	for {
		n, err := k.in.recv(k.s, MaxBatch, unix.MSG_DONTWAIT)
		switch err {
		case nil:
		case unix.EAGAIN:
			return fmt.Errorf("conntrack: %w", ErrNoAnswer)
		case unix.ENOBUFS:
			lost = true // some message's result is unknown: read the rest, then say so
			continue
		default:
			return fmt.Errorf("conntrack: %w", os.NewSyscallError("recvmmsg", err))
		}
		done := false
		for i := range n {
			b, whole := k.in.datagram(i)
			if whole && k.answer(b, recs, &echo) {
				done = true
			}
		}
		if done && !lost {
			return nil
		}
	}
}

// answer files one message of the kernel; done tells that it was the
// acknowledgement of the last request.
func (k *Kernel) answer(b []byte, recs []session.Record, echo *int) (done bool) {
	h, ok := parseHeader(b)
	if !ok {
		return false
	}
	i := h.seq - k.base // wraps for foreign numbers, so they are out of range
	if h.typ == msgError {
		errno, ok := parseErrno(b[:h.len])
		if !ok || i >= uint32(k.n) {
			return false
		}
		k.slots[i].errno = errno
		return int(i) == k.n-1
	}
	if ParseMessage(b, &k.ev) != nil {
		return false
	}
	if h.seq == 0 && recs != nil {
		for ; *echo < k.n; *echo++ {
			if s := &k.slots[*echo]; s.check && recs[s.index].Key == k.ev.Rec.Key {
				i = uint32(*echo)
				*echo++
				break
			}
		}
	}
	if i < uint32(k.n) {
		k.slots[i].found, k.slots[i].entry = true, k.ev.Rec
	}
	return false
}

// parseErrno reads the errno of an error message; 0 is an acknowledgement.
func parseErrno(b []byte) (unix.Errno, bool) {
	if len(b) < nlHeaderLen+4 {
		return 0, false
	}
	return unix.Errno(-int32(binary.NativeEndian.Uint32(b[nlHeaderLen:]))), true
}

// result turns an errno into the result of an entry.
func result(errno unix.Errno) error {
	switch errno {
	case 0:
		return nil
	case unix.EEXIST:
		return ErrClash
	case unix.ENOENT:
		return ErrNotFound
	case unix.ENOMEM:
		return ErrTableFull
	}
	return errno
}
