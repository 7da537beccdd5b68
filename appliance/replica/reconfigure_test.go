package replica_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"understudy/appliance/replica"
	"understudy/nat/session"
)

var newVIP = netip.MustParseAddr("203.0.113.9")

// moved is the flow, translated to another address.
func moved(r session.Record, to netip.Addr) session.Record {
	r.ReplyDst = session.AddrFrom(to)
	return r
}

// reconfigure gives the box these addresses, and a hash to go with them.
func (b *box) reconfigure(hash uint64, addrs ...netip.Addr) {
	b.t.Helper()
	c := b.cfg
	c.Groups, c.Hash = []replica.Group{{Name: "gw", Addresses: addrs}}, hash
	must(b.t, b.engine.Reconfigure(c))
}

// all is what a box's kernel translates to any of the addresses.
func (b *box) all(addrs ...netip.Addr) (n int) {
	b.t.Helper()
	for _, a := range addrs {
		b.engine.Sessions(func(s *replica.Session) bool {
			if s.ReplyDst.Netip(4) == a && s.Installed {
				n++
			}
			return true
		})
	}
	return n
}

// An address is added and taken away again while sessions go on, whichever of
// the two boxes hears of it first.
func TestReconfigureAddsAndRemovesAnAddress(t *testing.T) {
	for _, row := range []struct {
		name  string
		first func(*world) []*box
	}{
		{"the standby first", func(w *world) []*box { return []*box{w.b, w.a} }},
		{"the owner first", func(w *world) []*box { return []*box{w.a, w.b} }},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := running(t)
			old, early, late := flow(1, 17), moved(flow(2, 6), newVIP), moved(flow(3, 6), newVIP)
			w.a.born(old, early) // the latter is no business of anybody's yet
			w.b.has("the old flow alone", old)
			for _, b := range row.first(w) {
				b.reconfigure(2, vip, newVIP)
			}
			w.a.born(late)
			eventually(t, "flows of the new address on the standby", func() bool { return w.b.all(newVIP) == 2 })
			eventually(t, "both agree", func() bool {
				return !slices.ContainsFunc(append(w.a.engine.Status().Peers, w.b.engine.Status().Peers...),
					func(p replica.PeerStatus) bool { return !p.Connected || p.ConfigDiffers })
			})
			w.b.has("the old flow is still there", old)
			for _, b := range row.first(w) {
				b.reconfigure(1, vip)
			}
			eventually(t, "flows of the new address are gone", func() bool { return w.a.all(newVIP)+w.b.all(newVIP) == 0 })
			w.b.has("the old flow stays", old)
			eventually(t, "in sync", func() bool { s := w.b.engine.Status(); return s.InSync && s.Foreign == 1 })
		})
	}
}

func TestReconfigureTellsADifference(t *testing.T) {
	w := running(t)
	w.a.reconfigure(7, vip)
	w.b.reconfigure(8, vip)
	for _, b := range []*box{w.a, w.b} {
		eventually(t, b.name+" notices", func() bool { return b.engine.Status().Peers[0].ConfigDiffers })
	}
	w.b.reconfigure(7, vip)
	for _, b := range []*box{w.a, w.b} {
		eventually(t, b.name+" is content", func() bool {
			p := b.engine.Status().Peers[0]
			return p.Connected && !p.ConfigDiffers
		})
	}
}

func TestReconfigureKeepsTheGroups(t *testing.T) {
	w := newWorld(t)
	w.a.start()
	for _, groups := range [][]replica.Group{
		nil,
		{{Name: "other", Addresses: []netip.Addr{vip}}},
		{{Name: "gw", Addresses: []netip.Addr{vip}}, {Name: "gw", Addresses: []netip.Addr{newVIP}}},
	} {
		if err := w.a.engine.Reconfigure(replica.Config{Groups: groups, Hash: 1}); err == nil {
			t.Errorf("groups %v were taken", groups)
		}
	}
}

// A reload while a dump is under way is followed by another at once, however often that
// happens: it is no overload that dumps must not add to.
func TestReconfigureDuringDumpsIsNoOverload(t *testing.T) {
	w := newWorld(t)
	rs := flows(20000) // read within some 10 ms
	w.a.born(rs...)
	w.runMode()
	for range 20 {
		before := w.a.engine.Status().Counters.Dumps
		w.a.reconfigure(1, vip) // the dump that the last one asked for has just begun
		// After an overload each would wait for twice as long as the one before: two seconds, up to 30.
		if !within(10*time.Second, func() bool { return w.a.engine.Status().Counters.Dumps > before }) {
			t.Fatal("no dump follows a reload")
		}
	}
}
