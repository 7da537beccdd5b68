package nft

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	// chunk bounds the elements of one message, in bytes: the attribute that
	// holds them has a 16-bit length, and the library does not split.
	chunk = 32 << 10
	// patience is how long the kernel may take to answer. It answers at the end
	// of a transaction, and a large one takes seconds on a small machine.
	patience = 30 * time.Second
)

// link is a netlink connection that survives errors: after one, answers to the
// failed request may still be queued, so it is closed and the next use dials anew.
type link struct {
	netns int
	c     *nftables.Conn
	nl    *netlink.Conn // the socket inside c
	port  atomic.Uint32 // its port
}

func (l *link) conn() (*nftables.Conn, error) {
	if l.c == nil {
		opts := []nftables.ConnOption{nftables.AsLasting(), nftables.WithSockOptions(func(nl *netlink.Conn) error {
			l.nl = nl
			if err := nl.SetOption(netlink.ExtendedAcknowledge, true); err != nil { // say which attribute was wrong
				return err
			}
			return widen(nl)
		})}
		if l.netns != 0 {
			opts = append(opts, nftables.WithNetNSFd(l.netns))
		}
		c, err := nftables.New(opts...)
		if err != nil {
			return nil, fmt.Errorf("open netlink: %w", err)
		}
		l.c = c
		l.port.Store(l.nl.PID())
	}
	return l.c, l.nl.SetDeadline(time.Now().Add(patience))
}

// widen makes the kernel fill large datagrams when it lists a set. Each of them
// makes it walk the set from the start, so that few matter: at 100,000 elements
// large ones are eight times faster. It goes by the largest buffer that it has
// filled for the socket, and the library begins with a small one; so this asks
// for an empty acknowledgement and reads it into a large one.
func widen(nl *netlink.Conn) error {
	_, err := nl.Send(netlink.Message{Header: netlink.Header{Type: netlink.Noop, Flags: netlink.Request | netlink.Acknowledge}})
	if err != nil {
		return err
	}
	raw, err := nl.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		_, _, failed = unix.Recvfrom(int(fd), make([]byte, 32<<10), unix.MSG_DONTWAIT)
		return failed != unix.EAGAIN
	})
	return errors.Join(err, failed)
}

func (l *link) close() error {
	if l.c == nil {
		return nil
	}
	err := l.c.CloseLasting()
	l.c, l.nl = nil, nil
	return err
}

// transaction collects messages that the kernel carries out all or none.
type transaction struct {
	c     *nftables.Conn
	table *nftables.Table // nil: ourTable
	steps []step          // one a message, in order
	bytes int
}

func (t *transaction) of() *nftables.Table {
	if t.table != nil {
		return t.table
	}
	return ourTable()
}

// step remembers what a message was for, to name it if the kernel refuses it.
type step struct {
	what     string
	elements []element // whose set elements it carries
	fixed    int       // bytes of the message before the first element
}

func (t *transaction) step(format string, args ...any) {
	t.steps = append(t.steps, step{what: fmt.Sprintf(format, args...)})
	t.bytes += 4 << 10 // more than any message of ours without elements
}

func (t *transaction) empty() bool { return len(t.steps) == 0 }

func (t *transaction) addTable() {
	t.step("add table")
	t.c.AddTable(t.of())
}

func (t *transaction) deleteTable() {
	t.step("delete table")
	t.c.DelTable(t.of())
}

func (t *transaction) addCounter(name string) {
	t.step("add counter %s", name)
	t.c.AddObj(&nftables.NamedObj{Table: t.of(), Name: name, Type: nftables.ObjTypeCounter, Obj: &expr.Counter{}})
}

func (t *transaction) deleteCounter(name string) {
	t.step("delete counter %s", name)
	t.c.DeleteObject(&nftables.NamedObj{Table: t.of(), Name: name, Type: nftables.ObjTypeCounter, Obj: &expr.Counter{}})
}

func (t *transaction) addSet(s *nftables.Set) error {
	t.step("add set %s", s.Name)
	return t.c.AddSet(s, nil)
}

func (t *transaction) deleteSet(name string) {
	t.step("delete set %s", name)
	t.c.DelSet(&nftables.Set{Table: t.of(), Name: name})
}

func (t *transaction) addChain(ch chain) {
	t.step("add chain %s", ch.name)
	k := &nftables.Chain{Name: ch.name, Table: t.of()}
	if ch.hook != nil {
		policy := nftables.ChainPolicyAccept
		k.Type, k.Hooknum, k.Priority, k.Policy = ch.kind, ch.hook, &ch.priority, &policy
	}
	t.c.AddChain(k)
}

