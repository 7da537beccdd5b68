package lognet

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"understudy/nat/splice"
	"understudy/nat/splice/bytelog"
)

const (
	capturePoll = 200 * time.Millisecond
	// expirePeriod is how often what is too old is looked for.
	expirePeriod = 5 * time.Second
	// settleTime is how long Settled waits at most. The kernel hands a packet over after two
	// times of a block.
	settleTime = time.Second
	// markProtocol is of packets that are for experiments (IEEE 802 local experimental).
	markProtocol = 0x88b5
)

// Capture has a Log take what is copied to the side device, which is its own.
type Capture struct {
	index int
	mark  int // socket that marks are sent by

	mu      sync.Mutex
	ring    *ring
	log     *bytelog.Log
	losing  bool // packets were lost, and what is in the ring may be from before that
	marks   uint64
	seen    uint64 // the last mark that came
	expire  time.Time
	packets uint64
	lost    uint64
	odd     uint64
	failed  error
}

// Stats are of a Capture, since it was opened.
type Stats struct {
	Packets uint64 // that were copied
	Lost    uint64 // that found the ring full
	Odd     uint64 // that cannot be read: cut off, fragments, with headers in between
}

// Open makes the side device anew in the network namespace of the calling thread, and has what is
// copied to it be taken by the log from now on. Nothing else may use the log, but by With.
func Open(log *bytelog.Log) (*Capture, error) {
	index, err := makeSide()
	if err != nil {
		return nil, fmt.Errorf("lognet: %w", err)
	}
	c := &Capture{index: index, mark: -1, log: log}
	if c.ring, err = openRing(index); err == nil {
		c.mark, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		err = os.NewSyscallError("socket", err)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lognet: %w", err), c.Close())
	}
	return c, nil
}

// Index is the number of the side device.
func (c *Capture) Index() int { return c.index }

// Close closes it. The side device stays: rules may name it (see [RemoveSide]). Run must have
// returned.
func (c *Capture) Close() (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = errClosed
	if c.ring != nil {
		err = c.ring.close()
		c.ring = nil
	}
	if c.mark >= 0 {
		err = errors.Join(err, os.NewSyscallError("close", unix.Close(c.mark)))
		c.mark = -1
	}
	return err
}

var errClosed = errors.New("lognet: closed")

// Run has the log take what comes, until ctx is done. An error is the end of it: the side device is
// gone, and so may packets be.
func (c *Capture) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := c.ring.wait(capturePoll); err != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.failed = fmt.Errorf("lognet: %s: %w", SideName, err)
			c.log.Lost()
			return c.failed
		}
		c.mu.Lock()
		err := c.drain()
		c.mu.Unlock()
		if err != nil {
			return fmt.Errorf("lognet: %w", err)
		}
	}
	return nil
}

// drain has the log take all that has come.
func (c *Capture) drain() error {
	if c.failed != nil {
		return c.failed
	}
	now := time.Now()
	take := func(p packet) { c.take(now, p) }
	for n := 0; ; n++ {
		lost, err := c.ring.lost()
		if err != nil {
			return err
		}
		if lost > 0 {
			c.lost += uint64(lost)
			if !c.losing {
				c.log.Lost()
			}
			c.losing = true
		}
		if n == blocks {
			return nil // others want the log too
		}
		if !c.ring.block(take) {
			break
		}
		if c.losing {
			// The loss was while the ring was full, so what was in it says nothing of that.
			c.log.Doubt()
		}
	}
	c.losing = false
	if now.After(c.expire) {
		c.log.Expire(now)
		c.expire = now.Add(expirePeriod)
	}
	return nil
}

func (c *Capture) take(now time.Time, p packet) {
	if len(p.data) == markSize && bytes.Equal(p.data[:len(markWords)], markWords) {
		c.seen = max(c.seen, binary.BigEndian.Uint64(p.data[len(markWords):]))
		return
	}
	c.packets++
	parse := splice.ParsePacket
	if p.unsummed {
		parse = splice.ParseUnsummed
	}
	s, ok := parse(p.data)
	if !ok || !p.whole {
		c.odd++
		return
	}
	c.log.Take(now, &s)
}

// markWords begin a mark. They are no IP packet's beginning, whose version is in the first byte.
var markWords = []byte("\x00understudy ")

const markSize = 20

// With calls f with the log, which is still meanwhile. It must not wait for anything.
func (c *Capture) With(f func(*bytelog.Log)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c.log)
}

// Settled is With, once the log has taken all that was copied before the call, which takes some
// milliseconds. If that cannot be known, packets count as lost.
func (c *Capture) Settled(f func(*bytelog.Log)) {
	mark, err := c.send()
	for end := time.Now().Add(settleTime); ; time.Sleep(time.Millisecond) {
		c.mu.Lock()
		err = errors.Join(err, c.drain())
		if c.seen >= mark || err != nil || time.Now().After(end) {
			break
		}
		c.mu.Unlock()
	}
	defer c.mu.Unlock()
	if c.seen < mark || err != nil {
		c.log.Lost()
	}
	f(c.log)
}

// send sends a mark after all that has been copied, and returns its number.
func (c *Capture) send() (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil {
		return 0, c.failed
	}
	c.marks++
	b := binary.BigEndian.AppendUint64(append(make([]byte, 0, markSize), markWords...), c.marks)
	return c.marks, os.NewSyscallError("sendto", unix.Sendto(c.mark, b, 0, &unix.SockaddrLinklayer{Protocol: htons(markProtocol), Ifindex: c.index, Halen: 6}))
}

// Stats are what came so far.
func (c *Capture) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{Packets: c.packets, Lost: c.lost, Odd: c.odd}
}
