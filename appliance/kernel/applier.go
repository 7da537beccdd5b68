package kernel

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"understudy/appliance/identity"
)

// rounds bounds how often Apply looks again. One is enough but for corner
// cases: an IPv6 address whose prefix length changes can be added only after the
// old one is gone, and removing a primary may take secondaries along.
const rounds = 4

var (
	// ErrNoInterface is in the error of Apply for an address whose interface
	// does not exist.
	ErrNoInterface = errors.New("no such interface")
	// ErrNoMark is returned on a kernel that does not keep IFA_PROTO (before
	// Linux 5.18): what we add could not be told from the operator's.
	ErrNoMark = errors.New("this kernel does not mark addresses (IFA_PROTO, Linux 5.18)")
)

// Applier changes the addresses of this machine, the devices that they are on,
// and the routes and routing rules that go with them. It is safe for concurrent use.
type Applier struct {
	mu sync.Mutex
	s  *socket

	prepared []identity.Device // that are to exist
	wanted   []identity.Device // that are to be up
	applied  bool              // wanted is known
	follow   bool              // they forward where their parents do

	wantedRoutes []identity.Route
	bare         bool // no route and no rule of ours is there
}

// Outcome is what Apply did.
type Outcome struct {
	// Added was not there. What is on a device that was down counts.
	Added identity.Identity
	// Refused are routes and rules that the kernel would not have. That is no error
	// either: the addresses serve without them, and the next Apply tries again.
	Refused []Refusal
	// Waiting are routes that their links keep away. That is no error: each comes
	// back with its link, at the next Apply.
	Waiting []Waiting
}

// Open returns an Applier for the network namespace of the calling thread.
func Open() (*Applier, error) {
	s, err := openSocket()
	if err != nil {
		return nil, fmt.Errorf("kernel: rtnetlink: %w", err)
	}
	return &Applier{s: s}, nil
}

// Close releases the socket. Addresses stay.
func (a *Applier) Close() error { return a.s.close() }

// PortID is the netlink port of the Applier: what it causes carries this number
// in notifications.
func (a *Applier) PortID() uint32 { return a.s.portID }

// Apply makes what is of ours in this kernel exactly want, reads it back and
// returns what it did. The devices of want are up before the addresses, these are
// there before the routes, and the routes before the rules; what goes, goes the
// other way round. It is idempotent. What cannot be done for one thing does not
// keep back the others; the error joins all, but for routes and rules that could not
// be added: these are in the Outcome.
//
// Devices that are not wanted any more lose their addresses at once, and the rest
// in [Applier.Settle].
func (a *Applier) Apply(want identity.Identity) (Outcome, error) {
	return a.ApplyEach(want, nil)
}

// ApplyEach is Apply, and calls each after every batch of at most 128 additions
// with the addresses that were added: the first of a thousand can be announced
// before the last is in place. each may be nil.
func (a *Applier) ApplyEach(want identity.Identity, each func([]identity.Address)) (out Outcome, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wanted, a.applied = want.Devices, true
	failedRouting := a.withdraw(want)
	raised, failed := a.raise(want.Devices)
	onDevices := want
	if failed != nil {
		// An address on a device that is down would be half there: nobody reaches
		// it, and this box takes it for its own.
		kept := slices.DeleteFunc(slices.Clone(want.Addresses), func(x identity.Address) bool { return failed[x.Interface] != nil })
		onDevices = identity.New(kept...).With(want.Devices...)
	}
	added, err := a.applyAddresses(onDevices, each)
	out.Added = identity.New(withRaised(added, onDevices.Addresses, raised)...)
	return out, errors.Join(failedRouting, err, joined(failed), a.provide(want, &out))
}

// applyAddresses is Apply without the devices.
func (a *Applier) applyAddresses(want identity.Identity, each func([]identity.Address)) (added []identity.Address, err error) {
	index, under, err := a.s.indexes(want)
	if err != nil {
		return nil, fmt.Errorf("kernel: %w", err)
	}
	var failures map[identity.Address]error
	for range rounds {
		have, err := a.s.addresses(0)
		if err != nil {
			return added, fmt.Errorf("kernel: reading addresses: %w", err)
		}
		if lost := unmarked(have, added, index); len(lost) > 0 {
			err := a.remove(lost)
			return nil, fmt.Errorf("kernel: %w", errors.Join(ErrNoMark, err))
		}
		w := plan(have, want.Addresses, index, under)
		if w.done() {
			return added, missing(w.missing)
		}
		var fresh []identity.Address
		fresh, failures, err = a.add(w.add, each)
		added = merge(added, fresh)
		if err != nil {
			return added, fmt.Errorf("kernel: adding addresses: %w", err)
		}
		if err := a.remove(w.remove); err != nil {
			return added, fmt.Errorf("kernel: removing addresses: %w", err)
		}
		if len(failures) > 0 && len(w.remove) == 0 {
			break // another round would end the same
		}
	}
	return added, a.unfinished(want, index, under, failures)
}

