package election

import (
	"net"
	"testing"
	"time"

	"understudy/vrrp"
	"understudy/vrrp/vrrpnet"
)

var virtual51 = vrrpnet.MAC{0, 0, 0x5e, 0, 1, 51}

// RFC 9568 7.2: adverts come from the virtual MAC, once the daemon has said that what is
// sent there is in good hands, and so does the one that resigns, in any case. Until then
// they come from the interface's own, for a bounded time, and only while there is a
// daemon that may say it.
func TestAdvertsComeFromTheVirtualMAC(t *testing.T) {
	for _, c := range []struct {
		family  uint8
		virtual bool
		want    vrrpnet.MAC
	}{
		{4, true, virtual51}, {6, true, vrrpnet.MAC{0, 0, 0x5e, 0, 2, 51}}, {4, false, vrrpnet.MAC{}},
	} {
		if got := sourceMAC(vrrp.RouterConfig{VRID: 51, Family: c.family, VirtualMAC: c.virtual}); got != c.want {
			t.Errorf("IPv%d, virtual %v: want %v, got %v", c.family, c.virtual, c.want, got)
		}
	}
	cable := newCable(t)
	within(cable[0], func() {
		cfg := configOf(200)
		cfg.Routers[0].VirtualMAC = true
		cfg.Routers[0].Interval = 20 * time.Millisecond
		var own vrrpnet.MAC
		if ifi, err := net.InterfaceByName("lan0"); err == nil {
			own = vrrpnet.MAC(ifi.HardwareAddr)
		}
		listen := cable.listenMAC(t, 1)
		l, say := loopHere(t, cfg)
		// turn is with a daemon that is well. far: the bound is.
		far := true
		turn := func() {
			time.Sleep(time.Millisecond)
			l.events.wake() // or it may have nothing to wait for
			l.turn()
			l.daemon.beat = time.Now().Add(time.Hour)
			if far {
				l.groups[0].since = l.daemon.beat
			}
		}
		// until turns until that many adverts of a source have come. What comes from
		// another one fails the test, but for one that was on its way.
		until := func(when string, n int, source vrrpnet.MAC) {
			for start, strays := time.Now(), 1; n > 0; turn() {
				for _, h := range listen() {
					if h.source == source {
						n, strays = n-1, 0
					} else if strays--; strays < 0 {
						t.Errorf("%s: priority %d came from %v, want %v", when, h.priority, h.source, source)
					}
				}
				if time.Since(start) > soon {
					t.Fatalf("%s: no more adverts from %v", when, source)
				}
			}
		}
		resign := func(when string, late bool) {
			say(Fault{Group: "gw", On: true, Reason: "test"})
			for start, zero := time.Now(), false; !zero; {
				for _, h := range listen() {
					if zero = zero || h.priority == 0; h.priority == 0 && h.source != virtual51 {
						t.Errorf("%s: priority 0 came from %v", when, h.source)
					}
				}
				if time.Since(start) > soon {
					t.Fatalf("%s: no priority 0", when)
				}
				time.Sleep(time.Millisecond)
			}
			say(Fault{Group: "gw"})
			if late {
				say(Announced{Group: "gw"})
			}
		}

		say(Ready{})
		until("before the word", 4, own)
		say(Announced{Group: "gw"})
		until("after it", 4, virtual51)
		resign("after it", false)

		until("again, before the word", 4, own)
		resign("before it", true)

		// Nothing is said: the bound ends it, and the virtual MAC stays.
		until("with nothing said", 4, own)
		far, l.groups[0].since = false, time.Now().Add(-earlyBound)
		until("past the bound", 4, virtual51)
		far = true
		resign("past the bound", false)

		// A daemon that has gone says nothing, so there is nothing to wait for.
		until("once more", 4, own)
		l.down()
		until("without a daemon", 4, virtual51)
	})
}

// An election that goes on where a dead one was finds everything in place.
func TestResumedAdvertsComeFromTheVirtualMAC(t *testing.T) {
	cable := newCable(t)
	within(cable[0], func() {
		cfg := configOf(200)
		cfg.Routers[0].VirtualMAC = true
		listen := cable.listenMAC(t, 1)
		l, say := loopHere(t, cfg)
		l.board.State(0, vrrp.Active, false, 7)
		l.board.Advert(0, time.Now(), time.Now().Add(time.Hour), interval)
		l.board.open("gw")
		l.daemon.ready, l.daemon.beat = true, time.Now()
		say(Resume{Group: "gw", Term: 7})
		heard := listen()
		l.come(t, "an advert", func() bool { heard = append(heard, listen()...); return len(heard) > 0 })
		if l.groups[0].state != vrrp.Active || len(heard) == 0 {
			t.Fatalf("not resumed: %v, heard %v", l.groups[0].state, heard)
		}
		for _, h := range heard {
			if h.source != virtual51 {
				t.Errorf("priority %d came from %v", h.priority, h.source)
			}
		}
	})
}

type heardFrom struct {
	source   vrrpnet.MAC
	priority byte
}

// listenMAC hears adverts at end i of the cable; the returned function reads
// those that have come.
func (c cable) listenMAC(t *testing.T, i int) func() []heardFrom {
	t.Helper()
	var port *vrrpnet.Port
	within(c[i], func() {
		var err error
		if port, err = vrrpnet.OpenPort("lan0", 0, 4); err != nil {
			panic(err)
		}
	})
	t.Cleanup(port.Close)
	return func() (all []heardFrom) {
		var f vrrpnet.Frame
		for {
			ok, err := port.Receive(time.Now(), &f)
			if err != nil || !ok {
				return all
			}
			all = append(all, heardFrom{f.Source, f.Packet[int(f.Packet[0]&15)*4+2]})
		}
	}
}
