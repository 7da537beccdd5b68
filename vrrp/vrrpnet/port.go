package vrrpnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"understudy/vrrp"
)

// MAC is an Ethernet address.
type MAC [6]byte

func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

const (
	etherLen = 14
	// maxFrame holds the largest VRRP packet that an Ethernet without jumbo
	// frames can carry, and then some: a longer frame is cut, which the parser
	// reports as truncated.
	maxFrame = 2048
	// receiveBuffer covers several hundred packets, so that a stall of our own
	// process does not lose the advert that would have kept us quiet.
	receiveBuffer = 1 << 20
	// maxAge bounds how far back a receive time may lie. The kernel stamps with
	// the wall clock; a step of that clock must not look like an ancient packet.
	maxAge = 10 * time.Second
)

// Group returns the multicast address of VRRP, and the Ethernet address it maps
// to. RFC 9568 5.1.1.2 and 5.1.2.2.
func Group(family uint8) (netip.Addr, MAC) {
	if family == 6 {
		return vrrp.Group6(), MAC{0x33, 0x33, 0, 0, 0, 0x12}
	}
	return vrrp.Group4(), MAC{0x01, 0x00, 0x5e, 0, 0, 0x12}
}

// GroupMAC is the Ethernet address of a multicast group (RFC 1112 section 6.4, RFC 2464 section 7).
func GroupMAC(a netip.Addr) MAC {
	if a.Is4() {
		b := a.As4()
		return MAC{0x01, 0x00, 0x5e, b[1] & 0x7f, b[2], b[3]}
	}
	b := a.As16()
	return MAC{0x33, 0x33, b[12], b[13], b[14], b[15]}
}

// Frame is one received packet.
type Frame struct {
	Packet []byte    // the IP packet with what may follow it as padding; valid until the next Receive
	At     time.Time // when the kernel got it
	Source MAC
}

// Port sends and receives VRRP packets of one family on one interface. It is for
// one goroutine.
type Port struct {
	Interface string
	Index     int
	Family    uint8
	MAC       MAC // the interface's own address, when the port was opened

	joined    []netip.Addr // groups beside VRRP's own
	fd, group int          // the packet socket; the datagram socket that holds the membership
	one       *unicast     // nil: not asked for
	sealed    int          // the socket of OpenSealed; -1: not asked for
	away      *refused     // nil: the filter lets everything through
	wanted    Wanted

	// What a system call reads or writes lives here and is set up once.
	in, out [maxFrame]byte
	control control
	hdr     unix.Msghdr
	iov     unix.Iovec
	lost    uint64
}

// OpenPort opens a port on an interface of the current network namespace. index
// is what the name must stand for, so that a re-created interface of the same
// name is not taken for the old one; 0 accepts any.
func OpenPort(name string, index int, family uint8) (_ *Port, err error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("vrrpnet: interface %q: %w", name, err)
	}
	if index != 0 && index != ifi.Index {
		return nil, fmt.Errorf("vrrpnet: interface %q: %w", name, ErrGone)
	}
	if len(ifi.HardwareAddr) != 6 {
		return nil, fmt.Errorf("vrrpnet: interface %q is not an Ethernet", name)
	}
	p := &Port{Interface: name, Index: ifi.Index, Family: family, MAC: MAC(ifi.HardwareAddr), fd: -1, group: -1, sealed: -1}
	defer func() {
		if err != nil {
			p.Close()
			err = fmt.Errorf("vrrpnet: interface %q ipv%d: %w", name, family, err)
		}
	}()
	if err := p.openPacket(); err != nil {
		return nil, err
	}
	if err := p.join(); err != nil {
		return nil, err
	}
	p.prepare()
	return p, nil
}

// openPacket makes the packet socket. It is bound to no protocol until the
// filter is in place, so it never sees a packet that is not VRRP.
func (p *Port) openPacket() (err error) {
	p.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	if err := attach(p.fd, p.Family, Wanted{}, all); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return fmt.Errorf("receive time stamps: %w", err)
	}
	// Beyond rmem_max only with CAP_NET_ADMIN; the default is enough to go on.
	if unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		_ = unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
	// Adverts go out before whatever waits in a queue of the interface (TC_PRIO_CONTROL).
	_ = unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_PRIORITY, 7)
	to := &unix.SockaddrLinklayer{Protocol: htons(etherType(p.Family)), Ifindex: p.Index}
	if err := unix.Bind(p.fd, to); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	return nil
}

// join makes the adapter accept the group (packet membership) and the switches
// with multicast snooping forward it (IGMP or MLD, which the kernel speaks for a
// datagram socket).
func (p *Port) join() (err error) {
	domain := unix.AF_INET
	if p.Family == 6 {
		domain = unix.AF_INET6
	}
	p.group, err = unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("datagram socket: %w", err)
	}
	group, _ := Group(p.Family)
	return p.join1(group)
}

