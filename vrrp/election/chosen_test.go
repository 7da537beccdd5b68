package election

import (
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"understudy/vrrp"
)

// A router whose source is taken away says goodbye and is in fault; it comes back
// with it. A reload that chooses another source, or none, moves nothing.
func TestSourceIsWatched(t *testing.T) {
	c := newCable(t)
	wire := c.listen(t, 1, nil)
	within(c[0], func() {
		change := func(do func(netlink.Link, *netlink.Addr) error, address string) {
			t.Helper()
			l, err := netlink.LinkByName("lan0")
			if err == nil {
				var a *netlink.Addr
				if a, err = netlink.ParseAddr(address); err == nil {
					err = do(l, a)
				}
			}
			if err != nil {
				t.Error(err)
			}
		}
		change(netlink.AddrAdd, "10.0.0.20/24")
		cfg := configOf(200)
		cfg.Routers[0].Interval = 10 * time.Millisecond
		cfg.Routers[0].Source = netip.MustParseAddr("10.0.0.20")
		l, say := loopHere(t, cfg)
		say(Ready{})
		come := func(what string, is func() bool) { t.Helper(); l.come(t, what, is) }
		state := l.is
		from := func(address string) func() bool {
			return func() bool {
				all := wire.list()
				return len(all) > 0 && all[len(all)-1].from == netip.MustParseAddr(address) && all[len(all)-1].priority == 200
			}
		}
		come("adverts from the chosen source", from("10.0.0.20"))

		change(netlink.AddrDel, "10.0.0.20/24")
		come("a fault", state(vrrp.Fault))
		come("the goodbye", func() bool {
			all := wire.list()
			last := all[len(all)-1]
			return last.priority == 0 && last.from == netip.MustParseAddr("10.0.0.20")
		})
		change(netlink.AddrAdd, "10.0.0.20/24")
		come("the way back", state(vrrp.Active))
		come("adverts from the chosen source again", from("10.0.0.20"))

		cfg.Routers = append([]vrrp.RouterConfig(nil), cfg.Routers...)
		moves := l.set.Snapshot(time.Now()).Groups[0].Transitions
		for _, source := range []string{"10.0.0.2", "", "10.0.0.20"} {
			cfg.Routers[0].Source, _ = netip.ParseAddr(source)
			say(Configure{Config: cfg})
			if source == "" {
				source = "10.0.0.2"
			}
			come("adverts from "+source, from(source))
		}
		if n := l.set.Snapshot(time.Now()).Groups[0].Transitions - moves; n != 0 {
			t.Errorf("%d transitions in a reload", n)
		}
	})
}

// A reload goes from multicast to unicast and back in place: the group is never
// left, the peers hear us as soon as they are to.
func TestUnicastIsReloadedInPlace(t *testing.T) {
	c := newCable(t)
	wire := c.listen(t, 1, nil) // what is for everybody
	within(c[0], func() {
		cfg := configOf(200)
		cfg.Routers[0].Interval = 10 * time.Millisecond
		l, say := loopHere(t, cfg)
		say(Ready{})
		l.come(t, "adverts for everybody", func() bool { return wire.count(200) > 2 })
		single := cfg
		single.Routers = append([]vrrp.RouterConfig(nil), cfg.Routers...)
		single = peered(single, "10.0.0.3", "10.0.0.2")
		if l.ports[0].port.Single() {
			t.Error("the socket for unicast is there without peers")
		}
		say(Configure{Config: single})
		l.come(t, "unicast", func() bool { return l.ports[0].port.Single() })
		sent := l.sent()
		l.come(t, "an advert by unicast", func() bool { return l.sent() > sent })
		if l.groups[0].state != vrrp.Active {
			t.Errorf("by unicast it is %v", l.groups[0].state)
		}
		wire.settle(t)
		sent, before := l.sent(), wire.count(200)
		l.come(t, "adverts by unicast", func() bool { return l.sent() > sent+5 })
		wire.settle(t)
		if now := l.sent(); wire.count(200) != before || wire.count(0) != 0 {
			t.Errorf("%d adverts, %d of them for everybody, %d priority 0", now-sent, wire.count(200)-before, wire.count(0))
		}
		if p := l.snapshot(time.Now()).Ports[0]; p.SendErrors != 0 {
			t.Errorf("%+v", p)
		}
		if p, ok := l.board.Read("gw", l.now); !ok || p.ResumeUntil <= 0 {
			t.Errorf("on the board: %+v", p)
		}
		say(Configure{Config: cfg})
		l.come(t, "adverts for everybody again", func() bool { return wire.count(200) > before+2 })
		if l.ports[0].port.Single() || l.set.Snapshot(time.Now()).Groups[0].Transitions != 2 {
			t.Errorf("unicast %v, %d adverts for everybody", l.ports[0].port.Single(), wire.count(200)-before)
		}
	})
}
