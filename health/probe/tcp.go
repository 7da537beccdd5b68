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

// TCPConfig is where to connect, and from where.
type TCPConfig struct {
	Target    netip.AddrPort
	Source    netip.Addr // optional
	Interface string     // optional: through this one only
}

// TCP opens a connection and closes it at once, by a reset: an orderly close
// would leave a port of ours and an entry of the connection table behind for a
// minute, each time.
type TCP struct{ cfg TCPConfig }

var _ Prober = (*TCP)(nil)

// NewTCP returns a prober.
func NewTCP(cfg TCPConfig) (*TCP, error) {
	cfg.Target = netip.AddrPortFrom(cfg.Target.Addr().Unmap(), cfg.Target.Port())
	cfg.Source = cfg.Source.Unmap()
	if err := checkAddresses(cfg.Target.Addr(), cfg.Source, cfg.Interface); err != nil {
		return nil, fmt.Errorf("tcp: %w", err)
	}
	if cfg.Target.Port() == 0 {
		return nil, fmt.Errorf("tcp: target %v has no port", cfg.Target)
	}
	if a := cfg.Target.Addr(); a.Is6() && a.IsLinkLocalUnicast() && a.Zone() == "" {
		cfg.Target = netip.AddrPortFrom(a.WithZone(cfg.Interface), cfg.Target.Port())
	}
	return &TCP{cfg: cfg}, nil
}

// Probe connects once.
func (p *TCP) Probe(ctx context.Context) error {
	conn, err := p.dialer().DialContext(ctx, "tcp", p.cfg.Target.String())
	if err != nil {
		if oe, ok := errors.AsType[*net.OpError](err); ok {
			err = oe.Err // the addresses are named already
		}
		if se, ok := errors.AsType[syscall.Errno](err); ok {
			err = se
		}
		return fmt.Errorf("tcp %v: %w", p.cfg.Target, because(ctx, err))
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
	return nil
}

func (p *TCP) dialer() *net.Dialer {
	d := &net.Dialer{KeepAlive: -1}
	if p.cfg.Source.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(p.cfg.Source, 0))
	}
	if iface := p.cfg.Interface; iface != "" {
		d.ControlContext = func(_ context.Context, _, _ string, c syscall.RawConn) error {
			var err error
			if cerr := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), iface) }); cerr != nil {
				return cerr
			}
			if err != nil {
				return fmt.Errorf("bind to %s: %w", iface, err)
			}
			return nil
		}
	}
	return d
}
