package daemon

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"understudy/nat/entry"
	"understudy/nat/ipvs"
	"understudy/nat/nft"
)

// directly hands packets to servers by whatever the kernel has for it: nftables, or else
// IPVS. It finds out when the first entry point needs it.
type directly struct {
	nftables directTable
	can      func() error // whether nftables can
	ipvs     func() (directTable, error)

	mu    sync.Mutex
	table directTable // nil: nobody needed one yet
}

func openDirectly(d *nft.Direct) *directly {
	return &directly{nftables: d, can: d.Can, ipvs: func() (directTable, error) { return ipvs.Open() }}
}

// need returns the table, and says why there can be none.
func (d *directly) need() (directTable, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.table != nil {
		return d.table, nil
	}
	err := d.can()
	if err == nil {
		d.table = d.nftables
		return d.table, nil
	}
	if !errors.Is(err, nft.ErrNoDirect) {
		return nil, err
	}
	table, other := d.ipvs()
	if other != nil {
		return nil, fmt.Errorf(`forward = "direct" cannot be had: %w (modules nft_dup_ipv4, nft_dup_ipv6), and no IPVS either (module ip_vs): %w`, err, other)
	}
	d.table = table
	return table, nil
}

// used returns the table, nil without one.
func (d *directly) used() directTable {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.table
}

func (d *directly) Apply(points []entry.Point) (bool, error) {
	if len(points) == 0 && d.used() == nil {
		return d.nftables.Apply(nil) // what another program has left
	}
	t, err := d.need()
	if err != nil {
		return false, err
	}
	return t.Apply(points)
}

func (d *directly) Steer(points ...entry.Point) error {
	t, err := d.need()
	if err != nil {
		return err
	}
	return t.Steer(points...)
}

func (d *directly) Remember(name string, clients []nft.Remembered) error {
	if t := d.used(); t != nil {
		return t.Remember(name, clients)
	}
	return nil
}

func (d *directly) Flows(name string) ([]nft.DirectFlow, error) {
	if t := d.used(); t != nil {
		return t.Flows(name)
	}
	return nil, nil
}

func (d *directly) Forget(name string, flows []nft.DirectFlow) error {
	if t := d.used(); t != nil {
		return t.Forget(name, flows)
	}
	return nil
}

func (d *directly) Counters() (nft.EntryCounters, error) {
	if t := d.used(); t != nil {
		return t.Counters()
	}
	return nft.EntryCounters{}, nil
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
