package daemon

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"testing"

	"understudy/appliance"
	"understudy/appliance/identity"
)

// standing is a Want in which neither group is Active, and an address and a route do
// not move.
func standing(gen, lan, wan uint64) appliance.Want {
	w := want(gen, lan, wan)
	w.Static = identity.New(identity.Address{Interface: "lan0", Prefix: netip.MustParsePrefix("10.9.0.5/24")}).
		WithRoutes(identity.Route{To: netip.MustParsePrefix("192.0.2.0/24"), Hops: []identity.Hop{{Interface: "lan0"}}})
	return w
}

// What does not move is there whoever is Active, and is put back; that it has to be is
// no group's.
func TestHolderHoldsWhatDoesNotMove(t *testing.T) {
	k := newKernelTwin()
	h := k.holder()
	for gen, terms := range [][2]uint64{{0, 0}, {4, 0}, {0, 4}, {0, 0}} {
		w := standing(uint64(gen+1), terms[0], terms[1])
		out := h.Hold(context.Background(), w)
		if out.Failed != nil || out.Static != nil || out.PutBack != nil {
			t.Fatalf("%v: %+v", terms, out)
		}
		if !contains(k.addrs, w.Static.Addresses[0]) || !hasRoute(k.addrs, w.Static.Routes[0]) {
			t.Fatalf("%v: it is not there: %s", terms, k.addrs)
		}
	}
	k.addrs = identity.Identity{}
	if out := h.Hold(context.Background(), standing(5, 0, 0)); !maps.Equal(out.PutBack, map[string]int{"": 2}) || out.Restored != nil {
		t.Fatalf("removed by somebody: %+v", out)
	}
	if out := h.Hold(context.Background(), want(6, 4, 0)); out.Failed != nil || len(k.addrs.Routes) != 0 || len(k.addrs.Addresses) != 1 {
		t.Fatalf("taken out of the configuration: %+v, %s", out, k.addrs)
	}
}

// A static route that the kernel refuses is no fault of any group, and what others
// remove is counted all the same.
func TestHolderBlamesNobodyForWhatDoesNotMove(t *testing.T) {
	k := newKernelTwin()
	h := k.holder()
	k.noRoute = errors.New("network is unreachable")
	w := standing(1, 4, 4)
	out := h.Hold(context.Background(), w)
	if out.Failed != nil || out.Static != nil || !maps.Equal(out.Refused, map[string]string{"": k.noRoute.Error()}) {
		t.Fatalf("want nobody blamed: %+v", out)
	}
	k.addrs = identity.Identity{}
	w.Gen = 2
	out = h.Hold(context.Background(), w)
	if !maps.Equal(out.PutBack, map[string]int{"": 1, "lan": 1, "wan": 1}) {
		t.Fatalf("what was removed: %+v", out)
	}
	k.noRoute = nil
	w.Gen = 3
	if out = h.Hold(context.Background(), w); out.PutBack != nil || out.Refused != nil || len(k.addrs.Routes) != 1 {
		t.Fatalf("a route that came after all was not removed by anybody: %+v", out)
	}
}

// What does not move and waits for its link says so.
func TestHolderSaysWhatDoesNotMoveAndWaits(t *testing.T) {
	k := newKernelTwin()
	h := k.holder()
	k.away = true
	if out := h.Hold(context.Background(), standing(1, 4, 0)); out.Failed != nil || out.Waiting[""] == "" || len(out.Waiting) != 1 {
		t.Fatalf("%+v", out)
	}
}
