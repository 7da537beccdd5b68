package probe

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// TCPConfig is where to connect, and from where.
type TCPConfig = Endpoint

// TCP opens a connection and closes it at once, by a reset: an orderly close
// would leave a port of ours and an entry of the connection table behind for a
// minute, each time.
type TCP struct{ cfg TCPConfig }

var _ Prober = (*TCP)(nil)

// NewTCP returns a prober.
func NewTCP(cfg TCPConfig) (*TCP, error) {
	cfg, err := cfg.checked()
	if err != nil {
		return nil, fmt.Errorf("tcp: %w", err)
	}
	return &TCP{cfg}, nil
}

// Probe connects once.
func (p *TCP) Probe(ctx context.Context) error {
	if err := p.connect(ctx); err != nil {
		return fmt.Errorf("tcp %v: %w", p.cfg.Target, because(ctx, err))
	}
	return nil
}

// connect does what package net would, without what is only needed by those who
// go on to use the connection: it is done thousands of times a second.
func (p *TCP) connect(ctx context.Context) error {
	family := unix.AF_INET
	if p.cfg.Target.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return fmt.Errorf("open socket: %w", err)
	}
	if err = p.begin(fd); err != unix.EINPROGRESS {
		unix.Close(fd)
		return err
	}
	// The runtime waits for it from here on.
	f := os.NewFile(uintptr(fd), "tcp")
	defer f.Close()
	defer context.AfterFunc(ctx, func() { _ = f.SetDeadline(time.Unix(1, 0)) })()
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var done bool
	werr := conn.Write(func(fd uintptr) bool {
		done, err = connected(int(fd))
		return done
	})
	if werr != nil {
		return bare(werr)
	}
	return err
}

// begin starts to connect. unix.EINPROGRESS: the outcome comes later.
func (p *TCP) begin(fd int) error {
	if err := p.cfg.options(fd, false); err != nil {
		return err
	}
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return fmt.Errorf("socket options: %w", err)
	}
	if source := p.cfg.bound(); source.IsValid() {
		from, err := sockaddrPort(source, p.cfg.Interface)
		if err != nil {
			return err
		}
		if err := unix.Bind(fd, from); err != nil {
			if p.cfg.SourcePort == 0 {
				return fmt.Errorf("bind to %v: %w", source.Addr(), err)
			}
			return fmt.Errorf("bind to %v: %w", source, err)
		}
	}
	to, err := sockaddrPort(p.cfg.Target, p.cfg.Interface)
	if err != nil {
		return err
	}
	return unix.Connect(fd, to)
}

func sockaddrPort(a netip.AddrPort, iface string) (unix.Sockaddr, error) {
	to, err := sockaddr(a.Addr(), iface)
	switch to := to.(type) {
	case *unix.SockaddrInet4:
		to.Port = int(a.Port())
	case *unix.SockaddrInet6:
		to.Port = int(a.Port())
	}
	return to, err
}

// connected tells whether the attempt is over, and what came of it.
func connected(fd int) (done bool, err error) {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	switch {
	case err != nil:
		return true, err
	case n != 0:
		return true, unix.Errno(n)
	}
	// No error may also mean that there is no outcome yet.
	_, err = unix.Getpeername(fd)
	return err != unix.ENOTCONN, err
}
