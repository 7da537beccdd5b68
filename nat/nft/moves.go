package nft

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"understudy/nat/splice"
)

// MovesTable is the name of the table of connections that can go on at another server, in the
// inet family. It has nothing to do with packets of other connections.
//
//	packet in
//	   |
//	moves  -300   from a server that has died, of a connection that was moved, or replayed there all along:
//	   |          drop, until it agrees to a new one
//	   |          from a server: its headers are told to whoever notes how far it is
//	   |          of a connection that is being moved: drop
//	   |
//	packet out of the node itself
//	   |
//	moves_own -300   said in the name of either end: is not tracked
const MovesTable = "understudy_moves"

// Names inside the table of moves.
const (
	chainMoves    = "moves"
	chainMovesOwn = "moves_own"
	setProtected  = "protected" // address . port of servers
	setFrozen     = "frozen"    // address . port . address . port, as the packet has them
	setFenced     = "fenced"
	setOwn        = "own"
)

const (
	// MovesGroup is the group of nfnetlink_log that servers' headers are told to, and
	// movesTold how much of each packet: the headers with all their options.
	MovesGroup = 0x5553
	movesTold  = 128
	// frozenKept ends what a program that died in the middle of a move had frozen.
	frozenKept = 20 * time.Second
	// fencedKept is how long a server that was taken for dead is not heard on a connection
	// that was moved: until its own retransmissions end, but for rare ones.
	fencedKept = 5 * time.Minute
)

// Moves brings the table of moves into the kernel. Its methods may be called from several
// goroutines; they run one after the other.
type Moves struct {
	mu   sync.Mutex
	link link
}

// OpenMoves makes a Moves. It asks the kernel nothing until it is used, and then in the network
// namespace of the thread that uses it first.
func OpenMoves(c Config) *Moves { return &Moves{link: link{netns: c.NetNS}} }

// Close gives the socket back. What was applied stays in the kernel.
func (m *Moves) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.link.close()
}

func movesTable() *nftables.Table {
	return &nftables.Table{Name: MovesTable, Family: nftables.TableFamilyINet}
}

// Apply has the connections of these servers noted from now on, and of no others. Without
// servers there is no table. It tells whether it had to change something.
func (m *Moves) Apply(servers []netip.AddrPort) (changed bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if changed, err = m.apply(servers); err != nil {
		_ = m.link.close() // with what is queued in it
		return changed, fmt.Errorf("nft: moves: %w", err)
	}
	if len(servers) == 0 { // there is nothing that it would be needed for
		return changed, m.link.close()
	}
	return changed, nil
}

func (m *Moves) apply(servers []netip.AddrPort) (changed bool, err error) {
	for range rounds {
		c, err := m.link.conn()
		if err != nil {
			return changed, err
		}
		have, err := readEntries(c, m.link.nl, movesTable())
		if err != nil {
			return changed, err
		}
		t := &transaction{c: c, table: movesTable()}
		if len(servers) == 0 {
			if !have.exists {
				return changed, nil
			}
			t.deleteTable()
		} else if err := t.reconcileEntries(have, movesForm(servers)); err != nil {
			return changed, err
		}
		if t.empty() {
			return changed, nil
		}
		if err := m.link.commit(t); err != nil {
			return changed, err
		}
		changed = true
	}
	return changed, fmt.Errorf("table %s does not agree after %d transactions: is something else writing to it?", MovesTable, rounds)
}

