package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"understudy/appliance/lab"
)

// far is the other end of many calls. It tells whoever asks two things: which of
// its callers he is, and by what address it sees him. As long as both stay what
// they were, a call talks to the same end by the same translation.
//
//	question "4711\n"      who asks, for datagrams; a connection is known anyway
//	answer   "12 203.0.113.1:1234\n"
type far struct {
	wait    sync.WaitGroup
	closers []io.Closer

	mu      sync.Mutex
	last    int
	conns   map[int]net.Conn // by number, until they are over
	kept    map[int]bool     // not closed when the caller has said all
	callers map[netip.AddrPort]string
	crossed int
	stopped bool
}

func newFar() *far {
	f := &far{conns: map[int]net.Conn{}, kept: map[int]bool{}}
	f.forget()
	return f
}

// listen takes connections on a node.
func (f *far) listen(n *lab.Node, at netip.AddrPort) error {
	var l net.Listener
	err := n.Do(func() (err error) { l, err = net.Listen("tcp", at.String()); return err })
	if err != nil {
		return fmt.Errorf("bench: far end: %w", err)
	}
	f.closers = append(f.closers, l)
	f.wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // it was closed
			}
			if i, ok := f.take(c); ok {
				f.wait.Go(func() { f.talk(c, i) })
			}
		}
	})
	return nil
}

func (f *far) take(c net.Conn) (number int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		c.Close()
		return 0, false
	}
	f.last++
	f.conns[f.last] = c
	return f.last, true
}

// talk answers every line of a connection. It is closed when the caller has said
// all, unless it is kept.
func (f *far) talk(c net.Conn, number int) {
	answer := sight(number, c.RemoteAddr())
	var b [64]byte
	for {
		n, err := c.Read(b[:])
		for range bytes.Count(b[:n], []byte{'\n'}) {
			_, _ = c.Write(answer) // who does not get it notices
		}
		if err == nil {
			continue
		}
		f.mu.Lock()
		keep := errors.Is(err, io.EOF) && f.kept[number]
		if !keep {
			delete(f.conns, number)
		}
		f.mu.Unlock()
		if !keep {
			c.Close()
		}
		return
	}
}

func sight(number int, from net.Addr) []byte { return fmt.Appendf(nil, "%d %s\n", number, from) }

// numberOf is the number in an answer, 0 if there is none.
func numberOf(answer string) int {
	word, _, _ := strings.Cut(answer, " ")
	n, err := strconv.Atoi(word)
	if err != nil {
		return 0
	}
	return n
}

// keep lets a connection stand when its caller has said all.
func (f *far) keep(number int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept[number] = true
}

// speak says the answer on a connection without being asked.
func (f *far) speak(number int) error {
	f.mu.Lock()
	c := f.conns[number]
	f.mu.Unlock()
	if c == nil {
		return fmt.Errorf("bench: far end: connection %d is over", number)
	}
	_, err := c.Write(sight(number, c.RemoteAddr()))
	return err
}

// hear takes datagrams on a node. Callers are told apart by what they say.
func (f *far) hear(n *lab.Node, at netip.AddrPort) error {
	var c *net.UDPConn
	err := n.Do(func() (err error) { c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at)); return err })
	if err != nil {
		return fmt.Errorf("bench: far end: %w", err)
	}
	f.closers = append(f.closers, c)
	f.wait.Go(func() {
		var b [64]byte
		for {
			n, from, err := c.ReadFromUDPAddrPort(b[:])
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue // about an earlier answer
			}
			who := strings.TrimSpace(string(b[:n]))
			f.heard(who, from)
			_, _ = c.WriteToUDPAddrPort(fmt.Appendf(nil, "%s %s\n", who, from), from)
		}
	})
	return nil
}

// heard notices when one caller speaks by an address that is another's.
func (f *far) heard(who string, from netip.AddrPort) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if was, known := f.callers[from]; known && was != who {
		f.crossed++
	}
	f.callers[from] = who
}

// forget has addresses be anybody's again, and returns how often a caller spoke
// by another one's since the last time.
func (f *far) forget() (crossed int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	crossed, f.crossed = f.crossed, 0
	f.callers = map[netip.AddrPort]string{}
	return crossed
}

func (f *far) stop() {
	f.mu.Lock()
	f.stopped = true
	for _, c := range f.conns {
		c.Close()
	}
	f.mu.Unlock()
	for _, c := range f.closers {
		c.Close()
	}
	f.wait.Wait()
}
