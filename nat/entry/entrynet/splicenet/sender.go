package splicenet

import (
	"errors"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"understudy/nat/splice"
)

// sender speaks in the name of others, by raw sockets of each family.
type sender struct {
	four int
	six  int // -1: this kernel has no IPv6
}

// openSender opens one in the network namespace of the calling thread.
func openSender() (s sender, err error) {
	const kind = unix.SOCK_RAW | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	s = sender{-1, -1}
	if s.four, err = unix.Socket(unix.AF_INET, kind, unix.IPPROTO_RAW); err != nil {
		return s, os.NewSyscallError("socket", err)
	}
	// A kernel without IPv6 has no connections of it.
	if s.six, err = unix.Socket(unix.AF_INET6, kind, unix.IPPROTO_RAW); err != nil && err != unix.EAFNOSUPPORT {
		return s, errors.Join(os.NewSyscallError("socket", err), s.close())
	}
	return s, nil
}

func (s *sender) close() (err error) {
	for _, fd := range []*int{&s.four, &s.six} {
		if *fd >= 0 {
			err = errors.Join(err, os.NewSyscallError("close", unix.Close(*fd)))
			*fd = -1
		}
	}
	return err
}

// send sends a segment. That it is not sent is as if it were lost.
func (s *sender) send(from, to netip.AddrPort, segment *splice.Segment) {
	fd, at := s.four, unix.Sockaddr(nil)
	if to.Addr().Is6() {
		fd, at = s.six, &unix.SockaddrInet6{Addr: to.Addr().As16()}
	} else {
		at = &unix.SockaddrInet4{Addr: to.Addr().As4()}
	}
	_ = unix.Sendto(fd, splice.AppendPacket(nil, from, to, segment), 0, at)
}
