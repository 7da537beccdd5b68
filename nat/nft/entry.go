package nft

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"understudy/nat/entry"
)

// Entries brings entry points into the kernel: see [EntryTable]. Its methods may be
// called from several goroutines; they run one after the other, and wait for nothing
// that an [Applier] does.
type Entries struct {
	mu      sync.Mutex
	link    link
	book    book
	unknown *Unknown // what SetUnknown asked for last; nil: leave what the kernel has
}

// OpenEntries makes an Entries. It changes nothing in the kernel.
func OpenEntries(c Config) (*Entries, error) {
	e := &Entries{link: link{netns: c.NetNS}}
	e.book = book{table: entryTable(), link: &e.link, one: pointForm, shared: (*transaction).resteerShared,
		whole: func(points []entry.Point, have *state) wanted { return formOf(points, e.mode(have)) }}
	if _, err := e.link.conn(); err != nil {
		return nil, fmt.Errorf("nft: entry points: %w", err)
	}
	return e, nil
}

// PortID is the netlink port of the Entries, as [Applier.PortID].
func (e *Entries) PortID() uint32 { return e.link.port.Load() }

// Close gives the socket back. What was applied stays in the kernel.
func (e *Entries) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.link.close()
}

// Apply makes the table say what points say, in one transaction that touches only what
// differs, and tells whether it had to. It reads back what it wrote. Without points
// there is no table.
func (e *Entries) Apply(points []entry.Point) (changed bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if changed, err = e.book.apply(points); err != nil {
		return changed, fmt.Errorf("nft: entry points: %w", err)
	}
	return changed, nil
}

// mode is what becomes of unknown connections: as it was asked for, else as it is.
func (e *Entries) mode(have *state) Unknown {
	switch {
	case e.unknown != nil:
		return *e.unknown
	case slices.Equal(have.rules[chainUnknown], commentsOf(unknownChain(UnknownReset))):
		return UnknownReset
	}
	return UnknownDrop
}

// Steer changes the tables of some entry points, in one transaction of what differs,
// without looking at the kernel first. It is what happens when a server dies. If the
// kernel has not got what was last applied, it applies all anew.
func (e *Entries) Steer(points ...entry.Point) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.book.steer(points); err != nil {
		return fmt.Errorf("nft: entry points: %w", err)
	}
	return nil
}

// resteerShared queues what else changes with the table of an entry point: whether it is
// among those that nobody serves.
func (t *transaction) resteerShared(old, new entry.Point) error {
	if old.Serves() == new.Serves() {
		return nil
	}
	f := pointFamily(new)
	for _, s := range f.entrySets([]entry.Point{old, new}) {
		if s.Name != f.name(setUnserved) && s.Name != f.name(setUnservedBy) {
			continue
		}
		change := t.addElements
		if new.Serves() {
			change = t.deleteElements
		}
		if err := change(s.Set, s.elements); err != nil {
			return err
		}
	}
	return nil
}

func byID(list []element) map[string]element {
	out := make(map[string]element, len(list))
	for _, e := range list {
		out[e.id()] = e
	}
	return out
}

// SetUnknown switches what becomes of unknown TCP connections to entry points, as
// [Applier.SetUnknown].
func (e *Entries) SetUnknown(u Unknown) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unknown = &u
	if len(e.book.have) == 0 {
		return nil
	}
	c, err := e.link.conn()
	if err != nil {
		return fmt.Errorf("nft: entry points: %w", err)
	}
	t := &transaction{c: c, table: entryTable()}
	t.flushChain(chainUnknown)
	t.addRules(chainUnknown, []rule{unknownRule(u)})
	if err := e.link.commit(t); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("nft: entry points: unknown connections: %w", err)
	}
	return nil
}

// CutFlow names a connection from its client to an entry point.
type CutFlow struct {
	Client, To netip.AddrPort
	Proto      uint8
}

