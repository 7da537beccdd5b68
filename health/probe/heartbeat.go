package probe

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"understudy/health/heartbeat"
)

// HeartbeatConfig is which server to ask for a heartbeat, and how it proves
// itself.
type HeartbeatConfig struct {
	Endpoint
	Server string
	Keys   []heartbeat.Key // the first is used, each is accepted
}

// Heartbeat asks a server's responder (understudy heartbeat --listen).
type Heartbeat struct {
	cfg         HeartbeatConfig
	incarnation uint64
	sequence    uint64
}

var _ Prober = (*Heartbeat)(nil)

// NewHeartbeat returns a prober.
func NewHeartbeat(cfg HeartbeatConfig) (*Heartbeat, error) {
	e, err := cfg.checked()
	if err != nil {
		return nil, fmt.Errorf("heartbeat: %w", err)
	}
	if len(cfg.Keys) == 0 {
		return nil, errors.New("heartbeat: no key")
	}
	cfg.Endpoint = e
	return &Heartbeat{cfg: cfg, incarnation: rand.Uint64() | 1}, nil
}

// Probe asks once.
func (p *Heartbeat) Probe(ctx context.Context) error {
	if err := p.ask(ctx); err != nil {
		return fmt.Errorf("heartbeat of %s at %v: %w", p.cfg.Server, p.cfg.Target, err)
	}
	return nil
}

var errSaysFailing = errors.New("it says that its own check failed")

func (p *Heartbeat) ask(ctx context.Context) error {
	conn, err := p.cfg.dial(ctx, "udp")
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	p.sequence++
	q := heartbeat.Message{Kind: heartbeat.Ask, Incarnation: p.incarnation, Sequence: p.sequence, Nonce: rand.Uint64() | 1,
		Time: time.Now(), Name: p.cfg.Server}
	if _, err := conn.Write(heartbeat.Append(nil, q, p.cfg.Keys[0])); err != nil {
		return because(ctx, plain(err))
	}
	buf := make([]byte, heartbeat.MaxSize+1)
	var refused heartbeat.Reason
	for {
		n, err := conn.Read(buf)
		if err != nil {
			if err = because(ctx, plain(err)); refused != heartbeat.ReasonNone {
				err = fmt.Errorf("%w (what came was refused: %v)", err, refused)
			}
			return err
		}
		m, reason := heartbeat.Parse(buf[:n])
		switch {
		case reason != heartbeat.ReasonNone:
		case !fits(p.cfg.Keys, buf[:n]):
			reason = heartbeat.ReasonForged
		default:
			reason = heartbeat.Answers(q, m)
		}
		switch {
		case reason != heartbeat.ReasonNone:
			refused = reason
		case m.Failing:
			return errSaysFailing
		default:
			return nil
		}
	}
}

func fits(keys []heartbeat.Key, packet []byte) bool {
	for _, k := range keys {
		if k.Fits(packet) {
			return true
		}
	}
	return false
}
