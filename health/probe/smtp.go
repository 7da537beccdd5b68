package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"time"
)

// SMTPConfig is which mail server to greet, and as whom.
type SMTPConfig struct {
	Endpoint
	Helo string // our name; "": understudy
}

// SMTP waits for a mail server's greeting, greets it and says goodbye (RFC 5321).
type SMTP struct{ cfg SMTPConfig }

var _ Prober = (*SMTP)(nil)

// NewSMTP returns a prober.
func NewSMTP(cfg SMTPConfig) (*SMTP, error) {
	e, err := cfg.checked()
	if err != nil {
		return nil, fmt.Errorf("smtp: %w", err)
	}
	cfg.Endpoint = e
	if cfg.Helo == "" {
		cfg.Helo = "understudy"
	}
	return &SMTP{cfg}, nil
}

// Probe talks to it once.
func (p *SMTP) Probe(ctx context.Context) error {
	if err := p.talk(ctx); err != nil {
		return fmt.Errorf("smtp %v: %w", p.cfg.Target, err)
	}
	return nil
}

// maxTalk bounds what a mail server may say, in octets.
const maxTalk = 64 << 10

func (p *SMTP) talk(ctx context.Context) error {
	conn, err := p.cfg.dial(ctx, "tcp")
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	t := textproto.NewConn(struct {
		io.Reader
		io.WriteCloser
	}{io.LimitReader(conn, maxTalk), conn})
	for _, step := range []struct {
		say  string
		want int
	}{{"", 220}, {"HELO " + p.cfg.Helo, 250}, {"QUIT", 221}} {
		if step.say != "" {
			if err := t.PrintfLine("%s", step.say); err != nil {
				return because(ctx, plain(err))
			}
		}
		if _, _, err := t.ReadResponse(step.want); err != nil {
			return because(ctx, said(step.say, err))
		}
	}
	return nil
}

// said makes plain what a mail server answered instead.
func said(to string, err error) error {
	if to == "" {
		to = "its greeting"
	}
	if te, ok := errors.AsType[*textproto.Error](err); ok {
		return fmt.Errorf("%s: %d %.60q", to, te.Code, te.Msg)
	}
	if pe, ok := errors.AsType[textproto.ProtocolError](err); ok {
		return fmt.Errorf("%s: %.80q", to, string(pe))
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: it hung up", to)
	}
	return plain(err)
}
