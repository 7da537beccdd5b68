package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"golang.org/x/sys/unix"

	"understudy/nat/entry"
)

// Direct brings entry points into the kernel that hand packets to servers as they are: see
// [DirectTable]. Its methods may be called from several goroutines; they run one after the
// other.
type Direct struct {
	mu    sync.Mutex
	link  link
	books [2]book // IPv4, IPv6
}

// OpenDirect makes a Direct. It changes nothing in the kernel.
func OpenDirect(c Config) (*Direct, error) {
	d := &Direct{link: link{netns: c.NetNS}}
	for i, f := range bothFamilies() {
		d.books[i] = book{table: directTable(f), link: &d.link, one: f.directPoint,
			whole:  func(points []entry.Point, _ *state) wanted { return f.directForm(points) },
			shared: func(*transaction, entry.Point, entry.Point) error { return nil }}
	}
	if _, err := d.link.conn(); err != nil {
		return nil, fmt.Errorf("nft: direct entry points: %w", err)
	}
	return d, nil
}

// PortID is the netlink port of the Direct, as [Applier.PortID].
func (d *Direct) PortID() uint32 { return d.link.port.Load() }

// Close gives the socket back. What was applied stays in the kernel.
func (d *Direct) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.link.close()
}

// ErrNoDirect says that this kernel's nftables cannot hand packets on (CONFIG_NFT_DUP_IPV4,
// CONFIG_NFT_DUP_IPV6).
var ErrNoDirect = errors.New("nftables of this kernel has no dup")

// Apply makes the tables say what points say, as [Entries.Apply] does: one transaction a
// family.
func (d *Direct) Apply(points []entry.Point) (changed bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.books {
		did, err := d.books[i].apply(directPoints(points, i == 1))
		changed = changed || did
		if err != nil {
			return changed, fmt.Errorf("nft: direct entry points: %w", err)
		}
	}
	return changed, nil
}

// Can tells whether the kernel can do it: nil, [ErrNoDirect], or another reason. It leaves
// nothing behind.
func (d *Direct) Can() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	c, err := d.link.conn()
	if err != nil {
		return fmt.Errorf("nft: direct entry points: %w", err)
	}
	for _, f := range bothFamilies() {
		t := &transaction{c: c, table: directTable(f)}
		t.table.Name += "_try"
		t.addTable()
		t.addChain(chain{name: "try"})
		_, _, at := f.directWords()
		t.addRules("try", []rule{say("try", do(f.daddr(at)), f.handOver())})
		t.deleteTable()
		switch err := d.link.commit(t); {
		case errors.Is(err, unix.ENOENT):
			return ErrNoDirect
		case err != nil:
			return fmt.Errorf("nft: direct entry points: %w", err)
		}
		if c, err = d.link.conn(); err != nil {
			return fmt.Errorf("nft: direct entry points: %w", err)
		}
	}
	return nil
}

// Steer changes the tables of some entry points, as [Entries.Steer] does.
func (d *Direct) Steer(points ...entry.Point) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.books {
		if of := directPoints(points, i == 1); len(of) > 0 {
			if err := d.books[i].steer(of); err != nil {
				return fmt.Errorf("nft: direct entry points: %w", err)
			}
		}
	}
	return nil
}

// at returns the book that has the entry point.
func (d *Direct) at(name string) (f family, b *book, p entry.Point, ok bool) {
	for i, f := range bothFamilies() {
		if p, ok := d.books[i].have[name]; ok {
			return f, &d.books[i], p, true
		}
	}
	return f, nil, p, false
}

// Remember has the entry point forget where clients go, and know these instead.
func (d *Direct) Remember(name string, clients []Remembered) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, b, p, ok := d.at(name)
	if !ok || p.Persist <= 0 {
		return nil
	}
	c, err := d.link.conn()
	if err != nil {
		return fmt.Errorf("nft: direct entry points: %w", err)
	}
	t := &transaction{c: c, table: b.table}
	if err := t.remember(keptSet(b.table, p), p, clients); err != nil {
		return fmt.Errorf("nft: direct entry points: %w", err)
	}
	if err := d.link.commit(t); err != nil {
		return fmt.Errorf("nft: direct entry points: remember clients: %w", err)
	}
	return nil
}

