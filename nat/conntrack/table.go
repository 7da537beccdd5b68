package conntrack

import (
	"fmt"

	"golang.org/x/sys/unix"

	"understudy/nat/session"
)

// Delete removes the entries with the given keys and sets results[i]: nil,
// [ErrNotFound] or an errno. results is as long as keys; the returned error is as
// Install's.
func (k *Kernel) Delete(keys []session.Key, results []error) error {
	for i := 0; i < len(keys); {
		k.begin()
		from := i
		for ; i < len(keys) && !k.full(); i++ {
			seq := k.next(i)
			k.out = AppendDelete(k.out, seq, &keys[i], 0)
		}
		if err := k.exchange(nil); err != nil {
			fill(results[from:len(keys)], err)
			return err
		}
		for j := range k.slots[:k.n] {
			results[k.slots[j].index] = result(k.slots[j].errno)
		}
	}
	return nil
}

// Get returns the entry that holds the tuple key in either direction, or
// [ErrNotFound]. Its Key differs from key if it holds it as its reply.
func (k *Kernel) Get(key session.Key) (session.Record, error) {
	k.begin()
	seq := k.next(0)
	k.out = AppendGet(k.out, seq, &key)
	if err := k.exchange(nil); err != nil {
		return session.Record{}, err
	}
	s := &k.slots[0]
	if s.found {
		return s.entry, nil
	}
	if s.errno == 0 {
		return session.Record{}, ErrNoAnswer
	}
	return session.Record{}, result(s.errno)
}

// Holder returns the entry of this kernel that r clashes with: the one that holds
// r's key, else the one that holds r's translated reply tuple, else
// [ErrNotFound].
func (k *Kernel) Holder(r *session.Record) (session.Record, error) {
	e, err := k.Get(r.Key)
	if err != ErrNotFound {
		return e, err
	}
	return k.Get(replyKey(r))
}

// replyKey is r's reply tuple as a key.
func replyKey(r *session.Record) session.Key {
	return session.Key{
		Src: r.ReplySrc, Dst: r.ReplyDst,
		SrcPort: r.ReplySrcPort, DstPort: r.ReplyDstPort,
		Zone: r.Zone, Proto: r.Proto, Family: r.Family,
	}
}

// Dump calls fn for every entry that matches f; the Event is only valid during
// the call, and fn must not use k. Flows that begin or end meanwhile may or may
// not be there, and an entry may come twice. A million entries take 1.7 s; the
// packet path is not held up. The work is done on one processor: see apart.
func (k *Kernel) Dump(f Filter, fn func(*Event)) error {
	return k.apart(func() error { return k.dumpTable(f, fn) })
}

func (k *Kernel) dumpTable(f Filter, fn func(*Event)) error {
	k.begin()
	seq := k.next(0)
	k.out = AppendDump(k.out, seq, &f)
	return k.readDump(seq, func(msg []byte) error {
		switch err := ParseMessage(msg, &k.ev); err {
		case nil:
			if f.Family == 4 || f.match(&k.ev.Rec) {
				fn(&k.ev)
			}
		case ErrNotConntrack: // a family we do not know
		default:
			return err
		}
		return nil
	})
}

// readDump sends the request for a dump, whose sequence number is seq, and hands each
// message of the answer to take.
func (k *Kernel) readDump(seq uint32, take func(msg []byte) error) error {
	if k.dump == nil {
		k.dump = newInbox(1, dumpSize)
	}
	if err := k.s.send(k.out); err != nil {
		return fmt.Errorf("conntrack: dump: %w", err)
	}
	interrupted := false
	for {
		if _, err := k.dump.recv(k.s, 1, 0); err != nil {
			if err == unix.EAGAIN {
				err = ErrNoAnswer
			}
			return k.abandon(err)
		}
		b, whole := k.dump.datagram(0)
		if !whole {
			return k.abandon(unix.EMSGSIZE)
		}
		done, intr, err := piece(b, seq, take)
		interrupted = interrupted || intr
		switch {
		case err != nil:
			return k.abandon(err)
		case done && interrupted:
			return fmt.Errorf("conntrack: %w", ErrDumpInterrupted)
		case done:
			return nil
		}
	}
}

// piece handles one datagram of a dump.
func piece(b []byte, seq uint32, take func(msg []byte) error) (done, interrupted bool, err error) {
	for len(b) >= nlHeaderLen {
		h, ok := parseHeader(b)
		if !ok {
			return false, false, ErrMalformed
		}
		msg := b[:h.len]
		b = b[min((int(h.len)+3)&^3, len(b)):]
		if h.seq != seq {
			continue
		}
		interrupted = interrupted || h.flags&flagIntr != 0
		switch h.typ {
		case msgError, msgDone: // both carry an errno
			if errno, ok := parseErrno(msg); ok && errno != 0 {
				return true, interrupted, errno
			}
			return true, interrupted, nil
		}
		if err := take(msg); err != nil {
			return false, interrupted, err
		}
	}
	return false, interrupted, nil
}

// abandon empties the socket so that the rest of a failed dump is not taken for
// the next request's answer.
func (k *Kernel) abandon(err error) error {
	for {
		if _, err := k.dump.recv(k.s, 1, unix.MSG_DONTWAIT); err != nil && err != unix.ENOBUFS {
			break
		}
	}
	return fmt.Errorf("conntrack: dump: %w", err)
}