// Cut has packets of these flows, but those that open a new connection, answered with a
// reset for a while, whether the flow is known or not.
func (e *Entries) Cut(flows []CutFlow) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, err := e.link.conn()
	if err != nil {
		return fmt.Errorf("nft: entry points: %w", err)
	}
	t := &transaction{c: c, table: entryTable()}
	for _, f := range []family{{}, {true, "6"}} {
		var elements []element
		for _, w := range flows {
			if f.has(w.Client.Addr()) {
				elements = append(elements, element{key: flowKey(w.Client, w.To, w.Proto), owner: w.Client})
			}
		}
		if err := t.addElements(f.cutSet(), elements); err != nil {
			return fmt.Errorf("nft: entry points: %w", err)
		}
	}
	if err := e.link.commit(t); err != nil {
		return fmt.Errorf("nft: entry points: cut flows: %w", err)
	}
	return nil
}

// Remembered is where a client of an entry point goes: to the server of a number.
type Remembered struct {
	Client netip.Addr
	Server int
}

// Remember has the entry point forget where clients go, and know these instead.
func (e *Entries) Remember(name string, clients []Remembered) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	p, ok := e.book.have[name]
	if !ok || p.Persist <= 0 {
		return nil
	}
	c, err := e.link.conn()
	if err != nil {
		return fmt.Errorf("nft: entry points: %w", err)
	}
	t := &transaction{c: c, table: entryTable()}
	if err := t.remember(keptSet(e.book.table, p), p, clients); err != nil {
		return fmt.Errorf("nft: entry points: %w", err)
	}
	if err := e.link.commit(t); err != nil {
		return fmt.Errorf("nft: entry points: remember clients: %w", err)
	}
	return nil
}

// remember queues the clients that are to be the only ones in the set.
func (t *transaction) remember(kept *nftables.Set, p entry.Point, clients []Remembered) error {
	t.step("flush set %s", kept.Name)
	t.c.FlushSet(kept)
	elements, seen := make([]element, 0, len(clients)), map[netip.Addr]bool{}
	for _, r := range clients[:min(len(clients), keptClients)] {
		if r.Client.Is6() != p.Six {
			continue
		}
		if client := p.Client(r.Client); !seen[client] {
			seen[client] = true
			elements = append(elements, element{key: addressKey(client), val: number(uint32(r.Server)), owner: r.Client})
		}
	}
	return t.addElements(kept, elements)
}

// EntryCounters are packets since the counter was made.
type EntryCounters struct {
	Cut      uint64            // of flows whose server has died: answered with a reset
	Unserved uint64            // new flows that nobody serves: refused
	Unknown  uint64            // in the middle of an unknown connection: dropped or reset
	Stray    uint64            // invalid: dropped
	New      map[string]uint64 // new flows of each entry point
}

// Counters reads them. Without a table they are zero.
func (e *Entries) Counters() (out EntryCounters, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	out.New = map[string]uint64{}
	if len(e.book.have) == 0 {
		return out, nil
	}
	c, err := e.link.conn()
	if err != nil {
		return out, fmt.Errorf("nft: entry points: %w", err)
	}
	v, err := readCounters(c, entryTable())
	if err != nil {
		_ = e.link.close()
		if errors.Is(err, unix.ENOENT) {
			return out, nil
		}
		return out, fmt.Errorf("nft: entry points: %w", err)
	}
	out.Cut, out.Unserved, out.Unknown, out.Stray = v[counterCut].Packets, v[counterNobody].Packets, v[counterNoFlow].Packets, v[counterNoEntry].Packets
	for name := range e.book.have {
		out.New[name] = v[prefixNew+name].Packets
	}
	return out, nil
}

// Clean removes the table. That it is not there is no error.
func (e *Entries) Clean() error {
	_, err := e.Apply(nil)
	return err
}

// leadsTo is the chain that an element of a verdict map jumps to, for an entry point.
func leadsTo(s *nftables.Set, name string) string {
	if s.Name == mapErrors {
		return prefixErrors + name
	}
	return prefixTo + name
}

// addJumps queues elements of a verdict map: the comment names the entry point.
func (t *transaction) addJumps(s *nftables.Set, es []element) error {
	for part := range slices.Chunk(es, 256) {
		kernel := make([]nftables.SetElement, len(part))
		for i, e := range part {
			kernel[i] = e.kernel()
			kernel[i].VerdictData = &expr.Verdict{Kind: expr.VerdictJump, Chain: leadsTo(s, e.comment)}
		}
		if err := t.c.SetAddElements(s, kernel); err != nil {
			return fmt.Errorf("encode set %s: %w", s.Name, err)
		}
		t.step("add to set %s", s.Name)
	}
	return nil
}
