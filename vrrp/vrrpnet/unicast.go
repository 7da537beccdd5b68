package vrrpnet

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// unicast is how packets leave for single routers: a raw IP socket, so that the
// kernel finds the way (gateway, routing rules) and the neighbour's hardware
// address. What it does not know yet waits in the kernel, bounded, and goes out
// when the neighbour has answered; nobody waits here.
//
// What peers send comes in by the packet socket like everything else. But a
// kernel with no raw socket for a protocol tells the sender that nobody listens
// (ICMP), so this socket is also there to be delivered to; its filter throws all
// of it away.
type unicast struct {
	fd      int
	hdr     unix.Msghdr
	iov     unix.Iovec
	to      [unix.SizeofSockaddrInet6]byte
	control [8]uint64 // aligned for a cmsghdr
}

// sendBuffer is room for the packets that wait for neighbours which do not
// answer, 200 KiB each, before they would take it from those that do.
const sendBuffer = 8 << 20

// OpenUnicast makes the port able to SendTo. Calling it again does nothing.
func (p *Port) OpenUnicast() error {
	if p.one != nil {
		return nil
	}
	u, err := openUnicast(p.Interface, p.Index, p.Family)
	if err != nil {
		return fmt.Errorf("vrrpnet: interface %q ipv%d: unicast: %w", p.Interface, p.Family, err)
	}
	p.one = u
	return nil
}

// Single tells whether the port can SendTo.
func (p *Port) Single() bool { return p.one != nil }

// CloseUnicast undoes OpenUnicast.
func (p *Port) CloseUnicast() {
	if p.one != nil {
		unix.Close(p.one.fd)
		p.one = nil
	}
}

func openUnicast(name string, index int, family uint8) (_ *unicast, err error) {
	domain, level, header := unix.AF_INET, unix.IPPROTO_IP, unix.IP_HDRINCL
	if family == 6 {
		domain, level, header = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_HDRINCL
	}
	const vrrp = 112
	u := &unicast{}
	if u.fd, err = deaf(domain, vrrp); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			unix.Close(u.fd)
		}
	}()
	// The router is on this interface and its adverts say how that is doing: they
	// do not leave by another one, whatever the routes.
	if err := unix.BindToDevice(u.fd, name); err != nil {
		return nil, fmt.Errorf("bind to the interface: %w", err)
	}
	if err := unix.SetsockoptInt(u.fd, level, header, 1); err != nil {
		return nil, fmt.Errorf("own IP header: %w", err)
	}
	if unix.SetsockoptInt(u.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer) != nil {
		_ = unix.SetsockoptInt(u.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer)
	}
	_ = unix.SetsockoptInt(u.fd, unix.SOL_SOCKET, unix.SO_PRIORITY, 7)
	u.prepare(index, family)
	return u, nil
}

// deaf is a raw socket for a protocol that gets nothing.
func deaf(domain, protocol int) (int, error) {
	fd, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return -1, fmt.Errorf("raw socket: %w", err)
	}
	nothing := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: 1, Filter: &nothing[0]}); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("filter: %w", err)
	}
	return fd, nil
}

// OpenSealed has the kernel not tell peers whose adverts come in an authentication header that
// nobody listens. Calling it again does nothing.
func (p *Port) OpenSealed() error {
	if p.sealed >= 0 {
		return nil
	}
	const ah = 51
	fd, err := deaf(unix.AF_INET, ah)
	if err == nil {
		if err = unix.BindToDevice(fd, p.Interface); err != nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		return fmt.Errorf("vrrpnet: interface %q: authentication header: %w", p.Interface, err)
	}
	p.sealed = fd
	return nil
}

// prepare lays out what does not change: struct sockaddr_in or _in6, and a
// control message that names the source, for routing rules that go by it.
func (u *unicast) prepare(index int, family uint8) {
	u.hdr.Name = &u.to[0]
	u.hdr.Iov = &u.iov
	u.hdr.SetIovlen(1)
	u.hdr.Control = (*byte)(unsafe.Pointer(&u.control))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&u.control))
	if family == 6 {
		u.hdr.Namelen = unix.SizeofSockaddrInet6
		binary.NativeEndian.PutUint16(u.to[0:], unix.AF_INET6)
		h.Level, h.Type = unix.IPPROTO_IPV6, unix.IPV6_PKTINFO
		h.SetLen(unix.CmsgLen(unix.SizeofInet6Pktinfo))
		u.info6().Ifindex = uint32(index)
		u.hdr.SetControllen(unix.CmsgSpace(unix.SizeofInet6Pktinfo))
		return
	}
	u.hdr.Namelen = unix.SizeofSockaddrInet4
	binary.NativeEndian.PutUint16(u.to[0:], unix.AF_INET)
	h.Level, h.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
	h.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
	u.info4().Ifindex = int32(index)
	u.hdr.SetControllen(unix.CmsgSpace(unix.SizeofInet4Pktinfo))
}

func (u *unicast) info4() *unix.Inet4Pktinfo {
	return (*unix.Inet4Pktinfo)(unsafe.Add(unsafe.Pointer(&u.control), unix.CmsgLen(0)))
}

func (u *unicast) info6() *unix.Inet6Pktinfo {
	return (*unix.Inet6Pktinfo)(unsafe.Add(unsafe.Pointer(&u.control), unix.CmsgLen(0)))
}

// SendTo sends an IP packet, as AppendPacketTo makes it, to a single router. It
// leaves by the port's interface, with the interface's own MAC. It never waits,
// and success means that the kernel has taken it. OpenUnicast comes first.
func (p *Port) SendTo(to netip.Addr, packet []byte) error {
	u := p.one
	if u == nil || len(packet) == 0 {
		return ErrGone
	}
	// The header of the packet says where it comes from.
	if p.Family == 6 {
		a := to.As16()
		copy(u.to[8:], a[:])
		clear(u.to[24:]) // scope
		if to.IsLinkLocalUnicast() {
			binary.NativeEndian.PutUint32(u.to[24:], uint32(p.Index))
		}
		copy(u.info6().Addr[:], packet[8:24])
	} else {
		a := to.As4()
		copy(u.to[4:], a[:])
		copy(u.info4().Spec_dst[:], packet[12:16])
	}
	n := copy(p.out[etherLen:], packet)
	if n < len(packet) {
		return ErrTooLong
	}
	u.iov.Base = &p.out[etherLen]
	u.iov.SetLen(n)
	errno := u.send()
	if errno == unix.EINVAL && p.Family == 6 {
		// The source is gone from the interface. It may still say goodbye.
		control := u.hdr.Controllen
		u.hdr.SetControllen(0)
		errno = u.send()
		u.hdr.Controllen = control
	}
	if errno != 0 {
		return gone(errno)
	}
	return nil
}

func (u *unicast) send() unix.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(u.fd), uintptr(unsafe.Pointer(&u.hdr)), unix.MSG_DONTWAIT)
	return errno
}
