package daemon

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"strings"
	"testing"

	"understudy/appliance"
	"understudy/appliance/identity"
)

// routed is a Want in which both groups are Active and have a route each.
func routed(gen uint64) appliance.Want {
	w := want(gen, 4, 4)
	for i, to := range []string{"192.0.2.0/24", "198.51.100.0/24"} {
		g := &w.Groups[i]
		g.Identity = g.Identity.WithRoutes(identity.Route{To: netip.MustParsePrefix(to), Hops: []identity.Hop{{Interface: "far0"}}})
	}
	return w
}

// A route that had to be added again is counted, and no reason to announce the
// addresses; one that waited and comes is neither.
func TestHolderCountsRoutesThatWerePutBack(t *testing.T) {
	k := newKernelTwin()
	h := k.holder()
	k.away = true
	out := h.Hold(context.Background(), routed(1))
	if out.Failed != nil || len(out.Waiting) != 2 || !strings.Contains(out.Waiting["lan"], "192.0.2.0/24") {
		t.Fatalf("routes that wait: %+v", out)
	}
	k.away = false
	if out = h.Hold(context.Background(), routed(2)); out.PutBack != nil || out.Waiting != nil || len(k.addrs.Routes) != 2 {
		t.Fatalf("routes that came: %+v", out)
	}
	k.addrs = k.addrs.WithRoutes()
	k.addrs.Routes = k.addrs.Routes[1:]
	out = h.Hold(context.Background(), routed(3))
	if !maps.Equal(out.PutBack, map[string]int{"lan": 1}) && !maps.Equal(out.PutBack, map[string]int{"wan": 1}) || out.Restored != nil {
		t.Fatalf("a route that was put back: %+v", out)
	}
}

// A route that the kernel refuses is told of the group that has it, and no fault: its
// addresses are there and are announced, and the route is when it is taken after all.
func TestHolderServesWithoutARouteThatIsRefused(t *testing.T) {
	k := newKernelTwin()
	h := k.holder()
	w := routed(1)
	w.Groups[1].Identity.Routes = nil
	k.noRoute = errors.New("invalid argument")
	out := h.Hold(context.Background(), w)
	if out.Failed != nil || !maps.Equal(out.Refused, map[string]string{"lan": "invalid argument"}) || len(k.addrs.Addresses) != 2 {
		t.Fatalf("want lan to serve without: %+v", out)
	}
	k.noRoute = nil
	w.Gen = 2
	if out = h.Hold(context.Background(), w); out.Refused != nil || out.PutBack != nil || len(k.addrs.Routes) != 1 {
		t.Fatalf("a route that came after all: %+v", out)
	}
}

// What the kernel refuses of routes does not hide that an address is refused.
func TestHolderBlamesForAnAddressBesideARefusedRoute(t *testing.T) {
	k := newKernelTwin()
	h := k.holder()
	k.noRoute, k.refuse = errors.New("invalid argument"), errors.New("no such interface")
	out := h.Hold(context.Background(), routed(1))
	if len(out.Failed) != 2 || !errors.Is(out.Failed["lan"], k.refuse) {
		t.Fatalf("want both blamed for their addresses: %+v", out)
	}
}
