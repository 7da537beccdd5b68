package probe

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// echoSocket is a connected socket that hears echo replies of one address.
type echoSocket struct {
	file *os.File // non-blocking, so deadlines work
	raw  bool
	v4   bool
}

// openEcho opens a ping socket, which needs no privilege where the sysctl
// net.ipv4.ping_group_range allows it, else a raw one. Ping sockets come first
// because the kernel hands them their own replies only; a raw socket is shown
// the replies to everybody's.
func openEcho(cfg ICMPConfig) (*echoSocket, error) {
	s := &echoSocket{v4: cfg.Target.Is4()}
	family, protocol := unix.AF_INET6, unix.IPPROTO_ICMPV6
	if s.v4 {
		family, protocol = unix.AF_INET, unix.IPPROTO_ICMP
	}
	const flags = unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|flags, protocol)
	if err != nil {
		s.raw = true
		if fd, err = unix.Socket(family, unix.SOCK_RAW|flags, protocol); err != nil {
			return nil, fmt.Errorf("open socket: %w", err)
		}
	}
	if err := s.setup(fd, cfg); err != nil {
		unix.Close(fd)
		return nil, err
	}
	s.file = os.NewFile(uintptr(fd), "icmp")
	return s, nil
}

func (s *echoSocket) setup(fd int, cfg ICMPConfig) error {
	if cfg.Interface != "" {
		if err := unix.BindToDevice(fd, cfg.Interface); err != nil {
			return fmt.Errorf("bind to %s: %w", cfg.Interface, err)
		}
	}
	if err := mark(fd, cfg.Mark); err != nil {
		return err
	}
	if err := s.options(fd); err != nil {
		return fmt.Errorf("socket options: %w", err)
	}
	source := cfg.Source
	if !source.IsValid() {
		source = netip.IPv6Unspecified()
		if s.v4 {
			source = netip.IPv4Unspecified()
		}
	}
	from, err := sockaddr(source, cfg.Interface)
	if err != nil {
		return err
	}
	// The port, 0, lets the kernel choose the identifier of a ping socket. One
	// that we choose may be another socket's as well, which the kernel does not
	// refuse: it gives all replies to one of the two.
	if err := unix.Bind(fd, from); err != nil {
		return fmt.Errorf("bind to %v: %w", source, err)
	}
	to, err := sockaddr(cfg.Target, cfg.Interface)
	if err != nil {
		return err
	}
	// Connected, it hears nobody but the target.
	return unix.Connect(fd, to)
}

// Not in x/sys: linux/icmp.h and linux/icmpv6.h.
const (
	icmpFilter   = 1
	icmpv6Filter = 1
)

// options asks for errors of the network, and, on a raw socket, for nothing else
// than echo replies: a set bit keeps a type out.
func (s *echoSocket) options(fd int) error {
	if s.v4 {
		if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_RECVERR, 1); err != nil || !s.raw {
			return err
		}
		const echoReply = 0
		return unix.SetsockoptInt(fd, unix.SOL_RAW, icmpFilter, ^(1 << echoReply))
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_RECVERR, 1); err != nil || !s.raw {
		return err
	}
	const echoReply = 129
	filter := unix.ICMPv6Filter{}
	for i := range filter.Data {
		filter.Data[i] = ^uint32(0)
	}
	filter.Data[echoReply/32] &^= 1 << (echoReply % 32)
	return unix.SetsockoptICMPv6Filter(fd, unix.SOL_ICMPV6, icmpv6Filter, &filter)
}

// payload is the ICMP message in what was read: a raw IPv4 socket, alone of the
// four, delivers the IP header too.
func (s *echoSocket) payload(b []byte) []byte {
	if !s.raw || !s.v4 || len(b) == 0 {
		return b
	}
	return b[min(int(b[0]&0xf)*4, len(b)):]
}

// sockaddr makes an address of the kernel. iface is the scope of a link-local
// address that does not name its own.
func sockaddr(a netip.Addr, iface string) (unix.Sockaddr, error) {
	if a.Is4() {
		return &unix.SockaddrInet4{Addr: a.As4()}, nil
	}
	sa := &unix.SockaddrInet6{Addr: a.As16()}
	zone := a.Zone()
	if zone == "" && a.IsLinkLocalUnicast() {
		zone = iface
	}
	if zone == "" {
		return sa, nil
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		sa.ZoneId = uint32(n)
		return sa, nil
	}
	ifi, err := net.InterfaceByName(zone)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", zone, err)
	}
	sa.ZoneId = uint32(ifi.Index)
	return sa, nil
}
