package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// Endpoint is where to connect to, and from where.
type Endpoint struct {
	Target     netip.AddrPort
	Source     netip.Addr // optional
	SourcePort uint16     // 0: any
	Interface  string     // optional: through this one only
	Mark       uint32     // of all that is sent, for rules of routing and of nftables; 0: none
}

// bound is the address to bind to; invalid: none.
func (e Endpoint) bound() netip.AddrPort {
	from := e.Source
	switch {
	case from.IsValid() || e.SourcePort == 0:
	case e.Target.Addr().Is6():
		from = netip.IPv6Unspecified()
	default:
		from = netip.IPv4Unspecified()
	}
	return netip.AddrPortFrom(from, e.SourcePort)
}

// checked returns the endpoint in its plain form: IPv4 as such, link-local with
// its interface.
func (e Endpoint) checked() (Endpoint, error) {
	e.Target = netip.AddrPortFrom(e.Target.Addr().Unmap(), e.Target.Port())
	e.Source = e.Source.Unmap()
	if err := checkAddresses(e.Target.Addr(), e.Source, e.Interface); err != nil {
		return e, err
	}
	if e.Target.Port() == 0 {
		return e, fmt.Errorf("target %v has no port", e.Target)
	}
	if a := e.Target.Addr(); a.Is6() && a.IsLinkLocalUnicast() && a.Zone() == "" {
		e.Target = netip.AddrPortFrom(a.WithZone(e.Interface), e.Target.Port())
	}
	return e, nil
}

// dial connects by "tcp" or "udp". A TCP connection is closed by a reset: an
// orderly close would leave a port of ours and an entry of the connection table
// behind for a minute, each time. A socket of UDP hears every error of the
// network.
func (e Endpoint) dial(ctx context.Context, network string) (net.Conn, error) {
	d := net.Dialer{KeepAlive: -1}
	if from := e.bound(); from.IsValid() {
		if network == "udp" {
			d.LocalAddr = net.UDPAddrFromAddrPort(from)
		} else {
			d.LocalAddr = net.TCPAddrFromAddrPort(from)
		}
	}
	d.ControlContext = func(_ context.Context, _, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = e.options(int(fd), network == "udp") }); cerr != nil {
			return cerr
		}
		return err
	}
	conn, err := d.DialContext(ctx, network, e.Target.String())
	if err != nil {
		return nil, because(ctx, plain(err))
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	return conn, nil
}

// options sets what has to be set before a socket is bound.
func (e Endpoint) options(fd int, refusals bool) error {
	if e.Interface != "" {
		if err := unix.BindToDevice(fd, e.Interface); err != nil {
			return fmt.Errorf("bind to %s: %w", e.Interface, err)
		}
	}
	if err := mark(fd, e.Mark); err != nil {
		return err
	}
	if e.SourcePort != 0 {
		// Another check may be on its way from there, to another host.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return fmt.Errorf("socket options: %w", err)
		}
	}
	if !refusals {
		return nil
	}
	if e.Target.Addr().Is4() {
		return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_RECVERR, 1)
	}
	return unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_RECVERR, 1)
}

// mark has all that a socket sends carry a mark. It takes CAP_NET_ADMIN.
func mark(fd int, m uint32) error {
	if m == 0 {
		return nil
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(m)); err != nil {
		return fmt.Errorf("mark %#x: %w", m, err)
	}
	return nil
}

// plain takes from an error of package net what whoever called knows: operation
// and addresses.
func plain(err error) error {
	if oe, ok := errors.AsType[*net.OpError](err); ok {
		err = oe.Err
	}
	if se, ok := errors.AsType[syscall.Errno](err); ok {
		return se
	}
	return err
}
