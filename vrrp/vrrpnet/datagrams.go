package vrrpnet

import (
	"fmt"
	"net"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Datagrams is a UDP socket for small messages that must not be late: no allocation, no waiting, and the time when the
// kernel got each. It is for one goroutine.
type Datagrams struct {
	fd     int
	family int

	// What a system call reads or writes lives here and is set up once.
	in      [maxFrame]byte
	control control
	hdr     unix.Msghdr
	iov     unix.Iovec
}

// Destination is an address made ready for sending.
type Destination struct {
	addr netip.AddrPort
	v4   unix.RawSockaddrInet4
	v6   unix.RawSockaddrInet6
}

// OpenDatagrams opens the socket in the current network namespace. The address need not be there yet.
func OpenDatagrams(listen netip.AddrPort) (_ *Datagrams, err error) {
	d := &Datagrams{fd: -1, family: unix.AF_INET}
	if listen.Addr().Is6() {
		d.family = unix.AF_INET6
	}
	defer func() {
		if err != nil {
			d.Close()
			err = fmt.Errorf("vrrpnet: udp %v: %w", listen, err)
		}
	}()
	d.fd, err = unix.Socket(d.family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if err != nil {
		return nil, err
	}
	if err := unix.SetsockoptInt(d.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return nil, fmt.Errorf("receive time stamps: %w", err)
	}
	// The network control class (RFC 4594), and first in the queues of the interface.
	level, tos, free := unix.IPPROTO_IP, unix.IP_TOS, unix.IP_FREEBIND
	if d.family == unix.AF_INET6 {
		level, tos, free = unix.IPPROTO_IPV6, unix.IPV6_TCLASS, unix.IPV6_FREEBIND
		if err := unix.SetsockoptInt(d.fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return nil, fmt.Errorf("IPv6 only: %w", err)
		}
	}
	_ = unix.SetsockoptInt(d.fd, level, tos, 0xc0)
	_ = unix.SetsockoptInt(d.fd, unix.SOL_SOCKET, unix.SO_PRIORITY, 7)
	if err := unix.SetsockoptInt(d.fd, level, free, 1); err != nil {
		return nil, fmt.Errorf("bind before the address is there: %w", err)
	}
	to, err := destination(listen)
	if err != nil {
		return nil, err
	}
	if err := unix.Bind(d.fd, to); err != nil {
		return nil, err
	}
	d.iov.Base = &d.in[0]
	d.hdr.Iov = &d.iov
	d.hdr.SetIovlen(1)
	d.control.attach(&d.hdr)
	return d, nil
}

func destination(a netip.AddrPort) (unix.Sockaddr, error) {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}, nil
	}
	zone, err := zoneOf(a.Addr())
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port()), ZoneId: zone}, err
}

func zoneOf(a netip.Addr) (uint32, error) {
	if a.Zone() == "" {
		return 0, nil
	}
	ifi, err := net.InterfaceByName(a.Zone())
	if err != nil {
		return 0, fmt.Errorf("interface %q: %w", a.Zone(), err)
	}
	return uint32(ifi.Index), nil
}

// NewDestination makes an address ready. A zone must be the name of an interface that is there.
func NewDestination(a netip.AddrPort) (Destination, error) {
	d := Destination{addr: a}
	if a.Addr().Is4() {
		d.v4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: htons(a.Port()), Addr: a.Addr().As4()}
		return d, nil
	}
	zone, err := zoneOf(a.Addr())
	d.v6 = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: htons(a.Port()), Addr: a.Addr().As16(), Scope_id: zone}
	return d, err
}

// FD is the descriptor to poll for reading.
func (d *Datagrams) FD() int { return d.fd }

// Receive takes one datagram off the socket; ok is false when there is none. It is valid until the next Receive. at is
// when the kernel got it, by the clock of now.
func (d *Datagrams) Receive(now time.Time) (b []byte, at time.Time, ok bool) {
	d.iov.SetLen(len(d.in))
	d.hdr.SetControllen(d.control.size())
	n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(d.fd), uintptr(unsafe.Pointer(&d.hdr)), unix.MSG_DONTWAIT)
	if errno != 0 {
		return nil, time.Time{}, false
	}
	return d.in[:n], now.Add(-d.control.age(&d.hdr)), true
}

// Send sends a datagram. It never waits: a full queue, or no way to the destination, is an error.
func (d *Datagrams) Send(to *Destination, b []byte) error {
	addr, size := unsafe.Pointer(&to.v4), unsafe.Sizeof(to.v4)
	if to.addr.Addr().Is6() {
		addr, size = unsafe.Pointer(&to.v6), unsafe.Sizeof(to.v6)
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(d.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
		unix.MSG_DONTWAIT, uintptr(addr), size)
	if errno != 0 {
		return errno
	}
	return nil
}

// Close closes the socket. It may be called twice.
func (d *Datagrams) Close() {
	if d.fd >= 0 {
		unix.Close(d.fd)
		d.fd = -1
	}
}
