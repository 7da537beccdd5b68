package lognet

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
)

// Names of the side device and of its other end.
const (
	SideName = "us-log"
	PeerName = "us-log-end"
)

// sideMTU is too small for IPv6, which says nothing there then, and for most of the copies, which
// end the sooner. Copies leave whatever their size.
const sideMTU = 68

// ErrForeign is an interface of the side device's name that is something else.
var ErrForeign = errors.New("is not a pair of veth of that name")

// makeSide makes the side device anew, and returns its number.
func makeSide() (index int, err error) {
	if _, err := RemoveSide(); err != nil {
		return 0, err
	}
	pair := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: PeerName, PeerMTU: sideMTU}
	pair.Name, pair.MTU = SideName, sideMTU
	if err := netlink.LinkAdd(pair); err != nil {
		return 0, fmt.Errorf("interface %s: %w", SideName, err)
	}
	for _, name := range []string{PeerName, SideName} {
		l, err := netlink.LinkByName(name)
		if err == nil {
			err = errors.Join(netlink.LinkSetARPOff(l), netlink.LinkSetUp(l))
			index = l.Attrs().Index
		}
		if err != nil {
			_, also := RemoveSide()
			return 0, errors.Join(fmt.Errorf("interface %s: %w", name, err), also)
		}
	}
	return index, nil
}

// RemoveSide removes the side device of this network namespace, and tells whether there was one:
// a program that was killed leaves it.
func RemoveSide() (was bool, err error) {
	l, err := netlink.LinkByName(SideName)
	var none netlink.LinkNotFoundError
	switch {
	case errors.As(err, &none):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("interface %s: %w", SideName, err)
	}
	if peer, err := netlink.LinkByIndex(l.Attrs().ParentIndex); l.Type() != "veth" || err != nil || peer.Attrs().Name != PeerName {
		return false, fmt.Errorf("interface %s %w; rename it", SideName, ErrForeign)
	}
	if err := netlink.LinkDel(l); err != nil {
		return false, fmt.Errorf("interface %s: %w", SideName, err)
	}
	return true, nil
}

// Devices are the names of the interfaces by which servers are reached now, each once. Servers to
// which there is no route are left out.
func Devices(servers []netip.AddrPort) (names []string, err error) {
	var seen []int
	for _, s := range servers {
		routes, err := netlink.RouteGet(s.Addr().AsSlice())
		if err != nil {
			continue // it cannot be reached at all
		}
		for _, r := range routes {
			if slices.Contains(seen, r.LinkIndex) {
				continue
			}
			l, err := netlink.LinkByIndex(r.LinkIndex)
			if err != nil {
				return nil, fmt.Errorf("lognet: the interface towards %s: %w", s, err)
			}
			seen = append(seen, r.LinkIndex)
			if name := l.Attrs().Name; name != "lo" {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names, nil
}
