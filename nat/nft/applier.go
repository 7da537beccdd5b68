package nft

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"understudy/nat"
)

// Config is where an [Applier] works.
type Config struct {
	// NetNS is the file descriptor of a network namespace, which must stay open.
	// 0 is the one of the calling thread, and then needs CAP_NET_ADMIN only.
	NetNS int
}

// Applier brings plans into the kernel. Its methods may be called from several
// goroutines; they run one after the other.
type Applier struct {
	mu      sync.Mutex
	link    link
	unknown *Unknown // what SetUnknown asked for last; nil: leave what the kernel has

	base   *nat.Plan // what the table says, unless others have changed it; nil: not known
	agreed uint32    // the generation of the ruleset in which all of it was read and found so; 0: none

	urgent   atomic.Int32                 // those who wait for the lock and cannot wait long
	auditing atomic.Pointer[netlink.Conn] // what an audit reads by, while it does
}

// Open makes an Applier. It changes nothing in the kernel.
func Open(c Config) (*Applier, error) {
	a := &Applier{link: link{netns: c.NetNS}}
	if _, err := a.link.conn(); err != nil {
		return nil, fmt.Errorf("nft: %w", err)
	}
	return a, nil
}

// PortID is the netlink port of the Applier, 0 while it has none: notices of what
// it did carry the number.
func (a *Applier) PortID() uint32 { return a.link.port.Load() }

// Close gives the socket back. What was applied stays in the kernel: a restart
// of the program must not interrupt anybody. See [Applier.Clean].
func (a *Applier) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.link.close()
}

func (a *Applier) read() (*state, error) {
	return a.readWith(func(*nftables.Set) bool { return false })
}

// readWith reads our table, without what is in the sets that blind names.
func (a *Applier) readWith(blind func(*nftables.Set) bool) (*state, error) {
	c, err := a.link.conn()
	if err != nil {
		return nil, err
	}
	s, err := reading{ourTable(), inWords, blind}.read(c, a.link.nl)
	if err != nil {
		_ = a.link.close()
	}
	return s, err
}

// Report is what [Applier.Apply] had to do. The zero value: nothing, the kernel
// was as it should be.
type Report struct {
	NewGate bool     // there was no gate, or not a whole one: all gates whose state was lost are shut
	Rebuilt bool     // chains, sets or counters went, or had the wrong form
	Chains  []string // chains whose rules were replaced
	Added   int      // set elements
	Removed int
	Copies  bool // what hangs on interfaces was made anew
}

// rounds bounds how often Apply tries to make the kernel agree. One is the rule;
// a second is needed if someone writes to the table at the same time.
const rounds = 3

// Apply makes our table say what plan says, in one transaction that touches only
// what differs: an element that stays is not touched, nor any flow. It reads all of the
// table first, and once more if somebody else has written meanwhile; [Applier.Change]
// reads less. Applying a plan twice does nothing the second time; after somebody else's
// hand in the table it repairs.
//
// Gates keep their state: an address is shut unless its group's gate is open, and
// addresses that join an open group are open. In a new table all are shut, so
// after a report of a NewGate (somebody may have flushed the whole ruleset) the
// groups that are Active must be opened again.
//
// On error the kernel is as it was, unless the error says that it does not agree
// after the transaction; and it names the mapping that was refused.
func (a *Applier) Apply(plan nat.Plan) (Report, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.applyWith(plan, func(plan nat.Plan, links links) (Report, error) { return a.applyTable(plan, links, a.read) })
}

// applyWith does so, with a way to do it for the table that holds the mappings.
func (a *Applier) applyWith(plan nat.Plan, table func(nat.Plan, links) (Report, error)) (Report, error) {
	links, err := a.links(plan.Mirror)
	if err != nil {
		return Report{}, fmt.Errorf("nft: %w", err)
	}
	// Copies are let in by the one table, and kept from getting out by the other: so
	// this one is there first, and goes last.
	var copies bool
	if plan.Mirror != nil {
		if copies, err = a.applyCopies(plan, links); err != nil {
			return Report{}, fmt.Errorf("nft: copies: %w", err)
		}
	}
	report, err := table(plan, links)
	if err == nil && plan.Mirror == nil {
		if copies, err = a.applyCopies(plan, links); err != nil {
			err = fmt.Errorf("nft: copies: %w", err)
		}
	}
	report.Copies = copies
	return report, err
}

