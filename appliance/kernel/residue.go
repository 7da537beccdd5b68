package kernel

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/identity"
)

// Residue is what a keepalived that was killed may have left here, and what of it is
// to go: a virtual router that is to be ours now.
type Residue struct {
	Addresses []identity.Address
	// Exact are addresses that go only if the length of the prefix is that too: they stay
	// at their interface, and with another length they may be its own.
	Exact   []identity.Address
	Devices []identity.Device // by parent and MAC; theirs have other names
}

// Removed is what was there of a residue.
type Removed struct {
	Addresses, Devices, Routes, Rules int
}

// routeKeepalived is the protocol of routes and rules of keepalived's (RTPROT_KEEPALIVED).
const routeKeepalived = 18

// RemoveResidue takes away what a keepalived has left. Addresses and devices with our
// mark are not meant, and no other is touched. It is for before anything of ours runs.
func RemoveResidue(r Residue) (out Removed, err error) {
	a, err := Open()
	if err != nil {
		return out, err
	}
	defer a.Close()
	var errs []error
	out.Rules, out.Routes, err = removeKeepalivedRouting()
	errs = append(errs, err)
	// With a device go the addresses on it.
	out.Devices, err = a.removeForeignDevices(r.Devices)
	errs = append(errs, err)
	out.Addresses, err = a.removeForeign(r)
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return out, fmt.Errorf("kernel: what keepalived has left: %w", err)
	}
	return out, nil
}

func (a *Applier) removeForeign(r Residue) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	have, err := a.s.addresses(0)
	if err != nil {
		return 0, err
	}
	links, err := a.s.devices()
	if err != nil {
		return 0, err
	}
	var changes []change
	for _, h := range have {
		is := func(w identity.Address) bool {
			return w.Prefix.Addr() == h.prefix.Addr() && links[w.Interface].index == h.index
		}
		exactly := func(w identity.Address) bool { return is(w) && w.Prefix == h.prefix }
		if !h.ours && (slices.ContainsFunc(r.Addresses, is) || slices.ContainsFunc(r.Exact, exactly)) {
			changes = append(changes, h.removal())
		}
	}
	return len(changes), a.remove(changes)
}

// removeForeignDevices removes macvlans with a virtual MAC of ours that are none of ours.
func (a *Applier) removeForeignDevices(list []identity.Device) (n int, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	have, err := a.s.devices()
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, d := range have {
		if d.kind == "macvlan" && !d.ours() && slices.ContainsFunc(list, func(w identity.Device) bool {
			return w.MAC == d.MAC && have[w.Parent].index == d.parent
		}) {
			n++
			errs = append(errs, a.change(linkChange{verb: removeLink, index: d.index}))
		}
	}
	return n, errors.Join(errs...)
}

func removeKeepalivedRouting() (rules, routes int, err error) {
	var errs []error
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		list, err := netlink.RuleList(family)
		if err != nil && noSuchTable(err) != nil {
			errs = append(errs, err)
		}
		for _, r := range list {
			if r.Protocol == routeKeepalived {
				rules++
				errs = append(errs, netlink.RuleDel(&r))
			}
		}
		all, err := netlink.RouteListFiltered(family, &netlink.Route{Protocol: routeKeepalived, Table: unix.RT_TABLE_UNSPEC},
			netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
		if err != nil && noSuchTable(err) != nil {
			errs = append(errs, err)
		}
		for _, r := range all {
			routes++
			errs = append(errs, netlink.RouteDel(&r))
		}
	}
	return rules, routes, errors.Join(errs...)
}
