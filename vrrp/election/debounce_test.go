package election

import (
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"understudy/vrrp"
)

// In the kernel: a link that is away for a moment moves nothing, and the same socket speaks on it again; one that is away
// for longer is a fault, and one that is deleted is one at once.
func TestLinkDelays(t *testing.T) {
	c := newCable(t)
	wire := c.listen(t, 1, nil)
	carrier := func(up bool) {
		within(c[1], func() {
			l, err := netlink.LinkByName("lan0")
			switch {
			case err != nil:
			case up:
				err = netlink.LinkSetUp(l)
			default:
				err = netlink.LinkSetDown(l)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	within(c[0], func() {
		come := func(l *loop, what string, is func() bool) { t.Helper(); l.come(t, what, is) }
		cfg := configOf(200)
		cfg.Delays = []vrrp.LinkDelay{{Interface: "lan0", Down: time.Hour}}
		l, say := loopHere(t, cfg)
		say(Ready{})
		come(l, "adverts", func() bool { return wire.count(200) > 2 })
		moves, failed := l.set.Snapshot(time.Now()).Groups[0].Transitions, func() uint64 { return l.snapshot(time.Now()).Ports[0].SendErrors }

		carrier(false)
		before := failed()
		lost := func() bool { // it goes on sending, in vain or into nothing
			up := true
			if k, err := netlink.LinkByName("lan0"); err == nil {
				up = k.Attrs().OperState == netlink.OperUp
			}
			return !up
		}
		come(l, "a link without a carrier", lost)
		sent := l.set.Snapshot(time.Now()).Routers[0].Sent
		come(l, "a dozen adverts nobody hears", func() bool { return l.set.Snapshot(time.Now()).Routers[0].Sent > sent+12 })
		if l.groups[0].state != vrrp.Active {
			t.Errorf("without a carrier it is %v (%d send errors)", l.groups[0].state, failed()-before)
		}
		carrier(true)
		heard := wire.count(200)
		come(l, "adverts again", func() bool { return wire.count(200) > heard+2 })
		if n := l.set.Snapshot(time.Now()).Groups[0].Transitions; n != moves || wire.count(0) != 0 || l.ports[0].reopened != 1 {
			t.Errorf("%d transitions, %d adverts of priority 0, a socket opened %d times", n-moves, wire.count(0), l.ports[0].reopened)
		}

		short := cfg
		short.Delays = []vrrp.LinkDelay{{Interface: "lan0", Down: interval, Up: interval}}
		say(Configure{Config: short})
		carrier(false)
		come(l, "a fault", func() bool { return l.groups[0].state == vrrp.Fault })
		carrier(true)
		come(l, "the way back", func() bool { return l.groups[0].state == vrrp.Active })

		// Down for an hour, but not there.
		say(Configure{Config: cfg})
		come(l, "the delay", func() bool { return l.set.Config().Delays[0].Down == time.Hour })
		if k, err := netlink.LinkByName("lan0"); err != nil || netlink.LinkDel(k) != nil {
			t.Errorf("not deleted: %v", err)
		}
		come(l, "a fault at once", func() bool { // not only that it has no address
			g := l.set.Snapshot(time.Now()).Groups[0]
			return g.State == vrrp.Fault && g.Reason == "link lan0 down"
		})
	})
}