func movesForm(servers []netip.AddrPort) (out wanted) {
	in := chain{name: chainMoves, kind: nftables.ChainTypeFilter, hook: nftables.ChainHookPrerouting, priority: priorityRaw}
	own := chain{name: chainMovesOwn, kind: nftables.ChainTypeFilter, hook: nftables.ChainHookOutput, priority: priorityRaw}
	for _, f := range bothFamilies() {
		of := protectedSet(f)
		for _, a := range servers {
			if f.has(a.Addr()) {
				of.elements = append(of.elements, element{key: addressKey(a.Addr()) + port(a.Port()), owner: a})
			}
		}
		if len(of.elements) == 0 {
			continue
		}
		out.sets = append(out.sets, of, set{Set: f.waysSet(setFrozen, frozenKept)}, set{Set: f.fencedSet()},
			set{Set: f.waysSet(setOwn, frozenKept)})
		in.rules = append(in.rules, f.moveRules()...)
		own.rules = append(own.rules, say("in the name of an end"+f.suffix, f.is(), protocol(protoTCP), f.way(), do(within(f.name(setOwn)), &expr.Notrack{})))
	}
	out.chains = []chain{in, own}
	return out
}

func protectedSet(f family) set {
	return set{Set: &nftables.Set{Table: movesTable(), Name: f.name(setProtected), Concatenation: true, KeyType: concat(f.address(), nftables.TypeInetService)}}
}

func (f family) wayKey() nftables.SetDatatype {
	return concat(f.address(), nftables.TypeInetService, f.address(), nftables.TypeInetService)
}

func (f family) waysSet(name string, kept time.Duration) *nftables.Set {
	return &nftables.Set{Table: movesTable(), Name: f.name(name), Concatenation: true, HasTimeout: true, Timeout: kept, KeyType: f.wayKey()}
}

// fencedSet is changed by packets, too.
func (f family) fencedSet() *nftables.Set {
	s := f.waysSet(setFenced, fencedKept)
	s.Dynamic = true
	return s
}

// way loads where a packet comes from and goes to.
func (f family) way() []expr.Any {
	n := f.words()
	return do(f.saddr(0), sport(n), f.daddr(n+1), dport(2*n+1))
}

// moveRules tell what servers say, and drop.
func (f family) moveRules() []rule {
	n := f.words()
	told := &expr.Log{Key: 1<<unix.NFTA_LOG_GROUP | 1<<unix.NFTA_LOG_SNAPLEN | 1<<unix.NFTA_LOG_QTHRESHOLD, Group: MovesGroup, Snaplen: movesTold, QThreshold: 1}
	return []rule{
		// Its client calls it anew, from the same port.
		say("a server that begins anew"+f.suffix, f.is(), protocol(protoTCP), synACK(), f.way(),
			do(&expr.Dynset{SrcRegKey: word(0), SetName: f.name(setFenced), Operation: nftDynsetDelete})),
		say("a server that is not heard any more"+f.suffix, f.is(), protocol(protoTCP), f.way(), do(within(f.name(setFenced)), drop())),
		say("a server's words"+f.suffix, f.is(), protocol(protoTCP), do(f.saddr(0), sport(n), within(f.name(setProtected)), told)),
		say("being moved"+f.suffix, f.is(), protocol(protoTCP), f.way(), do(within(f.name(setFrozen)), drop())),
	}
}

// wayElement is a way of packets.
func wayElement(from, to netip.AddrPort) element {
	return element{key: addressKey(from.Addr()) + port(from.Port()) + addressKey(to.Addr()) + port(to.Port()), owner: from}
}

// Freeze has no packet of the flows go on, of neither server, and what the node itself says in
// the name of client or entry point not be tracked.
func (m *Moves) Freeze(flows []splice.Flow) error {
	return m.change("freeze", flows, func(t *transaction, f family, flows []splice.Flow) error {
		var frozen, fenced, own, heard []element
		for _, w := range flows {
			frozen = append(frozen, wayElement(w.Client, w.Entry), wayElement(w.To, w.Client))
			fenced = append(fenced, wayElement(w.From, w.Client))
			heard = append(heard, wayElement(w.To, w.Client))
			own = append(own, wayElement(w.Entry, w.Client), wayElement(w.Client, w.To))
		}
		// The new server may be one that was fenced.
		return errors.Join(t.takeOut(f.fencedSet(), heard), t.putAnew(f.fencedSet(), fenced),
			t.putAnew(f.waysSet(setFrozen, frozenKept), frozen), t.putAnew(f.waysSet(setOwn, frozenKept), own))
	})
}

