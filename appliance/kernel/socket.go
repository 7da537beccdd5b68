package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// batchSize is how many messages go to the kernel in one send.
	batchSize = 128
	// receiveSize holds any datagram of rtnetlink: dumps come in up to 32 KiB.
	receiveSize = 64 << 10
	// dumpTries bounds how often a dump that a change interrupted is repeated.
	dumpTries = 5
)

// socket is an rtnetlink socket for requests. The kernel works on a request
// inside the sending call, so its answers wait when the call returns; the
// receive timeout is only for the case that one got lost.
type socket struct {
	fd     int
	portID uint32
	seq    uint32
	buf    []byte
}

func openSocket() (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s := &socket{fd: fd, buf: make([]byte, receiveSize)}
	if err := s.setUp(); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return s, nil
}

func (s *socket) setUp() error {
	if err := unix.Bind(s.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	own, err := unix.Getsockname(s.fd)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	s.portID = own.(*unix.SockaddrNetlink).Pid
	// Errors without a copy of the request: 128 of them fit the buffer.
	if err := unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1); err != nil {
		return os.NewSyscallError("setsockopt NETLINK_CAP_ACK", err)
	}
	// Strict checking makes address dumps honour the interface index.
	if err := unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1); err != nil {
		return os.NewSyscallError("setsockopt NETLINK_GET_STRICT_CHK", err)
	}
	return os.NewSyscallError("setsockopt SO_RCVTIMEO",
		unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2}))
}

func (s *socket) close() error { return unix.Close(s.fd) }

// message is one netlink message of a datagram. data aliases the buffer.
type message struct {
	typ   uint16
	flags uint16
	seq   uint32
	port  uint32 // who caused it
	data  []byte
}

// errno is the verdict in an NLMSG_ERROR or NLMSG_DONE message; nil if it is
// an acknowledgement.
func (m message) errno() error {
	if len(m.data) < 4 {
		return nil
	}
	if n := int32(binary.NativeEndian.Uint32(m.data)); n != 0 {
		return unix.Errno(-n)
	}
	return nil
}

// messages walks through a datagram.
func messages(b []byte) iter.Seq[message] {
	return func(yield func(message) bool) {
		for len(b) >= unix.SizeofNlMsghdr {
			n := int(binary.NativeEndian.Uint32(b))
			if n < unix.SizeofNlMsghdr || n > len(b) {
				return
			}
			m := message{
				typ:   binary.NativeEndian.Uint16(b[4:]),
				flags: binary.NativeEndian.Uint16(b[6:]),
				seq:   binary.NativeEndian.Uint32(b[8:]),
				port:  binary.NativeEndian.Uint32(b[12:]),
				data:  b[unix.SizeofNlMsghdr:n],
			}
			if !yield(m) {
				return
			}
			b = b[min(align(n), len(b)):]
		}
	}
}

// attributes walks through the attributes behind a message's fixed header.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			n := int(binary.NativeEndian.Uint16(b))
			if n < unix.SizeofRtAttr || n > len(b) {
				return
			}
			typ := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if !yield(typ, b[unix.SizeofRtAttr:n]) {
				return
			}
			b = b[min(align(n), len(b)):]
		}
	}
}

func align(n int) int { return (n + 3) &^ 3 }

// receive returns one datagram of the kernel's.
func (s *socket) receive() ([]byte, error) {
	for {
		n, from, err := unix.Recvfrom(s.fd, s.buf, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, os.NewSyscallError("recvfrom", err)
		}
		if sa, ok := from.(*unix.SockaddrNetlink); !ok || sa.Pid != 0 {
			continue // anyone may send to our port
		}
		return s.buf[:n], nil
	}
}

func (s *socket) send(b []byte) error {
	return os.NewSyscallError("sendto", unix.Sendto(s.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
}

// execute sends the changes of one batch and returns the kernel's verdict on
// each. Only the last message asks for an acknowledgement: errors come anyway.
func execute[C interface {
	message(flags int, seq uint32) []byte
}](s *socket, changes []C) ([]error, error) {
	if len(changes) == 0 {
		return nil, nil
	}
	first := s.seq + 1
	var b []byte
	for i, c := range changes {
		s.seq++
		flags := 0
		if i == len(changes)-1 {
			flags = unix.NLM_F_ACK
		}
		b = append(b, c.message(flags, s.seq)...)
	}
	if err := s.send(b); err != nil {
		return nil, err
	}
	verdicts := make([]error, len(changes))
	for {
		b, err := s.receive()
		if err != nil {
			return verdicts, err
		}
		for m := range messages(b) {
			i := m.seq - first // wraps beyond the end for an older answer
			if m.typ != unix.NLMSG_ERROR || i >= uint32(len(changes)) {
				continue
			}
			verdicts[i] = m.errno()
			if m.seq == s.seq {
				return verdicts, nil
			}
		}
	}
}

// request sends one message built by build and calls fn for each answer of the
// wanted type. An interrupted dump is repeated from the start, after again.
func (s *socket) request(typ uint16, build func(seq uint32) []byte, again func(), fn func(message)) error {
	for range dumpTries {
		again()
		s.seq++
		if err := s.send(build(s.seq)); err != nil {
			return err
		}
		interrupted, err := s.answers(typ, fn)
		if err != nil || !interrupted {
			return err
		}
	}
	return fmt.Errorf("the kernel's tables changed during each of %d dumps: %w", dumpTries, unix.EAGAIN)
}

func (s *socket) answers(typ uint16, fn func(message)) (interrupted bool, err error) {
	for {
		b, err := s.receive()
		if err != nil {
			return false, err
		}
		for m := range messages(b) {
			if m.seq != s.seq {
				continue
			}
			interrupted = interrupted || m.flags&unix.NLM_F_DUMP_INTR != 0
			switch m.typ {
			case unix.NLMSG_DONE, unix.NLMSG_ERROR:
				return interrupted, m.errno()
			case typ:
				fn(m)
				if m.flags&unix.NLM_F_MULTI == 0 {
					return interrupted, nil
				}
			}
		}
	}
}
