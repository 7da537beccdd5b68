package conntrack

import (
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// Group is a multicast group of conntrack events (enum nfnetlink_groups).
type Group int

const (
	GroupNew     Group = 1
	GroupUpdate  Group = 2
	GroupDestroy Group = 3
)

// ListenerConfig is what a Listener needs to know.
type ListenerConfig struct {
	RcvBuf     int    // bytes; 0: DefaultRcvBuf
	IgnorePort uint32 // events caused by this netlink port are dropped in the kernel; 0: none
}

// ListenerStats counts since the Listener was opened.
type ListenerStats struct {
	Events    uint64 // decoded and handed on
	Overruns  uint64 // times that an unknown number of events was lost
	Malformed uint64 // messages that could not be decoded, or were cut off
}

// Listener receives conntrack events of one network namespace. It reads nothing
// before Join. Not safe for concurrent use.
type Listener struct {
	s     *socket
	in    *inbox
	asked int // bytes of receive buffer, undoubled
	ev    Event
	stats ListenerStats

	expect   ExpectEvent
	onExpect func(*ExpectEvent)

	ignored     []uint32 // ports
	skipClosing bool
}

// An event of a flow with every extension is below 1 KiB. 64 per system call:
// more gains nothing.
const (
	eventSlots = 64
	eventSize  = 2048
)

// OpenListener opens the event socket in the network namespace of the calling
// thread. It needs CAP_NET_ADMIN.
func OpenListener(c ListenerConfig) (*Listener, error) {
	if c.RcvBuf == 0 {
		c.RcvBuf = DefaultRcvBuf
	}
	c.RcvBuf = min(c.RcvBuf, math.MaxInt32/2)
	s, err := openSocket(c.RcvBuf, 0)
	if err != nil {
		return nil, fmt.Errorf("conntrack: event socket: %w", err)
	}
	l := &Listener{s: s, in: newInbox(eventSlots, eventSize), asked: c.RcvBuf}
	if c.IgnorePort != 0 {
		if err := l.Ignore(c.IgnorePort); err != nil {
			_ = s.Close() // the first error is the one to tell
			return nil, err
		}
	}
	return l, nil
}

// Ignore replaces the netlink ports whose changes yield no event here. It does
// not touch what is already queued.
func (l *Listener) Ignore(ports ...uint32) error {
	l.ignored = ports
	return l.sift()
}

// SkipClosing has the kernel not tell of TCP connections that go from one closing state
// to the next: most are over milliseconds later, which it tells, and those that stay
// half closed are seen by the next dump. Nor is the end told of a connection that has
// been in TIME_WAIT, which was told. That is half of all events of a connection.
func (l *Listener) SkipClosing() error {
	l.skipClosing = true
	return l.sift()
}

func (l *Listener) sift() error {
	if err := l.s.filter(l.ignored, l.skipClosing); err != nil {
		return fmt.Errorf("conntrack: event filter: %w", err)
	}
	return nil
}

// Join adds groups; events from then on arrive.
func (l *Listener) Join(groups ...Group) error {
	return l.membership(unix.NETLINK_ADD_MEMBERSHIP, "join", groups)
}

// Leave removes groups. What is queued stays and is still drained.
func (l *Listener) Leave(groups ...Group) error {
	return l.membership(unix.NETLINK_DROP_MEMBERSHIP, "leave", groups)
}

func (l *Listener) membership(option int, verb string, groups []Group) error {
	for _, g := range groups {
		if err := unix.SetsockoptInt(l.s.fd, unix.SOL_NETLINK, option, int(g)); err != nil {
			return fmt.Errorf("conntrack: %s group %d: %w", verb, g, os.NewSyscallError("setsockopt", err))
		}
	}
	return nil
}

// FD returns the socket for poll. Draining every millisecond costs less than
// half of the CPU of draining at every wake-up, on the reader and on the packet
// path, so poll is for the idle daemon.
func (l *Listener) FD() int { return l.s.fd }

// PortID returns the socket's netlink port.
func (l *Listener) PortID() uint32 { return l.s.portID }

// Stats returns the counters.
func (l *Listener) Stats() ListenerStats { return l.stats }

// Close closes the socket.
func (l *Listener) Close() error { return l.s.Close() }

// Drain reads events until the socket is empty or about limit were read, and
// calls fn for each; the Event is only valid during the call. It never blocks.
// It returns how many messages were read; n == limit means that there may be
// more.
//
// [ErrOverrun] means that events were lost before the next one; the socket goes
// on, and the caller drains on and compares with a dump. Messages that cannot be
// decoded are counted and skipped.
func (l *Listener) Drain(limit int, fn func(*Event)) (n int, err error) {
	for n < limit {
		k, err := l.in.recv(l.s, limit-n, unix.MSG_DONTWAIT)
		switch err {
		case nil:
		case unix.EAGAIN:
			return n, nil
		case unix.ENOBUFS:
			l.stats.Overruns++
			return n, ErrOverrun
		default:
			return n, fmt.Errorf("conntrack: events: %w", os.NewSyscallError("recvmmsg", err))
		}
		for i := range k {
			l.handle(i, fn)
		}
		n += k
	}
	return n, nil
}

func (l *Listener) handle(i int, fn func(*Event)) {
	b, whole := l.in.datagram(i)
	if h, ok := parseHeader(b); ok && isExpect(h.typ) && l.onExpect != nil {
		if ParseExpect(b, &l.expect) != nil {
			l.stats.Malformed++
			return
		}
		l.stats.Events++
		l.onExpect(&l.expect)
		return
	}
	if !whole || ParseMessage(b, &l.ev) != nil {
		l.stats.Malformed++
		return
	}
	l.stats.Events++
	fn(&l.ev)
}
