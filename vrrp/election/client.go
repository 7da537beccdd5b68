package election

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"understudy/vrrp"
)

// ClientConfig is what a daemon needs to talk to its election.
type ClientConfig struct {
	Link, Board   *os.File       // as inherited
	Config        vrrp.SetConfig // what the election runs with, until a Configure is sent
	SpawnElection Spawn
	// Fenced is called, on a goroutine of the client, when a group had to be
	// fenced here because a respawned election did not come in time.
	Fenced func(group string, err error)
	Logger *slog.Logger
}

// Client is the daemon's end of the link. Recv is for one goroutine, everything
// else for any. It remembers what the election has to know, so that a new one
// can be told.
type Client struct {
	cfg   ClientConfig
	board *Board

	mu       sync.Mutex
	link     *os.File
	election *os.Process // nil: could not be found out
	groups   []string
	config   vrrp.SetConfig
	fences   map[string]Fence
	eligible map[string]Eligible
	faults   map[string]Fault
	weights  map[string]Weight
	guard    *Guard
	near     *Neighbour
	ready    bool
	exec     *Executor     // for what nobody else can do any more
	guards   []*time.Timer // of the groups a new election has not resumed yet
	since    time.Time     // when the election was respawned; zero: it was not
	absence  absence
	next     *successor // an election that waits for its predecessor to go; nil: there is none
	closed   bool

	buf []byte
}

// sendLimit bounds how long a send may wait for an election that does not read.
const sendLimit = time.Second

// respawnLimit is how long a respawned election may take to its first turn.
const respawnLimit = 5 * time.Second

// Dial takes over the descriptors that a daemon inherits.
func Dial(cfg ClientConfig) (*Client, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	set, err := vrrp.NewSet(cfg.Config)
	if err != nil {
		return nil, err
	}
	board, err := OpenBoard(cfg.Board)
	if err != nil {
		return nil, err
	}
	exec, err := NewExecutor()
	if err != nil {
		board.Close()
		return nil, err
	}
	c := &Client{cfg: cfg, board: board, exec: exec, config: cfg.Config, groups: groupNames(set),
		fences: make(map[string]Fence), eligible: make(map[string]Eligible), faults: make(map[string]Fault),
		weights: make(map[string]Weight),
		buf:     make([]byte, maxMessage)}
	// Non-blocking, or the runtime would not poll it and deadlines would not work.
	fd := int(cfg.Link.Fd())
	unix.CloseOnExec(fd)
	fd, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	cfg.Link.Close()
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("election: link: %w", err)
	}
	c.link = os.NewFile(uintptr(fd), "link")
	// The other end made the pair.
	if cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
		c.election, _ = os.FindProcess(int(cred.Pid))
	}
	return c, nil
}

func groupNames(set *vrrp.Set) (names []string) {
	for _, g := range set.Config().Groups {
		names = append(names, g.Name)
	}
	return names
}

// Close ends the client. The election is left alone; it restarts a daemon that
// has not said Bye.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.closed = true
	c.unwatch()
	c.next.discard()
	c.next = nil
	if c.link != nil {
		c.link.Close()
	}
	c.exec.Close()
	// The board stays mapped: a Recv may still be looking at it.
}

// Recv waits for the next message. The error is ErrLost when the election is
// gone: then Respawn, and Recv again.
//
// A daemon that is slow to start may find in its socket that it is Active, and
// behind that that it was given up meanwhile. It must not take the addresses for
// that moment, so an Active that the board knows to be over is not told.
func (c *Client) Recv() (Message, error) {
	for {
		m, err := c.receive()
		if err != nil {
			return nil, err
		}
		switch v := m.(type) {
		case Attached:
			for i := range v.Groups {
				c.current(&v.Groups[i])
			}
		case Transition:
			now := GroupState{Group: v.Group, State: v.To}
			if c.current(&now); now.State != v.To {
				continue
			}
		}
		return m, nil
	}
}

// current corrects a state that says Active and is outdated.
func (c *Client) current(g *GroupState) {
	if g.State != vrrp.Active {
		return
	}
	if p, ok := c.board.Read(g.Group, time.Now()); ok && p.State != vrrp.Active {
		g.State, g.Leaving = p.State, false
	}
}

func (c *Client) receive() (Message, error) {
	c.mu.Lock()
	link := c.link
	c.mu.Unlock()
	n, err := link.Read(c.buf)
	for errors.Is(err, unix.ECONNRESET) { // said once, before the last words: see conn.receive
		n, err = link.Read(c.buf)
	}
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, os.ErrClosed):
		return nil, ErrLost
	case err != nil:
		return nil, fmt.Errorf("election: receive: %w", err)
	}
	return Unmarshal(c.buf[:n])
}

// Interrupt makes Recv return, now and from now on; Send still works. It is how
// a daemon that has ended its work stops to listen before it says Bye.
func (c *Client) Interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		_ = c.link.SetReadDeadline(time.Unix(1, 0))
	}
}

// Send passes a message to the election, or ErrLost.
func (c *Client) Send(m Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.remember(m); err != nil {
		return err
	}
	return c.send(m)
}

// remember keeps what a new election would have to be told.
func (c *Client) remember(m Message) error {
	switch m := m.(type) {
	case Configure:
		set, err := vrrp.NewSet(m.Config)
		if err != nil {
			return err
		}
		c.config, c.groups = m.Config, groupNames(set)
	case Fence:
		c.fences[m.Group] = m
	case Eligible:
		c.eligible[m.Group] = m
	case Fault:
		c.faults[m.Group] = m
	case Weight:
		c.weights[m.Group] = m
	case Guard:
		c.guard = &m
	case Neighbour:
		c.near = &m
	case Ready:
		c.ready = true
	}
	return nil
}

func (c *Client) send(m Message) error {
	if f, ok := m.(Fence); ok {
		for _, part := range f.split() {
			if err := c.write(part); err != nil {
				return err
			}
		}
		return nil
	}
	return c.write(m)
}

func (c *Client) write(m Message) error {
	b, err := Marshal(m)
	if err != nil {
		return err
	}
	_ = c.link.SetWriteDeadline(time.Now().Add(sendLimit))
	if _, err := c.link.Write(b); err != nil {
		if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, os.ErrClosed) {
			return ErrLost
		}
		return fmt.Errorf("election: send %T: %w", m, err)
	}
	return nil
}

// Beat tells the election that the daemon's loop turns; to be called from that
// loop, several times within the watchdog's 2 s. It looks back at the same time:
// an election that hangs while it ought to announce a group is killed, so that
// what follows is the well-trodden way of a dead one.
func (c *Client) Beat() error {
	c.hung(time.Now())
	return c.Send(Beat{})
}

func (c *Client) hung(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	silence := c.absence.excuse(now, c.board.Silence(now))
	if age := now.Sub(c.since); silence > age && age < respawnLimit {
		return // it is just starting
	}
	for _, g := range c.groups {
		p, ok := c.board.Read(g, now)
		// By then every peer has stopped waiting for it.
		if ok && p.State == vrrp.Active && silence > 4*p.Interval+200*time.Millisecond && c.election != nil {
			c.cfg.Logger.Error("election hangs: killed", "pid", c.election.Pid, "silent", silence)
			_ = c.election.Kill()
			c.election = nil
			return
		}
	}
}

// Board is the page shared with the election.
func (c *Client) Board() *Board { return c.board }