// applyTable reads by first, the first time.
func (a *Applier) applyTable(plan nat.Plan, links links, first func() (*state, error)) (total Report, err error) {
	read := first
	for range rounds {
		generation, err := a.link.generation()
		if err != nil {
			return total, fmt.Errorf("nft: %w", err)
		}
		have, err := read()
		if err != nil {
			return total, fmt.Errorf("nft: %w", err)
		}
		a.base, a.agreed, read = nil, 0, a.read
		t := &transaction{c: a.link.c}
		report, err := reconcile(t, have, a.want(plan, have, links))
		if err != nil {
			_ = a.link.close() // with what is queued in it
			return total, fmt.Errorf("nft: %w", err)
		}
		if t.empty() {
			a.base, a.agreed = &plan, generation
			return total, nil
		}
		if err := a.link.commit(t); err != nil {
			return total, fmt.Errorf("nft: %w", err)
		}
		total.add(report)
		// The kernel has carried out all of it, and nobody has written meanwhile: it need
		// not be read to be known. The next audit reads it all the same. (Read at once,
		// a hash that has just grown seems to lack some: the kernel lists it in parts, and
		// makes room in it meanwhile.)
		if after, err := a.link.generation(); err == nil && after == generation+1 {
			a.base = &plan
			return total, nil
		}
	}
	return total, fmt.Errorf("nft: table %s does not agree with the plan after %d transactions: is something else writing to it?", Table, rounds)
}

func (r *Report) add(s Report) {
	r.NewGate = r.NewGate || s.NewGate
	r.Rebuilt = r.Rebuilt || s.Rebuilt
	r.Chains = append(r.Chains, s.Chains...)
	r.Added += s.Added
	r.Removed += s.Removed
}

// SetUnknown switches what becomes of unknown TCP connections: reset or drop. A
// table without leak guard remembers it for when it gets one.
func (a *Applier) SetUnknown(u Unknown) error {
	a.lockAtOnce()
	defer a.mu.Unlock()
	a.unknown = &u
	c, err := a.link.conn()
	if err != nil {
		return fmt.Errorf("nft: unknown connections: %w", err)
	}
	t := &transaction{c: c}
	t.flushChain(chainUnknown)
	t.addRules(chainUnknown, []rule{unknownRule(u)})
	if err := a.link.commit(t); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("nft: unknown connections: %w", err)
	}
	return nil
}

// Clean removes our table, and with it everything this package ever put into the
// kernel. That it is not there is no error.
func (a *Applier) Clean() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.base, a.agreed = nil, 0
	c, err := a.link.conn()
	if err != nil {
		return fmt.Errorf("nft: clean: %w", err)
	}
	t := &transaction{c: c}
	t.addTable() // deleting what is not there would fail
	t.deleteTable()
	if err := a.link.commit(t); err != nil {
		return fmt.Errorf("nft: clean: %w", err)
	}
	if _, err := a.applyCopies(nat.Plan{}, nil); err != nil {
		return fmt.Errorf("nft: clean: %w", err)
	}
	return nil
}

// Counters are packets since the counter was made, which a reload does not change.
type Counters struct {
	Gate         uint64 // addressed to a group that is not Active here, or to its MAC: dropped
	Untranslated uint64 // inside source on an outside interface: dropped
	Stray        uint64 // to a translated port, of no known flow: dropped
	Refused      uint64 // to an address that is not talked to: dropped
	Unknown      uint64 // in the middle of an unknown TCP connection: dropped or reset
	Copied       uint64 // packets copied to the other node
	Taken        uint64 // copies taken from it
	KeptIn       uint64 // copies that would have left
	Silenced     uint64 // answers to copies that would have left
}

// Counters reads them. Without a table, or without leak guard, they are zero.
func (a *Applier) Counters() (Counters, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := a.link.conn()
	if err != nil {
		return Counters{}, fmt.Errorf("nft: %w", err)
	}
	v, err := readCounters(c, ourTable())
	if err != nil {
		_ = a.link.close()
		if errors.Is(err, unix.ENOENT) {
			return Counters{}, nil
		}
		return Counters{}, fmt.Errorf("nft: %w", err)
	}
	copies, err := a.copiesCounters(c)
	if err != nil {
		_ = a.link.close()
		return Counters{}, fmt.Errorf("nft: %w", err)
	}
	return Counters{
		Copied:       copies[counterCopied].Packets,
		Taken:        copies[counterTaken].Packets,
		KeptIn:       copies[counterKept].Packets,
		Silenced:     v[counterQuiet].Packets,
		Gate:         v[counterGate].Packets,
		Untranslated: v[counterInside].Packets,
		Stray:        v[counterStray].Packets,
		Refused:      v[counterRefused].Packets,
		Unknown:      v[counterUnknown].Packets,
	}, nil
}