// Join has the port hear these groups too. What it has joined once it stays in until it is closed.
func (p *Port) Join(groups []netip.Addr) error {
	for _, g := range groups {
		if slices.Contains(p.joined, g) {
			continue
		}
		if err := p.join1(g); err != nil {
			return err
		}
		p.joined = append(p.joined, g)
	}
	return nil
}

func (p *Port) join1(group netip.Addr) (err error) {
	mac := GroupMAC(group)
	mreq := unix.PacketMreq{Ifindex: int32(p.Index), Type: unix.PACKET_MR_MULTICAST, Alen: 6}
	copy(mreq.Address[:], mac[:])
	if err := unix.SetsockoptPacketMreq(p.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &mreq); err != nil {
		return fmt.Errorf("join %s: %w", mac, err)
	}
	// Without this the socket would take datagrams of groups it never joined.
	if p.Family == 6 {
		err = unix.SetsockoptIPv6Mreq(p.group, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP,
			&unix.IPv6Mreq{Multiaddr: group.As16(), Interface: uint32(p.Index)})
	} else {
		err = unix.SetsockoptIPMreqn(p.group, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP,
			&unix.IPMreqn{Multiaddr: group.As4(), Ifindex: int32(p.Index)})
	}
	if err != nil {
		return fmt.Errorf("join %s: %w", group, err)
	}
	return nil
}

func (p *Port) prepare() {
	p.iov.Base = &p.in[0]
	p.hdr.Iov = &p.iov
	p.hdr.SetIovlen(1)
	p.control.attach(&p.hdr)
	binary.BigEndian.PutUint16(p.out[12:], etherType(p.Family))
}

// FD is the descriptor to poll for reading.
func (p *Port) FD() int { return p.fd }

// Receive takes one packet off the socket. ok is false when there is none. now
// is the caller's idea of the present, from which the age of the packet is
// subtracted. The error is ErrGone when the interface is down or deleted.
func (p *Port) Receive(now time.Time, f *Frame) (ok bool, err error) {
	p.iov.SetLen(len(p.in))
	p.hdr.SetControllen(p.control.size())
	n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(p.fd), uintptr(unsafe.Pointer(&p.hdr)), unix.MSG_DONTWAIT)
	switch errno {
	case 0:
	case unix.EAGAIN, unix.EINTR:
		return false, nil
	default:
		return false, gone(errno)
	}
	if n < etherLen {
		return false, nil // cannot happen: the filter has read beyond it
	}
	f.Packet = p.in[etherLen:n]
	f.Source = MAC(p.in[6:12])
	f.At = now.Add(-p.control.age(&p.hdr))
	return true, nil
}

// Send puts an IP packet into an Ethernet frame from src (the interface's own
// address if zero) to the VRRP group and sends it. It never waits: a full queue
// is an error. The error is ErrGone when the interface is down or deleted.
func (p *Port) Send(src MAC, packet []byte) error {
	_, dst := Group(p.Family)
	return p.SendGroup(src, dst, packet)
}

// SendGroup is Send to another group.
func (p *Port) SendGroup(src, dst MAC, packet []byte) error {
	copy(p.out[0:6], dst[:])
	if src == (MAC{}) {
		src = p.MAC
	}
	copy(p.out[6:12], src[:])
	n := copy(p.out[etherLen:], packet)
	if n < len(packet) {
		return ErrTooLong
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(p.fd), uintptr(unsafe.Pointer(&p.out[0])),
		uintptr(etherLen+n), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return gone(errno)
	}
	return nil
}

// Lost returns how many packets the kernel could not queue for us since the port
// was opened.
func (p *Port) Lost() uint64 {
	// Reading the statistics resets them.
	if s, err := unix.GetsockoptTpacketStats(p.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
		p.lost += uint64(s.Drops)
	}
	return p.lost
}

// Close leaves the group and closes the sockets. It may be called twice.
func (p *Port) Close() {
	p.CloseUnicast()
	p.closeRefused()
	for _, fd := range []*int{&p.fd, &p.group, &p.sealed} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}

var (
	// ErrGone tells that the interface under a port is down or no longer there.
	ErrGone = errors.New("interface is down or gone")
	// ErrTooLong tells that a packet does not fit into a frame.
	ErrTooLong = errors.New("packet too long for a frame")
)

// gone sorts out the errors that come from the interface rather than from us.
// Errno values convert to error without allocating.
func gone(errno unix.Errno) error {
	switch errno {
	case unix.ENETDOWN, unix.ENXIO, unix.ENODEV, unix.ENETUNREACH:
		return ErrGone
	}
	return errno
}

func etherType(family uint8) uint16 {
	if family == 6 {
		return unix.ETH_P_IPV6
	}
	return unix.ETH_P_IP
}

// htons gives a 16-bit number the layout of network byte order in memory.
func htons(v uint16) uint16 {
	return binary.NativeEndian.Uint16([]byte{byte(v >> 8), byte(v)})
}
