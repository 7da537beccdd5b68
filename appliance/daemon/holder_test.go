package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"understudy/appliance"
	"understudy/appliance/identity"
	"understudy/appliance/kernel"
)

// kernelTwin behaves like the edges the holder works on: gates, addresses and
// session ownership with a memory, and a list of what was done in which order.
type kernelTwin struct {
	open        map[netip.Addr]bool
	openDevices map[string]bool
	addrs       identity.Identity
	owned       map[string]uint64
	log         []string

	refuse error // what adding an address answers
	takes  int   // how many addresses it adds before that
	late   error // what Activate answers

	away    bool  // the links of routes are down
	noRoute error // what adding a route answers
}

func newKernelTwin() *kernelTwin {
	return &kernelTwin{open: map[netip.Addr]bool{}, openDevices: map[string]bool{}, owned: map[string]uint64{}}
}

func (k *kernelTwin) say(format string, args ...any) {
	k.log = append(k.log, fmt.Sprintf(format, args...))
}

func (k *kernelTwin) Activate(_ context.Context, group string, term uint64) error {
	k.say("activate %s %d", group, term)
	k.owned[group] = term
	return k.late
}

func (k *kernelTwin) Deactivate(group string) {
	k.say("deactivate %s", group)
	delete(k.owned, group)
}

func (k *kernelTwin) OpenGate(a []netip.Addr, d ...string) error { return k.gate("open", a, d, true) }
func (k *kernelTwin) CloseGate(a []netip.Addr, d ...string) error {
	return k.gate("close", a, d, false)
}

func (k *kernelTwin) gate(verb string, addrs []netip.Addr, devices []string, open bool) error {
	for _, d := range devices {
		if k.openDevices[d] != open {
			k.say("%s %s", verb, d)
			k.openDevices[d] = open
		}
	}
	for _, a := range addrs {
		if k.open[a] != open {
			k.say("%s %s", verb, a)
			k.open[a] = open
		}
	}
	return nil
}

func (k *kernelTwin) SetUnknown(reset bool) error {
	k.say("unknown reset=%t", reset)
	return nil
}

// batch is how many addresses the twin adds at a time.
const batch = 100

func (k *kernelTwin) ApplyEach(want identity.Identity, each func([]identity.Address)) (out kernel.Outcome, err error) {
	add, del := identity.Diff(k.addrs, want)
	for _, a := range del {
		k.say("remove %s", a.Prefix.Addr())
	}
	if k.refuse != nil && len(add) > 0 {
		keep, _ := identity.Diff(identity.New(del...), k.addrs)
		if some := add[:min(k.takes, len(add))]; len(some) > 0 {
			keep = append(keep, some...)
			each(some)
		}
		k.addrs = identity.New(keep...)
		return out, k.refuse
	}
	for part := range slices.Chunk(add, batch) {
		for _, a := range part {
			k.say("add %s", a.Prefix.Addr())
		}
		if each != nil {
			each(part)
		}
	}
	out.Added = identity.New(add...)
	routes, _ := identity.DiffRoutes(k.addrs, want)
	k.addrs = want
	for _, r := range routes {
		switch {
		case k.away:
			out.Waiting = append(out.Waiting, kernel.Waiting{Route: r, Why: "away"})
		case k.noRoute != nil:
			out.Refused = append(out.Refused, kernel.Refusal{What: identity.Identity{}.WithRoutes(r), Err: k.noRoute})
		default:
			k.say("route %s", r.To)
			out.Added = out.Added.WithRoutes(r)
			continue
		}
		k.addrs.Routes = slices.DeleteFunc(slices.Clone(k.addrs.Routes), func(x identity.Route) bool { return x.Key() == r.Key() })
	}
	return out, err
}

func (k *kernelTwin) Held() (identity.Identity, error) { return k.addrs, nil }

var (
	lanIdentity = identity.New(identity.Address{Interface: "lan0", Prefix: netip.MustParsePrefix("10.0.0.1/24")})
	wanIdentity = identity.New(identity.Address{Interface: "wan0", Prefix: netip.MustParsePrefix("203.0.113.1/24")})
)

func (k *kernelTwin) holder() *holder {
	return &holder{sessions: k, gate: k, addresses: k, settle: func() {}, gated: func(group string) ([]netip.Addr, []string) {
		id := wanIdentity
		if group == "lan" {
			id = lanIdentity
		}
		return id.Gated(), gatedDevices(id)
	}}
}