func (t *transaction) deleteChain(name string) {
	t.step("delete chain %s", name)
	t.c.DelChain(&nftables.Chain{Name: name, Table: t.of()})
}

func (t *transaction) flushChain(name string) {
	t.step("flush chain %s", name)
	t.c.FlushChain(&nftables.Chain{Name: name, Table: t.of()})
}

func (t *transaction) addRules(ch string, rules []rule) {
	for _, r := range rules {
		t.step("add rule to chain %s: %s", ch, r.comment)
		t.c.AddRule(&nftables.Rule{
			Table: t.of(), Chain: &nftables.Chain{Name: ch}, Exprs: r.exprs, UserData: comment(r.comment),
		})
	}
}

// elements queues additions or deletions, as many messages as they need.
func (t *transaction) elements(s *nftables.Set, es []element, op func(*nftables.Set, []nftables.SetElement) error, verb string) error {
	for len(es) > 0 {
		n, size := 0, 0
		for n < len(es) && (n == 0 || size+es[n].size() <= chunk) {
			size += es[n].size()
			n++
		}
		part := make([]nftables.SetElement, n)
		for i, e := range es[:n] {
			part[i] = e.kernel()
		}
		if err := op(s, part); err != nil {
			return fmt.Errorf("encode set %s: %w", s.Name, err)
		}
		t.steps = append(t.steps, step{
			what:     verb + " set " + s.Name,
			elements: es[:n],
			// netlink and nfnetlink headers; the set's name, number and table; the list's header.
			fixed: unix.NLMSG_HDRLEN + 4 + 4 + pad(len(s.Name)+1) + 8 + 4 + pad(len(s.Table.Name)+1) + 4,
		})
		t.bytes += size + 4<<10
		es = es[n:]
	}
	return nil
}

func (t *transaction) addElements(s *nftables.Set, es []element) error {
	return t.elements(s, es, t.c.SetAddElements, "add to")
}

func (t *transaction) deleteElements(s *nftables.Set, es []element) error {
	return t.elements(s, es, t.c.SetDeleteElements, "delete from")
}

// commit sends the transaction. On error nothing of it was carried out, and the
// error names what the kernel refused first.
func (l *link) commit(t *transaction) error {
	if t.empty() {
		return nil
	}
	err := l.send(t)
	if err != nil {
		_ = l.close()
	}
	return err
}

func (l *link) send(t *transaction) error {
	// One datagram holds it all. One answer a message waits to be read, and one
	// that refuses carries the message back.
	if err := l.nl.SetWriteBuffer(t.bytes + 64<<10); err != nil {
		return fmt.Errorf("transaction of %d bytes: %w", t.bytes, err)
	}
	if err := l.nl.SetReadBuffer(1<<20 + 2048*len(t.steps) + 2*t.bytes); err != nil {
		return fmt.Errorf("answers to %d messages: %w", len(t.steps), err)
	}
	// A message that asks for nothing is never answered; it tells the sequence
	// number that the library is about to count on from.
	mark, err := l.nl.Send(netlink.Message{Header: netlink.Header{Type: netlink.Noop}})
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	if err := t.c.Flush(); err != nil {
		return t.blame(err, mark.Header.Sequence+2) // + the batch's begin + 1
	}
	return nil
}

// blame finds the message, and within it the element, that the kernel refused.
func (t *transaction) blame(err error, first uint32) error {
	var op *netlink.OpError
	if !errors.As(err, &op) || op.Sequence-first >= uint32(len(t.steps)) {
		return err
	}
	s := t.steps[op.Sequence-first]
	at := s.what
	if len(s.elements) > 0 {
		if i, ok := s.find(op.Offset); ok {
			at += ": " + s.elements[i].name()
		} else {
			at += fmt.Sprintf(": one of %d, %s to %s", len(s.elements), s.elements[0].name(), s.elements[len(s.elements)-1].name())
		}
	}
	if op.Message != "" {
		return fmt.Errorf("%s: %w (%s)", at, op.Err, op.Message)
	}
	return fmt.Errorf("%s: %w", at, op.Err)
}

// find returns the element at offset bytes into the message.
func (s step) find(offset int) (int, bool) {
	at := s.fixed
	for i, e := range s.elements {
		if offset >= at && offset < at+e.size() {
			return i, true
		}
		at += e.size()
	}
	return 0, false
}

func (e element) name() string {
	if e.owner == nil {
		return fmt.Sprintf("%x", e.id())
	}
	return e.owner.String()
}
