package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"understudy/health/expect"
)

// UDPConfig is what to send, and what to hear.
type UDPConfig struct {
	Endpoint
	Send   []byte
	Expect expect.Pattern // of the answer
	// Silent says that no answer is a success, as with a service that answers what
	// it understands only: what is found out is that nobody refused.
	Silent bool
}

// UDP sends a datagram and waits for an answer. An ICMP error is a failure: that
// nothing listens on a port is only ever said so.
type UDP struct{ cfg UDPConfig }

var _ Prober = (*UDP)(nil)

// NewUDP returns a prober.
func NewUDP(cfg UDPConfig) (*UDP, error) {
	e, err := cfg.checked()
	if err != nil {
		return nil, fmt.Errorf("udp: %w", err)
	}
	cfg.Endpoint = e
	return &UDP{cfg}, nil
}

// Probe sends once.
func (p *UDP) Probe(ctx context.Context) error {
	if err := p.ask(ctx); err != nil {
		return fmt.Errorf("udp %v: %w", p.cfg.Target, err)
	}
	return nil
}

func (p *UDP) ask(ctx context.Context) error {
	conn, err := p.cfg.dial(ctx, "udp")
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	var enough time.Time
	if end, ok := ctx.Deadline(); ok && p.cfg.Silent {
		// To be silent for all of the time would be no success in time.
		enough = time.Now().Add(time.Until(end) * 3 / 4)
		_ = conn.SetReadDeadline(enough)
	}
	if _, err := conn.Write(p.cfg.Send); err != nil {
		return because(ctx, plain(err))
	}
	return p.await(ctx, conn, enough)
}

// await reads an answer. Silence is enough of it at that moment, also if this is noticed late.
func (p *UDP) await(ctx context.Context, conn net.Conn, enough time.Time) error {
	buf := make([]byte, 64<<10)
	n, err := conn.Read(buf)
	switch {
	case err == nil && !p.cfg.Expect.In(buf[:n]):
		return fmt.Errorf("it answered %.40q", buf[:n])
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded) && !enough.IsZero() && !time.Now().Before(enough):
		return nil
	}
	return because(ctx, plain(err))
}
