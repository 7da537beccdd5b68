package kernel

import (
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/identity"
)

// When Apply returns, what comes to its IPv6 addresses is for this box: also on a
// device that was down a moment ago, and also of what is link-local.
func TestIPv6IsUsableWhenItIsApplied(t *testing.T) {
	for range 10 {
		a := prepared(t, lan6)
		id := on(lan6.Name, "fe80::1/64", "2001:db8::1/64", "2001:db8::2/64").With(lan6)
		apply(t, a, id)
		index := linkOf(t, lan6.Name).Attrs().Index
		for _, x := range id.Addresses {
			routes, err := netlink.RouteGetWithOptions(x.Prefix.Addr().AsSlice(), &netlink.RouteGetOptions{OifIndex: index})
			if err != nil || len(routes) != 1 || routes[0].Type != unix.RTN_LOCAL {
				t.Errorf("%s: %v, %v", x, routes, err)
			}
		}
		apply(t, a, identity.Identity{})
	}
}

// One that is gone again is not waited for, to no end.
func TestAwaitUsableEnds(t *testing.T) {
	a := prepared(t, lan6)
	apply(t, a, identity.Identity{}.With(lan6))
	c := change{index: linkOf(t, lan6.Name).Attrs().Index, prefix: on("x", "2001:db8::1/64").Addresses[0].Prefix}
	if err := a.awaitUsable([]change{c}); err != nil {
		t.Error(err)
	}
}