// DirectFlow is one that is known to be a server's.
type DirectFlow struct {
	CutFlow
	Server int  // its number
	Ended  bool // the client has ended it
}

// Flows are those of an entry point, in no order.
func (d *Direct) Flows(name string) (out []DirectFlow, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, _, p, ok := d.at(name)
	if !ok {
		return nil, nil
	}
	c, err := d.link.conn()
	if err != nil {
		return nil, fmt.Errorf("nft: direct entry points: %w", err)
	}
	elements, err := c.GetSetElements(f.flowsSet(p))
	if err != nil {
		_ = d.link.close()
		if errors.Is(err, unix.ENOENT) {
			return nil, nil
		}
		return nil, fmt.Errorf("nft: direct entry points: flows of %s: %w", name, err)
	}
	for _, e := range elements {
		if w, ok := f.directFlow(e); ok {
			out = append(out, w)
		}
	}
	return out, nil
}

// directFlow reads an element: ports and protocol are padded to a word.
func (f family) directFlow(e nftables.SetElement) (out DirectFlow, ok bool) {
	n := int(4 * f.words())
	if len(e.Key) != 2*n+12 || len(e.Val) != 4 {
		return out, false
	}
	end := func(address, port []byte) netip.AddrPort {
		a, _ := netip.AddrFromSlice(address[:n])
		return netip.AddrPortFrom(a, binary.BigEndian.Uint16(port))
	}
	v := binaryutil.NativeEndian.Uint32(e.Val)
	out.Client, out.Proto, out.To = end(e.Key, e.Key[n:]), e.Key[n+4], end(e.Key[n+8:], e.Key[2*n+8:])
	out.Server, out.Ended = int(v&(ended-1)), v&ended != 0
	return out, true
}

// Forget has the kernel forget flows of an entry point. Those that end meanwhile are
// forgotten anyway.
func (d *Direct) Forget(name string, flows []DirectFlow) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, b, p, ok := d.at(name)
	if !ok {
		return nil
	}
	// One that is gone already would have the kernel refuse the others.
	for len(flows) > 0 {
		part := flows[:min(len(flows), forgetAtOnce)]
		if err := d.forget(f, b, p, part); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("nft: direct entry points: forget flows: %w", err)
		} else if err != nil {
			for _, one := range part {
				if err := d.forget(f, b, p, []DirectFlow{one}); err != nil && !errors.Is(err, unix.ENOENT) {
					return fmt.Errorf("nft: direct entry points: forget flows: %w", err)
				}
			}
		}
		flows = flows[len(part):]
	}
	return nil
}

const forgetAtOnce = 64

func (d *Direct) forget(f family, b *book, p entry.Point, flows []DirectFlow) error {
	c, err := d.link.conn()
	if err != nil {
		return err
	}
	t := &transaction{c: c, table: b.table}
	elements := make([]element, len(flows))
	for i, w := range flows {
		elements[i] = element{key: flowKey(w.Client, w.To, w.Proto), owner: w.Client}
	}
	if err := t.deleteElements(f.flowsSet(p), elements); err != nil {
		return err
	}
	return d.link.commit(t)
}

// Counters reads those that there are: of new flows, and of what nobody serves.
func (d *Direct) Counters() (out EntryCounters, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	out.New = map[string]uint64{}
	for i := range d.books {
		b := &d.books[i]
		if len(b.have) == 0 {
			continue
		}
		c, err := d.link.conn()
		if err != nil {
			return out, fmt.Errorf("nft: direct entry points: %w", err)
		}
		v, err := readCounters(c, b.table)
		if errors.Is(err, unix.ENOENT) {
			_ = d.link.close()
			continue
		}
		if err != nil {
			_ = d.link.close()
			return out, fmt.Errorf("nft: direct entry points: %w", err)
		}
		out.Unserved += v[counterNobody].Packets
		for name := range b.have {
			out.New[name] = v[prefixNew+name].Packets
		}
	}
	return out, nil
}

// Clean removes the tables. That they are not there is no error.
func (d *Direct) Clean() error {
	_, err := d.Apply(nil)
	return err
}
