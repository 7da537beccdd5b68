package interop

import (
	"strings"
	"testing"
	"time"

	"understudy/appliance/lab"
	"understudy/vrrp"
)

// keepalived as it was up to 1.3.6 (old_unicast_checksum) takes no checksum by unicast but its own. With "auto" we hear
// it, and speak so to it: it yields.
func TestChecksumOfOldKeepalived(t *testing.T) {
	lab.Require(t)
	t.Parallel()
	v := row("v3 IPv4 unicast")
	v.keepalived = strings.Replace(v.keepalived, "version 3\n", "version 3\n  old_unicast_checksum\n", 1)
	d := newDuel(t, v, "keepalived", true, false)
	d.b.start(d.worse(v.interval))
	d.wait("theirs to serve", d.serves(d.b))
	d.a.start(d.better(v.interval))
	d.wait("ours to be Active alone", d.alone(d.a))
	d.stays("ours Active alone", 10*v.interval, d.alone(d.a))
	mark := time.Now()
	d.wait("adverts of ours", func() error {
		if len(since(d.wire.adverts(d.us.Name), mark)) < 3 {
			return errNotYet
		}
		return nil
	})
	for _, a := range since(d.wire.adverts(d.us.Name), mark) {
		if a.reason != vrrp.ReasonNone || !a.ByGroup {
			t.Errorf("we sent %v (%v), by the group: %t", a, a.reason, a.ByGroup)
		}
	}
	if r, err := d.us.router("lan"); err != nil || r.Drops["checksum"] != 0 {
		t.Errorf("%v: we refused %v", err, r.Drops)
	}
}
