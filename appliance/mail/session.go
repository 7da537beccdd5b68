package mail

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
	"time"
)

// maxAnswers is how much a server may say about one mail: ten times what a talkative one
// does.
const maxAnswers = 64 << 10

// errTalkative: it said more.
var errTalkative = errors.New("the server says too much")

// session is a connection to the server, over which any number of mails go.
type session struct {
	cfg    *Config
	conn   *boundedConn
	client *smtp.Client
	stop   func() bool // ends the watch over ctx
}

// dial connects, and waits for the greeting. When ctx ends whatever waits fails.
func dial(ctx context.Context, cfg *Config) (*session, error) {
	d := net.Dialer{Timeout: cfg.Timeout}
	raw, err := d.DialContext(ctx, "tcp", cfg.Server)
	if err != nil {
		return nil, err
	}
	conn := &boundedConn{Conn: raw, left: maxAnswers}
	s := &session{cfg: cfg, conn: conn, stop: context.AfterFunc(ctx, func() { raw.Close() })}
	if err := s.begin(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *session) begin() (err error) {
	if err := s.within(); err != nil {
		return err
	}
	// The name is that of certificates, which nobody asks for.
	if s.client, err = smtp.NewClient(s.conn, s.cfg.Server); err != nil {
		return err
	}
	return s.client.Hello(s.cfg.Helo)
}

// within gives what follows its time, and its share of what the server may say.
func (s *session) within() error {
	s.conn.left = maxAnswers
	return s.conn.SetDeadline(time.Now().Add(s.cfg.Timeout))
}

// send delivers a mail. Who of the recipients was refused is in the error; it is nil if
// one was accepted.
func (s *session) send(m Message) (refused error, err error) {
	if err := s.within(); err != nil {
		return nil, err
	}
	if err := s.client.Mail(s.cfg.From); err != nil {
		return nil, fmt.Errorf("from %s: %w", s.cfg.From, err)
	}
	accepted := 0
	for _, to := range s.cfg.To {
		if err := s.client.Rcpt(to); err == nil {
			accepted++
		} else if refused = fmt.Errorf("to %s: %w", to, err); !answered(err) {
			return nil, refused
		}
	}
	if accepted == 0 {
		return nil, refused
	}
	w, err := s.client.Data()
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(compose(s.cfg, m)); err != nil {
		return nil, err
	}
	return refused, w.Close()
}

// again makes the connection fit for the next mail, after a refusal.
func (s *session) again() error { return s.client.Reset() }

// quit takes leave, which the server need not answer for long: the mails are delivered.
func (s *session) quit() {
	if s.within() == nil && s.conn.SetDeadline(time.Now().Add(min(s.cfg.Timeout, time.Second))) == nil {
		_ = s.client.Quit()
	}
	s.close()
}

func (s *session) close() {
	s.stop()
	_ = s.conn.Close()
}

// answered tells whether an error is an answer of the server, after which it listens on.
func answered(err error) bool {
	var e *textproto.Error
	return errors.As(err, &e)
}

// forGood tells whether the server will never take a mail: RFC 5321 section 4.2.1.
func forGood(err error) bool {
	var e *textproto.Error
	return errors.As(err, &e) && e.Code >= 500
}

// boundedConn bounds what is read.
type boundedConn struct {
	net.Conn
	left int
}

func (c *boundedConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errTalkative
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}
