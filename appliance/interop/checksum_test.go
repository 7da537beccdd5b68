package interop

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"understudy/appliance/lab"
	"understudy/vrrp"
)

// Neither peer has a setting for it: they refuse adverts whose checksum leaves
// the pseudo-header out, and go on as if we were not there. Whoever insists on
// checksum = "rfc9568" gets two Active routers. Ours hears theirs, and counts.
func TestChecksumTheyRefuse(t *testing.T) {
	lab.Require(t)
	v := row("v3 IPv4")
	for _, peer := range v.peers {
		t.Run(peer, func(t *testing.T) {
			t.Parallel()
			d := newDuel(t, v, peer, true, false)
			// Seldom: keepalived puts off its own advert whenever it hears one that it
			// refuses, and would come to send none at all.
			set := d.better(5 * v.interval)
			set.checksum = "rfc9568"
			d.a.start(set)
			d.b.start(d.worse(v.interval))
			d.wait("a to serve", d.serves(d.a))
			d.wait("b to serve", d.serves(d.b))
			before, err := d.us.router("lan")
			d.must(err)
			mark := time.Now()
			d.stays("both Active", 10*v.interval, func() error {
				return errors.Join(d.serves(d.a)(), d.serves(d.b)())
			})
			for _, a := range d.wire.adverts(d.us.Name) {
				if a.reason != vrrp.ReasonNone || a.Form != vrrp.FormMessage {
					t.Errorf("we sent %v with a checksum of form %v", a, a.Form)
				}
			}
			if n := len(since(d.wire.adverts("theirs"), mark)); n < 8 {
				t.Errorf("they sent %d adverts in 10 intervals", n)
			}
			after, err := d.us.router("lan")
			d.must(err)
			if n := after.Adverts.Received - before.Adverts.Received; n < 8 {
				t.Errorf("we counted %d adverts of theirs while Active", n)
			}
			if n := after.Drops["checksum"]; n > 0 {
				t.Errorf("we refused %d checksums, though we understand both forms", n)
			}
		})
	}
}

// The other way round nothing is wrong: we understand their form whatever we
// send ourselves.
func TestChecksumTheySend(t *testing.T) {
	lab.Require(t)
	v := row("v3 IPv4")
	for _, peer := range v.peers {
		t.Run(peer, func(t *testing.T) {
			t.Parallel()
			d := newDuel(t, v, peer, false, false)
			set := d.worse(v.interval)
			set.checksum = "rfc9568"
			d.both(d.better(v.interval), set)
			d.stays("theirs Active alone", 4*v.interval, d.alone(d.a))
		})
	}
}

// With "auto" we answer in the form that we hear: a router that leaves the
// pseudo-header out, as RFC 9568 says, understands us from then on.
func TestChecksumAutoFollows(t *testing.T) {
	s := newScene(t)
	d := newDUT(s, settings{priority: 100, interval: 300 * time.Millisecond}, "")
	rival := d.injector("10.0.1.3")
	rival.heard(200, d.set.interval, vrrp.FormMessage)
	s.wait("us to be Active", d.is("lan", "active"))
	s.wait("an advert", func() error {
		list := d.adverts()
		if len(list) == 0 {
			return errNotYet
		}
		if a := list[len(list)-1]; a.Form != vrrp.FormMessage {
			return fmt.Errorf("%v has a checksum of form %v", a, a.Form)
		}
		return nil
	})
}
