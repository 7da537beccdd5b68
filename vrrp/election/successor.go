package election

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// successor is an election that has been started.
type successor struct {
	link *os.File
	proc *os.Process
}

// start starts an election.
func (c *Client) start(spawn Spawn) (*successor, error) {
	mine, child, err := SocketPair()
	if err != nil {
		return nil, err
	}
	proc, err := spawn(child, c.board.File())
	child.Close()
	if err != nil {
		mine.Close()
		return nil, fmt.Errorf("election: start the election: %w", err)
	}
	return &successor{mine, proc}, nil
}

// discard ends one that is not wanted any more.
func (s *successor) discard() {
	if s == nil {
		return
	}
	s.link.Close()
	_ = s.proc.Kill()
	go func() { _, _ = s.proc.Wait() }() // ends with the process
}

// waitLimit is how long an election may take until it waits for its predecessor.
const waitLimit = 10 * time.Second

// Relieve exchanges the election while it announces: another one is started first, and
// when that has all that it needs but the sockets' news, the present one is asked to go
// right after adverts. What follows, ErrLost and Respawn, is the way of one that has died; only that
// the next one is there already. On an error nothing has changed.
func (c *Client) Relieve(spawn Spawn) error {
	next, err := c.start(spawn)
	if err != nil {
		return err
	}
	if err := next.waits(); err != nil {
		next.discard()
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.next != nil {
		next.discard()
		return errors.New("election: it is being exchanged already")
	}
	c.next = next
	if err := c.send(Relieve{}); err != nil {
		c.next.discard()
		c.next = nil
		return err
	}
	return nil
}

// Retain gives up an exchange that has not come about.
func (c *Client) Retain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next.discard()
	c.next = nil
}

// waits hears its first word.
func (s *successor) waits() error {
	defer func() { _ = s.link.SetReadDeadline(time.Time{}) }()
	_ = s.link.SetReadDeadline(time.Now().Add(waitLimit))
	b := make([]byte, 64)
	n, err := s.link.Read(b)
	if err != nil {
		return fmt.Errorf("election: the other election does not get ready: %w", err)
	}
	m, err := Unmarshal(b[:n])
	if err != nil {
		return err
	}
	if _, ok := m.(Waiting); !ok {
		return fmt.Errorf("election: the other election says %T", m)
	}
	return nil
}