// Thaw has their packets go on. Of those that were moved, the server that has died is not
// heard any more.
func (m *Moves) Thaw(flows []splice.Flow, moved bool) error {
	return m.change("thaw", flows, func(t *transaction, f family, flows []splice.Flow) error {
		var frozen, fenced []element
		for _, w := range flows {
			frozen = append(frozen, wayElement(w.Client, w.Entry), wayElement(w.To, w.Client))
			fenced = append(fenced, wayElement(w.From, w.Client))
		}
		err := t.takeOut(f.waysSet(setFrozen, frozenKept), frozen)
		if !moved {
			err = errors.Join(err, t.takeOut(f.fencedSet(), fenced))
		}
		return err
	})
}

// Shadow has what the new servers of connections say to their clients not go on, and what the node
// itself says to them in the name of the clients not be tracked, for 20 s from now on.
func (m *Moves) Shadow(flows []splice.Ends) error {
	return m.shadow("shadow", flows, func(t *transaction, f family, heard, own []element) error {
		return errors.Join(t.putAnew(f.waysSet(setFrozen, frozenKept), heard), t.putAnew(f.waysSet(setOwn, frozenKept), own))
	})
}

// Silence ends that, but for what the servers say: they may be only cut off, with a connection that
// nobody can end. They are not heard on it any more.
func (m *Moves) Silence(flows []splice.Ends) error {
	return m.shadow("silence", flows, func(t *transaction, f family, heard, own []element) error {
		return errors.Join(t.putAnew(f.fencedSet(), heard), t.takeOut(f.waysSet(setFrozen, frozenKept), heard), t.takeOut(f.waysSet(setOwn, frozenKept), own))
	})
}

// Unshadow ends that.
func (m *Moves) Unshadow(flows []splice.Ends) error {
	return m.shadow("unshadow", flows, func(t *transaction, f family, heard, own []element) error {
		return errors.Join(t.takeOut(f.waysSet(setFrozen, frozenKept), heard), t.takeOut(f.waysSet(setOwn, frozenKept), own))
	})
}

func (m *Moves) shadow(what string, of []splice.Ends, queue func(t *transaction, f family, heard, own []element) error) error {
	flows := make([]splice.Flow, len(of))
	for i, e := range of {
		flows[i] = splice.Flow{Client: e.Client, To: e.Server}
	}
	return m.change(what, flows, func(t *transaction, f family, flows []splice.Flow) error {
		var heard, own []element
		for _, w := range flows {
			heard, own = append(heard, wayElement(w.To, w.Client)), append(own, wayElement(w.Client, w.To))
		}
		return queue(t, f, heard, own)
	})
}

// takeOut queues that elements are not in the set, whether they are or not: what is not there
// cannot be deleted.
func (t *transaction) takeOut(s *nftables.Set, es []element) error {
	return errors.Join(t.addElements(s, es), t.deleteElements(s, es))
}

// putAnew queues that elements are in the set for its whole time from now on: one that is there
// already would go when its own is over.
func (t *transaction) putAnew(s *nftables.Set, es []element) error {
	return errors.Join(t.takeOut(s, es), t.addElements(s, es))
}

func (m *Moves) change(what string, all []splice.Flow, queue func(*transaction, family, []splice.Flow) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, err := m.link.conn()
	if err != nil {
		return fmt.Errorf("nft: moves: %w", err)
	}
	t := &transaction{c: c, table: movesTable()}
	for _, f := range bothFamilies() {
		var flows []splice.Flow
		for _, w := range all {
			if f.has(w.Client.Addr()) {
				flows = append(flows, w)
			}
		}
		if len(flows) == 0 {
			continue
		}
		if err := queue(t, f, flows); err != nil {
			_ = m.link.close()
			return fmt.Errorf("nft: moves: %s: %w", what, err)
		}
	}
	if err := m.link.commit(t); err != nil {
		return fmt.Errorf("nft: moves: %s: %w", what, err)
	}
	return nil
}
