package conntrack

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket is a NETLINK_NETFILTER socket that is read by recvmmsg into buffers it
// keeps.
type socket struct {
	fd     int
	portID uint32
}

func openSocket(rcvBuf, sndBuf int) (s *socket, err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.NewSyscallError("close", unix.Close(fd)))
		}
	}()
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return nil, os.NewSyscallError("getsockname", err)
	}
	nl, ok := sa.(*unix.SockaddrNetlink)
	if !ok {
		return nil, fmt.Errorf("getsockname: not a netlink address: %T", sa)
	}
	// Errors then carry the header of the request, not all of it.
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1); err != nil {
		return nil, os.NewSyscallError("setsockopt NETLINK_CAP_ACK", err)
	}
	if rcvBuf > 0 {
		// By force, past net.core.rmem_max; where that is not allowed, what is.
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, rcvBuf) != nil {
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, rcvBuf); err != nil {
				return nil, os.NewSyscallError("setsockopt SO_RCVBUF", err)
			}
		}
	}
	if sndBuf > 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sndBuf); err != nil {
			return nil, os.NewSyscallError("setsockopt SO_SNDBUFFORCE", err)
		}
	}
	return &socket{fd: fd, portID: nl.Pid}, nil
}

func (s *socket) Close() error { return os.NewSyscallError("close", unix.Close(s.fd)) }

// send hands b, whole messages, to the kernel, which has handled them when send
// returns: their answers are in the receive buffer.
func (s *socket) send(b []byte) error {
	for {
		n, err := unix.Write(s.fd, b)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return os.NewSyscallError("send", err)
		case n != len(b):
			return fmt.Errorf("send: %d of %d bytes", n, len(b))
		}
		return nil
	}
}

// inbox holds the buffers of one recvmmsg call. It is allocated once: the kernel
// writes through addresses that must not move.
type inbox struct {
	hdrs []mmsghdr
	iovs []unix.Iovec
	buf  []byte
	size int
}

// mmsghdr is struct mmsghdr.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// newInbox makes room for slots datagrams of size bytes each.
func newInbox(slots, size int) *inbox {
	in := &inbox{
		hdrs: make([]mmsghdr, slots),
		iovs: make([]unix.Iovec, slots),
		buf:  make([]byte, slots*size),
		size: size,
	}
	for i := range slots {
		in.iovs[i].Base = &in.buf[i*size]
		in.iovs[i].SetLen(size)
		in.hdrs[i].hdr.Iov = &in.iovs[i]
		in.hdrs[i].hdr.SetIovlen(1)
	}
	return in
}

// recv reads up to limit datagrams and returns how many. The error is a plain
// errno: EAGAIN if nothing is there, ENOBUFS after an overrun.
func (in *inbox) recv(s *socket, limit int, flags uintptr) (int, error) {
	limit = min(limit, len(in.hdrs))
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(s.fd),
			uintptr(unsafe.Pointer(&in.hdrs[0])), uintptr(limit), flags, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
			continue
		}
		return 0, errno
	}
}

// datagram returns the i-th datagram of the last recv; whole is false if it did
// not fit its buffer.
func (in *inbox) datagram(i int) (b []byte, whole bool) {
	h := &in.hdrs[i]
	n := min(int(h.len), in.size)
	return in.buf[i*in.size:][:n:n], h.hdr.Flags&unix.MSG_TRUNC == 0
}
