package nft

import (
	"errors"
	"fmt"
	"maps"
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
	unknown *Unknown // what SetUnknown asked for last; nil: leave what the kernel has
	have    map[string]entry.Point
}

// OpenEntries makes an Entries. It changes nothing in the kernel.
func OpenEntries(c Config) (*Entries, error) {
	e := &Entries{link: link{netns: c.NetNS}}
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
	changed, err = e.apply(points)
	if err != nil {
		_ = e.link.close() // with what is queued in it
		e.have = nil
		return changed, fmt.Errorf("nft: entry points: %w", err)
	}
	e.have = make(map[string]entry.Point, len(points))
	for _, p := range points {
		e.have[p.Name] = p
	}
	return changed, nil
}

func (e *Entries) apply(points []entry.Point) (changed bool, err error) {
	for range rounds {
		c, err := e.link.conn()
		if err != nil {
			return changed, err
		}
		have, err := readEntries(c, e.link.nl)
		if err != nil {
			return changed, err
		}
		t := &transaction{c: c, table: entryTable()}
		if len(points) == 0 {
			if !have.exists {
				return changed, nil
			}
			t.deleteTable()
		} else if err := t.reconcileEntries(have, formOf(points, e.mode(have))); err != nil {
			return changed, err
		}
		if t.empty() {
			return changed, nil
		}
		if err := e.link.commit(t); err != nil {
			return changed, err
		}
		changed = true
	}
	return changed, fmt.Errorf("table %s does not agree after %d transactions: is something else writing to it?", EntryTable, rounds)
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
	if err := e.steer(points); err == nil {
		return nil
	}
	_ = e.link.close()
	all := maps.Clone(e.have)
	if all == nil {
		return errors.New("nft: entry points: none were applied")
	}
	for _, p := range points {
		all[p.Name] = p
	}
	if _, err := e.apply(slices.Collect(maps.Values(all))); err != nil {
		_ = e.link.close()
		return fmt.Errorf("nft: entry points: %w", err)
	}
	e.have = all
	return nil
}

func (e *Entries) steer(points []entry.Point) error {
	c, err := e.link.conn()
	if err != nil {
		return err
	}
	t := &transaction{c: c, table: entryTable()}
	for _, p := range points {
		old, ok := e.have[p.Name]
		if !ok || old.Match != p.Match || old.Persist != p.Persist || !slices.Equal(old.Servers, p.Servers) {
			return fmt.Errorf("entry %s is another one", p.Name)
		}
		if err := t.resteer(old, p); err != nil {
			return err
		}
	}
	if err := e.link.commit(t); err != nil {
		return err
	}
	for _, p := range points {
		e.have[p.Name] = p
	}
	return nil
}

// resteer queues what turns one table of an entry point into another.
func (t *transaction) resteer(old, new entry.Point) error {
	before, after := pointForm(old), pointForm(new)
	for i, s := range after.sets {
		if filled(s.Set) {
			continue
		}
		remove, add := compare(byID(before.sets[i].elements), s.elements)
		if err := t.deleteElements(s.Set, remove); err != nil {
			return err
		}
		if err := t.addElements(s.Set, add); err != nil {
			return err
		}
	}
	for i, ch := range after.chains {
		if !slices.Equal(commentsOf(before.chains[i]), commentsOf(ch)) {
			t.flushChain(ch.name)
			t.addRules(ch.name, ch.rules)
		}
	}
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
	if len(e.have) == 0 {
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

// CutFlow names a TCP connection from its client to an entry point.
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
	p, ok := e.have[name]
	if !ok || p.Persist <= 0 {
		return nil
	}
	c, err := e.link.conn()
	if err != nil {
		return fmt.Errorf("nft: entry points: %w", err)
	}
	t := &transaction{c: c, table: entryTable()}
	kept := keptSet(p)
	t.step("flush set %s", kept.Name)
	c.FlushSet(kept)
	elements, seen := make([]element, 0, len(clients)), map[netip.Addr]bool{}
	for _, r := range clients[:min(len(clients), keptClients)] {
		if r.Client.Is6() == p.Six && !seen[r.Client] {
			seen[r.Client] = true
			elements = append(elements, element{key: addressKey(r.Client), val: number(uint32(r.Server)), owner: r.Client})
		}
	}
	if err := t.addElements(kept, elements); err != nil {
		return fmt.Errorf("nft: entry points: %w", err)
	}
	if err := e.link.commit(t); err != nil {
		return fmt.Errorf("nft: entry points: remember clients: %w", err)
	}
	return nil
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
	if len(e.have) == 0 {
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
	for name := range e.have {
		out.New[name] = v[prefixNew+name].Packets
	}
	return out, nil
}

// Clean removes the table. That it is not there is no error.
func (e *Entries) Clean() error {
	_, err := e.Apply(nil)
	return err
}

// addJumps queues elements of a verdict map: the comment names the entry point.
func (t *transaction) addJumps(s *nftables.Set, es []element) error {
	for part := range slices.Chunk(es, 256) {
		kernel := make([]nftables.SetElement, len(part))
		for i, e := range part {
			kernel[i] = e.kernel()
			kernel[i].VerdictData = &expr.Verdict{Kind: expr.VerdictJump, Chain: prefixTo + e.comment}
		}
		if err := t.c.SetAddElements(s, kernel); err != nil {
			return fmt.Errorf("encode set %s: %w", s.Name, err)
		}
		t.step("add to set %s", s.Name)
	}
	return nil
}
