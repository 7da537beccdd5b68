package daemon

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"understudy/nat/entry"
	"understudy/nat/ipvs"
	"understudy/nat/nft"
)

// directly hands packets to servers by whatever the kernel has for it: by MAC nftables, or
// else IPVS; in tunnels IPVS. It finds out when the first entry point needs it.
type directly struct {
	nftables directTable
	can      func() error // whether nftables can
	ipvs     func() (directTable, error)
	left     func() error // removes what another program has left in IPVS

	mu       sync.Mutex
	byMAC    directTable // nil: nobody needed one yet
	services directTable // IPVS; nil: nobody needed it yet
	looked   bool        // for what was left
}

func openDirectly(d *nft.Direct) *directly {
	return &directly{nftables: d, can: d.Can, ipvs: func() (directTable, error) { return ipvs.Open() }, left: cleanServices}
}

// CanTunnel says why servers cannot be sent packets in tunnels here; nil if they can.
func CanTunnel() error {
	t, err := ipvs.Open()
	if err != nil {
		return noTunnels(err)
	}
	return t.Close()
}

func noTunnels(err error) error {
	return fmt.Errorf("tunnels to servers take IPVS (module ip_vs), which is not to be had: %w", err)
}

// called is the table that calls servers by their MAC, or says why there can be none. Called
// with the lock held.
func (d *directly) called() (directTable, error) {
	if d.byMAC != nil {
		return d.byMAC, nil
	}
	err := d.can()
	if err == nil {
		d.byMAC = d.nftables
		return d.byMAC, nil
	}
	if !errors.Is(err, nft.ErrNoDirect) {
		return nil, err
	}
	t, other := d.opened()
	if other != nil {
		return nil, fmt.Errorf(`forward = "direct" cannot be had: %w (modules nft_dup_ipv4, nft_dup_ipv6), and no IPVS either (module ip_vs): %w`, err, other)
	}
	d.byMAC = t
	return t, nil
}

// opened is IPVS. Called with the lock held.
func (d *directly) opened() (directTable, error) {
	if d.services != nil {
		return d.services, nil
	}
	t, err := d.ipvs()
	if err != nil {
		return nil, err
	}
	d.services = t
	return t, nil
}

// of is the table that an entry point needs. Called with the lock held.
func (d *directly) of(p entry.Point) (directTable, error) {
	if p.Tunnel.Kind == "" {
		return d.called()
	}
	t, err := d.opened()
	if err != nil {
		return nil, fmt.Errorf(`forward = "tunnel" cannot be had: %w`, noTunnels(err))
	}
	return t, nil
}

// inUse are the tables that entry points have needed. Called with the lock held.
func (d *directly) inUse() (out []directTable) {
	for _, t := range []directTable{d.byMAC, d.services} {
		if t != nil && !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}

// used are the tables that entry points have needed.
func (d *directly) used() []directTable {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.inUse()
}

// ofTable are the points that a table has.
type ofTable struct {
	directTable
	points []entry.Point
}

// sorted are the tables that have been needed, each with what is its own of points. It says
// why one that is needed cannot be had.
func (d *directly) sorted(points []entry.Point) (out []ofTable, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	tables := make([]directTable, len(points))
	for i, p := range points {
		if tables[i], err = d.of(p); err != nil {
			return nil, err
		}
	}
	for _, t := range d.inUse() {
		one := ofTable{directTable: t}
		for i, p := range points {
			if tables[i] == t {
				one.points = append(one.points, p)
			}
		}
		out = append(out, one)
	}
	return out, nil
}

func (d *directly) Apply(points []entry.Point) (changed bool, err error) {
	tables, err := d.sorted(points)
	if err != nil {
		return false, err
	}
	if err := d.tidy(); err != nil {
		return false, err
	}
	for _, t := range tables {
		did, err := t.Apply(t.points)
		if changed = changed || did; err != nil {
			return changed, err
		}
	}
	return changed, nil
}

// tidy removes what another program has left where nobody needs anything.
func (d *directly) tidy() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.services == nil && !d.looked {
		d.looked = true
		_ = d.left() // whoever may not change IPVS has left nothing in it
	}
	if d.byMAC != nil {
		return nil
	}
	_, err := d.nftables.Apply(nil)
	return err
}

func (d *directly) Steer(points ...entry.Point) error {
	tables, err := d.sorted(points)
	if err != nil {
		return err
	}
	for _, t := range tables {
		if len(t.points) > 0 {
			err = errors.Join(err, t.Steer(t.points...))
		}
	}
	return err
}

// What is of one entry point is of one of the tables; the other has not heard of its name.

func (d *directly) Remember(name string, clients []nft.Remembered) (err error) {
	for _, t := range d.used() {
		err = errors.Join(err, t.Remember(name, clients))
	}
	return err
}

func (d *directly) Flows(name string) (out []nft.DirectFlow, err error) {
	for _, t := range d.used() {
		flows, err := t.Flows(name)
		if out = append(out, flows...); err != nil {
			return out, err
		}
	}
	return out, nil
}

func (d *directly) Forget(name string, flows []nft.DirectFlow) (err error) {
	for _, t := range d.used() {
		err = errors.Join(err, t.Forget(name, flows))
	}
	return err
}

func (d *directly) Counters() (out nft.EntryCounters, err error) {
	out.New = map[string]uint64{}
	for _, t := range d.used() {
		c, err := t.Counters()
		if err != nil {
			return out, err
		}
		out.Unserved += c.Unserved
		for name, n := range c.New {
			out.New[name] = n
		}
	}
	return out, nil
}

// cleanServices removes services of IPVS, if the kernel has it loaded.
func cleanServices() error {
	if _, err := os.Stat("/proc/thread-self/net/ip_vs"); err != nil {
		return nil
	}
	t, err := ipvs.Open()
	if err != nil {
		return err
	}
	return errors.Join(t.Clean(), t.Close())
}
