package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// The standard library's keepalives would make an idle connection a busy one,
// and multipath TCP a plain one something else.
const noKeepAlive = -1 * time.Second

func listen(ctx context.Context, at Place, addr netip.AddrPort) (l *net.TCPListener, err error) {
	lc := net.ListenConfig{KeepAlive: noKeepAlive}
	lc.SetMultipathTCP(false)
	err = at.Do(func() error {
		any, err := lc.Listen(ctx, "tcp", addr.String())
		if err != nil {
			return err
		}
		var ok bool
		if l, ok = any.(*net.TCPListener); !ok {
			return errors.New("not a TCP listener")
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	return l, nil
}

// dial connects from inside a place. The socket is made on the calling thread:
// with a literal address the dialer starts no goroutine of its own.
func dial(ctx context.Context, from Place, addr netip.AddrPort) (conn *net.TCPConn, err error) {
	d := net.Dialer{KeepAlive: noKeepAlive}
	d.SetMultipathTCP(false)
	err = from.Do(func() error {
		any, err := d.DialContext(ctx, "tcp", addr.String())
		if err != nil {
			return err
		}
		var ok bool
		if conn, ok = any.(*net.TCPConn); !ok {
			return errors.New("not a TCP connection")
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	return conn, nil
}
