package probe

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// ConnsOptions places many TCP connections.
type ConnsOptions struct {
	Client, Server Place
	Listen         netip.AddrPort // of the server
	Target         netip.AddrPort // where the clients connect to
	Count          int            // may be 0: only for [Conns.Fresh]
	// Every other connection, the first included, sends a request each Every,
	// spread evenly; the rest are idle. 0: 200 ms.
	Every time.Duration
}

// Conns is many connections to one server that answers each request with the
// same bytes.
type Conns struct {
	opt      ConnsOptions
	listener *net.TCPListener
	stop     atomic.Bool
	ended    chan struct{}
	wait     sync.WaitGroup
	conns    []*tcpConn

	mu       sync.Mutex
	accepted []net.Conn
	slow     []request
}

type tcpConn struct {
	net.Conn
	n      int
	mu     sync.Mutex // one request at a time
	count  uint64
	failed error
}

type request struct{ from, to time.Time }

// slowest requests are kept from this length on
const slowFrom = 20 * time.Millisecond

// Dead is a connection that does not work any more.
type Dead struct {
	Conn int // from 0; even ones are in use, odd ones idle
	Err  error
}

// StartConns connects them all and begins with the requests.
func StartConns(ctx context.Context, o ConnsOptions) (*Conns, error) {
	if o.Every == 0 {
		o.Every = 200 * time.Millisecond
	}
	l, err := listen(ctx, o.Server, o.Listen)
	if err != nil {
		return nil, err
	}
	c := &Conns{opt: o, listener: l, ended: make(chan struct{})}
	c.wait.Go(c.serve)
	for n := range o.Count {
		conn, err := dial(ctx, o.Client, o.Target)
		if err != nil {
			c.Stop()
			return nil, fmt.Errorf("connection %d: %w", n, err)
		}
		c.conns = append(c.conns, &tcpConn{Conn: conn, n: n})
	}
	// A first answer on each: established at both ends, and through whatever
	// is between.
	if dead := c.check(ctx, c.conns); len(dead) > 0 {
		c.Stop()
		return nil, fmt.Errorf("probe: connection %d: %w", dead[0].Conn, dead[0].Err)
	}
	for n := 0; n < len(c.conns); n += 2 {
		c.wait.Go(func() { c.use(c.conns[n], o.Every, o.Every*time.Duration(n)/time.Duration(len(c.conns))) })
	}
	return c, nil
}

func (c *Conns) serve() {
	for {
		conn, err := c.listener.AcceptTCP()
		if err != nil {
			return
		}
		c.mu.Lock()
		c.accepted = append(c.accepted, conn)
		c.mu.Unlock()
		if c.stop.Load() {
			_ = conn.SetDeadline(time.Now().Add(lastAnswers))
		}
		c.wait.Go(func() {
			_, _ = io.Copy(conn, conn) // until it is closed, by whom or whatever
			conn.Close()
		})
	}
}

func (c *Conns) use(conn *tcpConn, every, phase time.Duration) {
	timer := time.NewTimer(phase)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-c.ended:
			return
		}
		if conn.ask(c.note) != nil {
			return
		}
		timer.Reset(every)
	}
}

func (c *Conns) note(r request) {
	if r.to.Sub(r.from) < slowFrom {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slow = append(c.slow, r)
}

// ask sends a request and verifies the answer. After a failure the connection
// is not used again.
func (t *tcpConn) ask(note func(request)) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed != nil {
		return t.failed
	}
	var out, in [64]byte
	t.count++
	binary.BigEndian.PutUint32(out[:], uint32(t.n))
	binary.BigEndian.PutUint64(out[4:], t.count)
	start := time.Now()
	_, err := t.Write(out[:])
	if err == nil {
		_, err = io.ReadFull(t, in[:])
	}
	if err == nil && !bytes.Equal(out[:], in[:]) {
		err = errors.New("answer is not the request")
	}
	if err != nil {
		t.failed = err
		return err
	}
	note(request{start, time.Now()})
	return nil
}

// Check sends a request on every connection, in use or idle, and returns those
// that do not answer correctly before ctx's deadline. A connection that failed
// once stays dead. The rest is used again as before. A cancelled ctx does not
// end Check, Stop does.
func (c *Conns) Check(ctx context.Context) []Dead { return c.check(ctx, c.conns) }

func (c *Conns) check(ctx context.Context, conns []*tcpConn) []Dead {
	deadline, _ := ctx.Deadline() // zero: none
	errs := make([]error, len(conns))
	var wait sync.WaitGroup
	for i, conn := range conns {
		// Before the lock: it reaches also a request that is under way.
		_ = conn.SetDeadline(deadline)
		wait.Go(func() {
			errs[i] = conn.ask(func(request) {})
			_ = conn.SetDeadline(time.Time{})
		})
	}
	wait.Wait()
	var dead []Dead
	for i, err := range errs {
		if err != nil {
			dead = append(dead, Dead{Conn: conns[i].n, Err: err})
		}
	}
	return dead
}

// Fresh opens one connection more, sends one request on it and closes it, and
// tells how long that took until the answer was there.
func (c *Conns) Fresh(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	conn, err := dial(ctx, c.opt.Client, c.opt.Target)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if dead := c.check(ctx, []*tcpConn{{Conn: conn, n: len(c.conns)}}); len(dead) > 0 {
		return 0, fmt.Errorf("probe: new connection: %w", dead[0].Err)
	}
	return time.Since(start), nil
}

// Count is how many connections there are.
func (c *Conns) Count() int { return len(c.conns) }

// Slowest is the longest that a request in use, under way at some time in
// from..to, had to wait for its answer; 0 if none took 20 ms.
func (c *Conns) Slowest(from, to time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	var longest time.Duration
	for _, r := range c.slow {
		if r.to.After(from) && r.from.Before(to) {
			longest = max(longest, r.to.Sub(r.from))
		}
	}
	return longest
}

// lastAnswers is how long [Conns.Stop] waits for answers that are under way.
const lastAnswers = time.Second

// Stop closes every connection, the clients' ends first and none with anything unread: the
// kernel would say so with a reset. What does not answer any more is not waited for.
func (c *Conns) Stop() {
	if c.stop.Swap(true) {
		return
	}
	close(c.ended)
	c.listener.Close()
	deadline := time.Now().Add(lastAnswers)
	for _, conn := range c.conns {
		_ = conn.SetDeadline(deadline)
	}
	for _, conn := range c.conns {
		conn.mu.Lock() // nothing is under way on it now
		conn.Close()
		conn.mu.Unlock()
	}
	deadline = time.Now().Add(lastAnswers)
	c.mu.Lock()
	for _, conn := range c.accepted {
		_ = conn.SetDeadline(deadline) // until its client's last word is read
	}
	c.mu.Unlock()
	c.wait.Wait()
}