func want(gen uint64, lan, wan uint64) appliance.Want {
	w := appliance.Want{Gen: gen}
	for _, g := range []struct {
		name string
		term uint64
		id   identity.Identity
	}{{"lan", lan, lanIdentity}, {"wan", wan, wanIdentity}} {
		gw := appliance.GroupWant{Name: g.name, Active: g.term > 0, Term: g.term}
		if gw.Active {
			gw.Identity = g.id
		}
		w.Groups = append(w.Groups, gw)
	}
	return w
}

func TestHolderOrder(t *testing.T) {
	k := newKernelTwin()
	h := k.holder()
	steps := []struct {
		name string
		want appliance.Want
		log  []string
	}{
		{"standby holds nothing", want(1, 0, 0), []string{"unknown reset=false"}},
		{"taking: sessions, gate, address", want(2, 4, 0), []string{"activate lan 4", "open 10.0.0.1", "add 10.0.0.1"}},
		{"again: nothing to do", want(3, 4, 0), nil},
		{"a higher term is taken anew", want(4, 5, 0), []string{"activate lan 5"}},
		{"one goes, one comes: first the gate of what goes", want(5, 0, 6),
			[]string{"close 10.0.0.1", "deactivate lan", "activate wan 6", "open 203.0.113.1", "remove 10.0.0.1", "add 203.0.113.1"}},
		{"giving up: gate, sessions, address", want(6, 0, 0), []string{"close 203.0.113.1", "deactivate wan", "remove 203.0.113.1"}},
	}
	for _, s := range steps {
		k.log = nil
		out := h.Hold(context.Background(), s.want)
		if len(out.Failed) > 0 || out.Gen != s.want.Gen {
			t.Fatalf("%s: %+v", s.name, out)
		}
		if !slices.Equal(k.log, s.log) {
			t.Errorf("%s:\n want %q\n got  %q", s.name, s.log, k.log)
		}
	}
}

func TestHolderTellsWhatWasRestored(t *testing.T) {
	k := newKernelTwin()
	h := k.holder()
	if out := h.Hold(context.Background(), want(1, 4, 4)); len(out.Restored) > 0 {
		t.Fatalf("a first application restores nothing: %v", out.Restored)
	}
	k.addrs = wanIdentity // someone removed 10.0.0.1
	if out := h.Hold(context.Background(), want(2, 4, 4)); !slices.Equal(out.Restored, []string{"lan"}) {
		t.Fatalf("want lan restored, got %v", out.Restored)
	}
}

func TestHolderBlamesTheGroupThatLacksAnAddress(t *testing.T) {
	k := newKernelTwin()
	h := k.holder()
	h.Hold(context.Background(), want(1, 4, 0))
	k.refuse = errors.New("no such interface")
	out := h.Hold(context.Background(), want(2, 4, 4))
	if out.Failed["wan"] == nil || out.Failed["lan"] != nil || out.Failed[""] != nil {
		t.Fatalf("want wan blamed alone: %v", out.Failed)
	}
}

// Sessions that come late do not keep the identity back; a session plane that
// fails outright does.
func TestHolderWaitsForSessionsOnlySoLong(t *testing.T) {
	k := newKernelTwin()
	h := k.holder()
	k.late = context.DeadlineExceeded
	if out := h.Hold(context.Background(), want(1, 4, 0)); out.Failed != nil || len(k.addrs.Addresses) != 1 {
		t.Fatalf("late sessions kept the address back: %+v", out)
	}
	k.late = errors.New("the session socket is gone")
	out := h.Hold(context.Background(), want(2, 4, 4))
	if out.Failed["wan"] == nil || contains(k.addrs, wanIdentity.Addresses[0]) {
		t.Fatalf("an address without its session plane: %+v, %v", out, k.addrs)
	}
}

// A group that a reload took away is let go of.
func TestHolderDropsRemovedGroups(t *testing.T) {
	k := newKernelTwin()
	h := k.holder()
	h.Hold(context.Background(), want(1, 4, 4))
	w := want(2, 4, 4)
	w.Groups = w.Groups[:1]
	h.Hold(context.Background(), w)
	if _, ok := k.owned["wan"]; ok || contains(k.addrs, wanIdentity.Addresses[0]) {
		t.Fatalf("still holding the removed group: %v %v", k.owned, k.addrs)
	}
}
