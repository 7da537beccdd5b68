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

// Greeter is a server that says who it is, one byte, as soon as somebody connects, and
// from then on repeats what it hears.
type Greeter struct {
	listener *net.TCPListener
	wait     sync.WaitGroup

	mu    sync.Mutex
	conns []*net.TCPConn
	over  bool
}

// StartGreeter has a server of that name listen at a place.
func StartGreeter(ctx context.Context, at Place, addr netip.AddrPort, name byte) (*Greeter, error) {
	l, err := listen(ctx, at, addr)
	if err != nil {
		return nil, err
	}
	g := &Greeter{listener: l}
	g.wait.Go(func() {
		for {
			conn, err := l.AcceptTCP()
			if err != nil {
				return
			}
			if !g.keep(conn) {
				conn.Close()
				return
			}
			g.wait.Go(func() {
				defer conn.Close()
				// Byte by byte: io.Copy would take two more files for each connection.
				b := []byte{name}
				for _, err := conn.Write(b); err == nil; _, err = conn.Write(b) {
					if _, err := io.ReadFull(conn, b); err != nil {
						return
					}
				}
			})
		}
	})
	return g, nil
}

func (g *Greeter) keep(conn *net.TCPConn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conns = append(g.conns, conn)
	return !g.over
}

// Forget ends the connections that there are, as a reboot does: nothing of them is sent
// again and again.
func (g *Greeter) Forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.conns {
		_ = c.SetLinger(0)
		c.Close()
	}
	g.conns = nil
}

// Stop ends the server and its connections.
func (g *Greeter) Stop() {
	g.listener.Close()
	g.mu.Lock()
	g.over = true
	g.mu.Unlock()
	g.Forget()
	g.wait.Wait()
}

// ClientsOptions places clients of one service.
type ClientsOptions struct {
	Client Place
	Target netip.AddrPort
	Count  int
	// Idle of them say nothing once they are connected, and wait for a word of the
	// server's; the others send a byte each Every, and wait for its echo. 0: 200 ms.
	Idle  int
	Every time.Duration
	// First bounds how long the first connection of each may take. 0: as long as each later
	// one, a second.
	First time.Duration
}

// Clients are clients with a connection each to some [Greeter]. One whose connection
// ends makes another at once, and again until somebody greets it.
type Clients struct {
	opt    ClientsOptions
	ctx    context.Context
	cancel context.CancelFunc
	wait   sync.WaitGroup
	failed atomic.Int64
	doorC  chan struct{} // holds as many as may dial at once

	mu    sync.Mutex
	state []clientState
	moves []Move
}

type clientState struct {
	server byte // 0: none
	conn   net.Conn
}

// Move is a client that lost one server and was greeted by the next.
type Move struct {
	Client     int
	Idle       bool
	From, To   byte
	Ended      time.Time // it noticed
	Greeted    time.Time
	HowItEnded string
}

// StartClients connects them all.
func StartClients(ctx context.Context, o ClientsOptions) (*Clients, error) {
	if o.Every == 0 {
		o.Every = 200 * time.Millisecond
	}
	c := &Clients{opt: o, state: make([]clientState, o.Count), doorC: make(chan struct{}, dialling)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if o.First == 0 {
		o.First = greetBound
	}
	for n := range o.Count {
		if err := c.connect(ctx, n, o.First); err != nil {
			c.Stop()
			return nil, fmt.Errorf("client %d: %w", n, err)
		}
	}
	for n := range o.Count {
		c.wait.Go(func() { c.live(n) })
	}
	return c, nil
}

// dialling bounds how many clients dial at a time: each takes a thread of this machine's,
// where a client elsewhere has a machine of its own.
const dialling = 32

// greetBound is how long a client waits to be connected and greeted before it tries anew.
const greetBound = time.Second

func (c *Clients) connect(ctx context.Context, n int, bound time.Duration) error {
	c.doorC <- struct{}{}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	conn, err := dial(ctx, c.opt.Client, c.opt.Target)
	<-c.doorC
	if err != nil {
		return err
	}
	_ = conn.SetReadDeadline(time.Now().Add(bound))
	var b [1]byte
	if _, err := io.ReadFull(conn, b[:]); err != nil {
		conn.Close()
		return fmt.Errorf("probe: not greeted: %w", err)
	}
	_ = conn.SetReadDeadline(time.Time{})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state[n] = clientState{b[0], conn}
	if c.ctx.Err() != nil {
		conn.Close()
	}
	return nil
}

func (c *Clients) idle(n int) bool { return n < c.opt.Idle }

func (c *Clients) live(n int) {
	for c.ctx.Err() == nil {
		c.mu.Lock()
		was := c.state[n]
		c.mu.Unlock()
		err := c.use(n, was.conn)
		was.conn.Close()
		if c.ctx.Err() != nil {
			return
		}
		m := Move{Client: n, Idle: c.idle(n), From: was.server, Ended: time.Now(), HowItEnded: fmt.Sprint(err)}
		c.mu.Lock()
		c.state[n].server = 0
		c.mu.Unlock()
		for c.connect(c.ctx, n, greetBound) != nil {
			c.failed.Add(1)
			select {
			case <-c.ctx.Done():
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
		m.Greeted = time.Now()
		c.mu.Lock()
		m.To = c.state[n].server
		c.moves = append(c.moves, m)
		c.mu.Unlock()
	}
}

// use works on a connection until it ends.
func (c *Clients) use(n int, conn net.Conn) error {
	var b [1]byte
	if c.idle(n) {
		_, err := io.ReadFull(conn, b[:])
		if err == nil {
			return fmt.Errorf("probe: an idle client was told %q", b)
		}
		return err
	}
	phase := c.opt.Every * time.Duration(n) / time.Duration(c.opt.Count)
	for wait := phase; ; wait = c.opt.Every {
		select {
		case <-c.ctx.Done():
			return c.ctx.Err()
		case <-time.After(wait):
		}
		if _, err := conn.Write(b[:]); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, b[:]); err != nil {
			return err
		}
	}
}

// With counts the clients of each server; those of none are with 0.
func (c *Clients) With() map[byte]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[byte]int{}
	for _, s := range c.state {
		out[s.server]++
	}
	return out
}

// Moves are those so far.
func (c *Clients) Moves() []Move {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Move(nil), c.moves...)
}

// Refused counts attempts to connect again that failed.
func (c *Clients) Refused() int { return int(c.failed.Load()) }

// Stop ends them.
func (c *Clients) Stop() {
	c.cancel()
	c.mu.Lock()
	for _, s := range c.state {
		if s.conn != nil {
			s.conn.Close()
		}
	}
	c.mu.Unlock()
	c.wait.Wait()
}
