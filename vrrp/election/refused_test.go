package election

import (
	"net/netip"
	"testing"
	"time"

	"understudy/vrrp"
	"understudy/vrrp/vrrpnet"
)

// mouth sends adverts from an end of the cable.
type mouth struct {
	t *testing.T
	p *vrrpnet.Port
}

func (c cable) mouth(t *testing.T, i int) (m mouth) {
	t.Helper()
	m.t = t
	var err error
	within(c[i], func() { m.p, err = vrrpnet.OpenPort("lan0", 0, 4) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.p.Close)
	return m
}

func (m mouth) says(vrid, priority uint8, spoil func(p []byte)) {
	m.t.Helper()
	a := vrrp.Advert{Version: 3, VRID: vrid, Priority: priority, Interval: interval, Form: vrrp.FormPseudo}
	p := vrrp.AppendPacket(nil, &a, []netip.Addr{vip}, netip.MustParseAddr("10.0.0.3"))
	if spoil != nil {
		spoil(p)
	}
	if err := m.p.Send(vrrpnet.MAC{}, p); err != nil {
		m.t.Error(err)
	}
}

func badChecksum(p []byte) { p[26] ^= 1 }

// An expired timer waits for all that came in before it did, however much that
// is: the advert that proves it wrong may be the last one.
func TestTimerWaitsForAFullSocket(t *testing.T) {
	c := newCable(t)
	m := c.mouth(t, 1)
	within(c[0], func() {
		l, say := loopHere(t, slow(100))
		say(Ready{})
		for l.groups[0].state != vrrp.Backup {
			l.turn()
		}
		down := l.set.Deadline()
		time.Sleep(interval)
		for range 10 * receiveBound {
			m.says(51, 200, badChecksum)
		}
		m.says(51, 200, nil)
		if time.Now().After(down) {
			t.Error("the machine was away for seconds: this proves nothing")
			return
		}
		time.Sleep(time.Until(down.Add(interval / 4)))
		turns := l.turns
		for l.set.Snapshot(time.Now()).Routers[0].Received == 0 {
			l.turn()
			if l.turns > turns+patience {
				t.Error("the advert was not read")
				return
			}
		}
		if n := l.turns - turns; n < 10 {
			t.Errorf("%d packets were read in %d turns", 10*receiveBound, n)
		}
		if s := l.set.Snapshot(time.Now()); s.Groups[0].State != vrrp.Backup || s.Groups[0].Transitions != 1 {
			t.Errorf("%v after %d transitions", s.Groups[0].State, s.Groups[0].Transitions)
		}
		// And it does not wait for ever.
		for end := time.Now().Add(soon); l.groups[0].state != vrrp.Active; say(Beat{}) {
			if time.Now().After(end) {
				t.Error("never Active")
				return
			}
		}
	})
}

// The filter follows the configuration, and what it keeps away is counted where
// it belongs.
func TestFilterFollowsTheConfiguration(t *testing.T) {
	c := newCable(t)
	m := c.mouth(t, 1)
	within(c[0], func() {
		one := configOf(100)
		two := one
		second := one.Routers[0]
		second.Name, second.VRID, second.Addresses = "two", 52, []netip.Addr{netip.MustParseAddr("10.0.0.111")}
		two.Routers = []vrrp.RouterConfig{second, one.Routers[0]}
		l, say := loopHere(t, one)
		say(Ready{})
		router := func(name string) (r vrrp.RouterStatus) {
			for _, r = range l.snapshot(time.Now()).Status.Routers {
				if r.Name == name {
					return r
				}
			}
			return vrrp.RouterStatus{}
		}
		come := func(what string, is func() bool) {
			t.Helper()
			for end := time.Now().Add(soon); !is(); say(Beat{}) {
				if time.Now().After(end) {
					t.Errorf("never came: %s: %+v", what, l.snapshot(time.Now()).Status.Routers)
					return
				}
			}
		}
		m.says(52, 200, nil)
		m.says(51, 200, func(p []byte) { p[8] = 64 })
		m.says(51, 200, nil)
		come("one heard, two refused", func() bool {
			r := router("lan")
			return r.Received == 1 && r.Drops["vrid"] == 1 && r.Drops["ttl"] == 1
		})
		say(Configure{Config: two})
		m.says(52, 200, nil)
		m.says(51, 200, nil)
		come("both heard", func() bool { return router("lan").Received == 2 && router("two").Received == 1 })
		say(Configure{Config: one})
		m.says(52, 200, nil)
		m.says(51, 200, nil)
		come("one heard again", func() bool {
			r := router("lan")
			return r.Received == 3 && r.Drops["vrid"] == 2
		})
		if p := l.snapshot(time.Now()).Ports[0]; p.Estimated != 0 || p.Lost != 0 || p.Reopened != 1 {
			t.Errorf("%+v", p)
		}
	})
}

// More of what nobody wants than can be looked at is counted by a sample; later
// every packet counts for itself again.
func TestSampleFollowsTheFlood(t *testing.T) {
	c := newCable(t)
	m := c.mouth(t, 1)
	within(c[0], func() {
		l, say := loopHere(t, configOf(200))
		say(Ready{})
		l.turnFor(5 * interval)
		sent, deepest := 0, uint8(0)
		for start := time.Now(); sent < 60000 || time.Since(start) < 5*sampleEvery; {
			for range 200 {
				m.says(99, 200, nil)
				sent++
			}
			say(Beat{}) // and a turn
			deepest = max(deepest, l.ports[0].port.Sampled())
		}
		for end := time.Now().Add(soon); l.ports[0].port.Sampled() > 0 && time.Now().Before(end); say(Beat{}) {
		}
		drops, p := l.ports[0].drops[vrrp.ReasonVRID], l.snapshot(time.Now()).Ports[0]
		if deepest < 2 || p.Estimated == 0 {
			t.Errorf("a sample of 1 in %d, %d estimated: no flood", 1<<deepest, p.Estimated)
		}
		if int(drops) < sent*7/10 || int(drops) > sent*13/10 {
			t.Errorf("%d counted of %d", drops, sent)
		}
		if l.ports[0].port.Sampled() != 0 {
			t.Error("it is a sample for ever")
		}
		for range 10 {
			m.says(99, 200, nil)
		}
		if n := l.snapshot(time.Now()).Ports[0]; n.Drops["vrid"] != p.Drops["vrid"]+10 || n.Estimated != p.Estimated {
			t.Errorf("%d more counted, want 10", n.Drops["vrid"]-p.Drops["vrid"])
		}
		if s := l.groups[0].state; s != vrrp.Active {
			t.Errorf("the group is %v", s)
		}
	})
}
