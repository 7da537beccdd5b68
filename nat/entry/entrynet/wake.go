package entrynet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"

	"golang.org/x/sys/unix"

	"understudy/nat"
)

// waker sends segments with headers of its own. The kernel's connection tracking must not
// see them, or it would take the client's answer for that of a connection: nftables has a
// rule for that (EntryTable's chain entry_wake).
type waker struct{ four, six int }

func openWaker() (w waker, err error) {
	if w.four, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_RAW); err != nil {
		return w, os.NewSyscallError("socket", err)
	}
	// A kernel without IPv6 has no clients of it.
	w.six, err = unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_RAW)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		w.six, err = -1, nil
	}
	if err != nil {
		return w, errors.Join(os.NewSyscallError("socket", err), unix.Close(w.four))
	}
	return w, nil
}

func (w waker) close() error {
	err := unix.Close(w.four)
	if w.six >= 0 {
		err = errors.Join(err, unix.Close(w.six))
	}
	return err
}

// wake sends each client of SCTP an ABORT, and each of TCP a segment without a timestamp, and one with, and returns to how
// many. Where timestamps were agreed on, some systems drop the first in silence (RFC 7323
// section 3.2), and Linux drops every other of the second, where the timestamp is old and
// the segment looks like one that was overtaken. A client that cannot be reached does not
// keep the others from hearing; the error is of the last one.
func (w waker) wake(flows []Flow) (n int, err error) {
	var b [40 + 32]byte
	for _, f := range flows {
		// Any number will do: that it happens to be in the window is improbable, and
		// then an acknowledgement of what was never sent draws the same answer
		// (RFC 5961 section 5).
		fd, to := w.four, unix.Sockaddr(nil)
		if a := f.Client.Addr(); a.Is6() {
			fd, to = w.six, &unix.SockaddrInet6{Addr: a.As16()}
		} else {
			to = &unix.SockaddrInet4{Addr: a.As4()}
		}
		if fd < 0 {
			continue
		}
		var e error
		if f.Proto == nat.SCTP {
			e = unix.Sendto(fd, appendAbort(b[:0], f), 0, to)
		} else if e = unix.Sendto(fd, appendSegment(b[:0], f, rand.Uint32(), rand.Uint32(), false), 0, to); e == nil {
			e = unix.Sendto(fd, appendSegment(b[:0], f, rand.Uint32(), rand.Uint32(), true), 0, to)
		}
		if e != nil {
			err = fmt.Errorf("entrynet: wake %v: %w", f.Client, os.NewSyscallError("sendto", e))
			continue
		}
		n++
	}
	return n, err
}

// appendSegment appends an IP packet (RFC 791, RFC 8200) with a TCP segment (RFC 9293
// section 3.1) from the entry point to the client that says nothing but seq and ack, and
// perhaps a timestamp (RFC 7323 section 3.2).
func appendSegment(b []byte, f Flow, seq, ack uint32, stamped bool) []byte {
	const (
		tcp, hops, flagACK = 6, 64, 0x10
		nop, timestamp     = 1, 8
	)
	header := byte(20)
	if stamped {
		header = 32
	}
	b = appendIP(b, f, tcp, hops, header)
	at := len(b)
	pseudo := at - 2*len(f.To.Addr().AsSlice())
	b = binary.BigEndian.AppendUint16(b, f.To.Port())
	b = binary.BigEndian.AppendUint16(b, f.Client.Port())
	b = binary.BigEndian.AppendUint32(b, seq)
	b = binary.BigEndian.AppendUint32(b, ack)
	b = append(b, header/4<<4, flagACK, 0, 0, 0, 0, 0, 0)
	if stamped {
		b = append(b, nop, nop, timestamp, 10)
		b = binary.BigEndian.AppendUint32(b, ack)
		b = binary.BigEndian.AppendUint32(b, seq)
	}
	sum := tcp + uint32(header)
	for i := pseudo; i < len(b); i += 2 { // the addresses, and all behind them
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[at+16:], ^uint16(sum))
	return b
}
