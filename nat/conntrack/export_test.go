package conntrack

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"understudy/nat/session"
)

// Numbers that the tests edit messages with.
const (
	AttrTupleOrig  = ctaTupleOrig
	AttrTupleReply = ctaTupleReply
	AttrStatus     = ctaStatus
	AttrTimeout    = ctaTimeout
	AttrNATSrc     = ctaNATSrc
	AttrNATDst     = ctaNATDst
	AttrMark       = ctaMark

	FlagCreate  = flagCreate
	FlagExcl    = flagExcl
	FlagReplace = flagReplace
)

// Raw sends messages in one batch, each with a sequence number of its own, and
// returns the kernel's errno for each.
func (k *Kernel) Raw(msgs ...[]byte) ([]unix.Errno, error) {
	k.begin()
	for _, m := range msgs {
		seq := k.next(0)
		k.out = append(k.out, m...)
		binary.NativeEndian.PutUint32(k.out[k.last+8:], seq)
	}
	err := k.exchange(nil)
	var errnos []unix.Errno
	for i := range k.slots[:k.n] {
		errnos = append(errnos, k.slots[i].errno)
	}
	return errnos, err
}

// SetForm replaces the form in which Install creates entries.
func (k *Kernel) SetForm(f func(b []byte, seq uint32, r *session.Record, o *InstallOptions) []byte) {
	k.create = f
}

// Without returns the message without its top-level attributes of the given types.
func Without(msg []byte, types ...uint16) []byte {
	out := append([]byte(nil), msg[:headerLen]...)
	for b := msg[headerLen:]; len(b) > 0; {
		typ, _, rest, ok := nextAttr(b)
		if !ok {
			panic("malformed test message")
		}
		keep := true
		for _, t := range types {
			keep = keep && t != typ
		}
		if keep {
			out = append(out, b[:len(b)-len(rest)]...)
		}
		b = rest
	}
	return finish(out, 0)
}

// WithStatus returns the message with another CTA_STATUS.
func WithStatus(msg []byte, s session.Status) []byte {
	return finish(appendUint32(Without(msg, ctaStatus), ctaStatus, uint32(s)), 0)
}

// WithReply returns the message with r's translated reply tuple: what a replay of
// a dump would send.
func WithReply(msg []byte, r *session.Record) []byte {
	k := replyKey(r)
	return finish(appendTuple(Without(msg, ctaTupleReply), ctaTupleReply, &k), 0)
}

// WithFlags returns the message with other flags, NLM_F_REQUEST aside.
func WithFlags(msg []byte, flags uint16) []byte {
	out := append([]byte(nil), msg...)
	binary.NativeEndian.PutUint16(out[6:], flagRequest|flags)
	return out
}

// CaptureEvents reads what is queued, as it came.
func (l *Listener) CaptureEvents(fn func([]byte)) error {
	for {
		n, err := l.in.recv(l.s, eventSlots, unix.MSG_DONTWAIT)
		if err == unix.EAGAIN {
			return nil
		}
		if err != nil {
			return err
		}
		for i := range n {
			b, _ := l.in.datagram(i)
			fn(b)
		}
	}
}

// CaptureGet asks for the entry of a key and returns the kernel's messages as
// they came: the entry, or the error, and the acknowledgement.
func (k *Kernel) CaptureGet(key session.Key) (msgs [][]byte, err error) {
	k.begin()
	seq := k.next(0)
	k.out = AppendGet(k.out, seq, &key)
	addFlags(k.out, k.last, flagAck)
	if err := k.s.send(k.out); err != nil {
		return nil, err
	}
	n, err := k.in.recv(k.s, MaxBatch, unix.MSG_DONTWAIT)
	for i := range n {
		b, _ := k.in.datagram(i)
		msgs = append(msgs, append([]byte(nil), b...))
	}
	return msgs, err
}

// ParseUsualTuple is the decoder's short cut.
var ParseUsualTuple = parseUsualTuple

// AppendTuple writes a tuple attribute.
var AppendTuple = appendTuple

// ParseTuple decodes the value of a tuple attribute.
func ParseTuple(b []byte, k *session.Key) bool {
	_, ok := parseTuple(b, k)
	return ok
}