// unfinished reads back once more and returns what is still not as wanted.
func (a *Applier) unfinished(want identity.Identity, index map[string]int, under map[int]int, failures map[identity.Address]error) error {
	have, err := a.s.addresses(0)
	if err != nil {
		return fmt.Errorf("kernel: reading addresses: %w", err)
	}
	w := plan(have, want.Addresses, index, under)
	errs := []error{missing(w.missing)}
	for _, s := range w.add {
		err := failures[s.want]
		if err == nil {
			err = errors.New("added, but gone again")
		}
		errs = append(errs, fmt.Errorf("kernel: %s: %w", s.want, err))
	}
	for _, c := range w.remove {
		errs = append(errs, fmt.Errorf("kernel: %s on interface %d: cannot be removed", c.prefix, c.index))
	}
	return errors.Join(errs...)
}

// Clean removes every address with our mark from every interface and returns
// how many there were.
func (a *Applier) Clean() (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	total := 0
	for round := range rounds {
		have, err := a.s.addresses(0)
		if err != nil {
			return total, fmt.Errorf("kernel: reading addresses: %w", err)
		}
		w := plan(have, nil, nil, nil)
		if w.done() {
			return total, nil
		}
		if round == 0 {
			total = len(w.remove) // a primary may take the others along
		}
		if err := a.remove(w.remove); err != nil {
			return total, fmt.Errorf("kernel: removing addresses: %w", err)
		}
	}
	return total, errors.New("kernel: addresses with our mark keep coming back")
}

// RemoveMessages returns the netlink messages (NETLINK_ROUTE) that remove the
// identity but for its devices, in batches of at most 128 for one sendto each:
// rules, routes, addresses. They may be prepared before anything is added. What is
// the operator's is left out, or not found. The messages ask for no
// acknowledgement; what is gone already answers EADDRNOTAVAIL, ESRCH or ENOENT,
// which is no failure. They name the interfaces of addresses by index: make new
// ones when a link is created again.
func (a *Applier) RemoveMessages(id identity.Identity) ([][]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	index, under, err := a.s.indexes(id)
	if err != nil {
		return nil, fmt.Errorf("kernel: %w", err)
	}
	have, err := a.s.addresses(0)
	if err != nil {
		return nil, fmt.Errorf("kernel: reading addresses: %w", err)
	}
	out := batches(routingRemovals(id))
	return append(out, batches(removals(have, id.Addresses, index, under))...), nil
}

// batches are the messages of the changes, for one send each.
func batches[C interface {
	message(flags int, seq uint32) []byte
}](changes []C) (out [][]byte) {
	for batch := range slices.Chunk(changes, batchSize) {
		var b []byte
		for i, c := range batch {
			b = append(b, c.message(0, uint32(i+1))...)
		}
		out = append(out, b)
	}
	return out
}

// add executes the steps in batches and returns what was added and what was
// refused.
func (a *Applier) add(steps []step, each func([]identity.Address)) (added []identity.Address, failures map[identity.Address]error, err error) {
	for batch := range slices.Chunk(steps, batchSize) {
		changes := make([]change, len(batch))
		for i, s := range batch {
			changes[i] = s.change
		}
		verdicts, err := execute(a.s, changes)
		if err != nil {
			return added, failures, err
		}
		start := len(added)
		there := changes[:0]
		for i, v := range verdicts {
			if v == nil {
				added, there = append(added, batch[i].want), append(there, batch[i].change)
				continue
			}
			if failures == nil {
				failures = make(map[identity.Address]error)
			}
			failures[batch[i].want] = v
		}
		if err := a.awaitUsable(there); err != nil {
			return added, failures, err
		}
		if each != nil && len(added) > start {
			each(slices.Clone(added[start:]))
		}
	}
	return added, failures, nil
}

// remove executes the removals. What is gone already is no error.
func (a *Applier) remove(changes []change) error {
	for batch := range slices.Chunk(changes, batchSize) {
		verdicts, err := execute(a.s, batch)
		if err != nil {
			return err
		}
		for _, v := range verdicts {
			if v != nil && !errors.Is(v, unix.EADDRNOTAVAIL) && !errors.Is(v, unix.ENODEV) {
				return v
			}
		}
	}
	return nil
}

// unmarked returns the added addresses that the kernel shows without our mark.
func unmarked(have []holding, added []identity.Address, index map[string]int) (out []change) {
	if len(added) == 0 {
		return nil
	}
	ours := make(map[place]bool, len(added))
	for _, a := range added {
		ours[place{index[a.Interface], a.Prefix.Addr()}] = true
	}
	for _, h := range have {
		if !h.ours && ours[place{h.index, h.prefix.Addr()}] {
			out = append(out, h.removal())
		}
	}
	return out
}

func missing(addresses []identity.Address) error {
	var errs []error
	for _, a := range addresses {
		errs = append(errs, fmt.Errorf("kernel: %s: %w", a, ErrNoInterface))
	}
	return errors.Join(errs...)
}

func joined(failed map[string]error) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		errs = append(errs, failed[name])
	}
	return errors.Join(errs...)
}

// withRaised adds to added what was there already, on a device that was down.
func withRaised(added, want []identity.Address, raised map[string]bool) []identity.Address {
	if len(raised) == 0 {
		return added
	}
	seen := make(map[identity.Address]bool, len(added))
	for _, a := range added {
		seen[a] = true
	}
	for _, a := range want {
		if raised[a.Interface] && !seen[a] {
			added = append(added, a)
		}
	}
	return added
}

// merge appends what is not there yet. A second helping is rare and short.
func merge(all, more []identity.Address) []identity.Address {
	if len(all) == 0 {
		return more
	}
	for _, a := range more {
		if !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}
