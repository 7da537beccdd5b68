package probe

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// StreamOptions places a TCP transfer.
type StreamOptions struct {
	Client, Server Place
	Listen         netip.AddrPort // of the server
	Target         netip.AddrPort // where the client connects to
	Down           bool           // the server sends; otherwise the client does
	Every          time.Duration  // between two pieces; 0: 2 ms
	Piece          int            // bytes; 0: 1024
}

// Stream is one long TCP transfer whose bytes say where they belong.
type Stream struct {
	arrived    *arrivals
	from, to   net.Conn
	caller     netip.AddrPort
	started    time.Time
	stop       atomic.Bool
	sendDone   chan struct{}
	recvDone   chan struct{}
	mu         sync.Mutex
	sent, recv int64
	err        error // the first thing that went wrong, at either end
}

// StartStream connects and begins to send. The listener is closed once the
// connection stands.
func StartStream(ctx context.Context, o StreamOptions) (*Stream, error) {
	if o.Every == 0 {
		o.Every = 2 * time.Millisecond
	}
	if o.Piece == 0 {
		o.Piece = 1024
	}
	l, err := listen(ctx, o.Server, o.Listen)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	client, err := dial(ctx, o.Client, o.Target)
	if err != nil {
		return nil, err
	}
	if d, ok := ctx.Deadline(); ok {
		_ = l.SetDeadline(d)
	}
	server, err := l.AcceptTCP()
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("probe: %w", err)
	}
	now := time.Now()
	s := &Stream{
		arrived: newArrivals(now), from: client, to: server, started: now,
		caller:   client.LocalAddr().(*net.TCPAddr).AddrPort(),
		sendDone: make(chan struct{}), recvDone: make(chan struct{}),
	}
	if o.Down {
		s.from, s.to = server, client
	}
	go s.send(o.Every, o.Piece)
	go s.receive()
	return s, nil
}

func (s *Stream) send(every time.Duration, piece int) {
	defer close(s.sendDone)
	b := make([]byte, piece)
	pace(every, func() bool {
		if s.stop.Load() {
			return false
		}
		s.mu.Lock()
		at := s.sent
		s.mu.Unlock()
		for i := range b {
			b[i] = content(at + int64(i))
		}
		n, err := s.from.Write(b)
		s.mu.Lock()
		s.sent += int64(n)
		s.mu.Unlock()
		if err != nil {
			s.fail(fmt.Errorf("send: %w", err))
			return false
		}
		return true
	})
	if c, ok := s.from.(*net.TCPConn); ok {
		if err := c.CloseWrite(); err != nil && s.Err() == nil {
			s.fail(fmt.Errorf("end: %w", err))
		}
	}
}

func (s *Stream) receive() {
	defer close(s.recvDone)
	b := make([]byte, 64<<10)
	for {
		n, err := s.to.Read(b)
		now := time.Now()
		s.mu.Lock()
		at := s.recv
		s.recv += int64(n)
		s.mu.Unlock()
		for i := range b[:n] {
			if b[i] != content(at+int64(i)) {
				s.fail(fmt.Errorf("byte %d is wrong", at+int64(i)))
				return
			}
		}
		if n > 0 {
			s.arrived.add(now)
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			s.fail(fmt.Errorf("receive: %w", err))
			return
		}
	}
}

// content is the byte at a position: different for near positions and for
// those one segment, one window or 2^32 bytes apart.
func content(at int64) byte {
	x := uint64(at) * 0x9e3779b97f4a7c15
	return byte(x >> 56)
}

func (s *Stream) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}

// Gap is the longest stall that overlaps from..to, seen at the receiver.
func (s *Stream) Gap(from, to time.Time) Gap { return s.arrived.gap(from, to) }

// Noise is the longest stall between two arrivals that both were in from..to.
func (s *Stream) Noise(from, to time.Time) time.Duration { return s.arrived.within(from, to) }

// Counts are the arrivals in each of n steps from a moment on.
func (s *Stream) Counts(from time.Time, step time.Duration, n int) []int {
	return s.arrived.counts(from, step, n)
}

// Since counts the arrivals after t.
func (s *Stream) Since(t time.Time) int { return s.arrived.since(t) }

// Started is when the connection stood.
func (s *Stream) Started() time.Time { return s.started }

// Caller is the address that the client has called from.
func (s *Stream) Caller() netip.AddrPort { return s.caller }

// Err is the first thing that went wrong, nil while all is well.
func (s *Stream) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Bytes tells how much was sent and received.
func (s *Stream) Bytes() (sent, received int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent, s.recv
}

// Finish ends the transfer in order, waits until the receiver has everything,
// and returns nil if each byte arrived, once and unchanged.
func (s *Stream) Finish(ctx context.Context) error {
	defer s.Stop()
	s.stop.Store(true)
	select {
	case <-s.recvDone:
	case <-ctx.Done():
		s.fail(fmt.Errorf("not all arrived: %w", ctx.Err()))
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("probe: stream: %w", err)
	}
	<-s.sendDone
	if sent, recv := s.Bytes(); sent != recv {
		return fmt.Errorf("probe: stream: %d bytes sent, %d received", sent, recv)
	}
	return nil
}

// Stop ends the transfer at once.
func (s *Stream) Stop() {
	s.stop.Store(true)
	_ = s.from.Close() // wakes both goroutines
	_ = s.to.Close()
	<-s.sendDone
	<-s.recvDone
}
