package interop

import (
	"strings"
	"testing"
	"time"
)

// An interface without IPv6 is as good as another for a router of IPv4: what the one of
// IPv6 lacks is that one's trouble, and ends when IPv6 comes.
func TestInterfaceWithoutIPv6(t *testing.T) {
	for _, mac := range macs {
		t.Run(mac.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			d := joinDUT(s, settings{priority: 250, interval: 100 * time.Millisecond})
			s.must(d.Sysctl("ipv6/conf/lan0/disable_ipv6", "1"))
			d.run(routerTOML("four", "lan0", 51, d.set, `"10.0.1.254/24"`, mac.keys) +
				routerTOML("six", "lan0", 51, d.set, row("v3 IPv6").list(), mac.keys))
			s.wait("IPv4 to be Active", d.is("four", "active"))
			s.wait("IPv6 to be in fault", d.is("six", "fault"))
			r, err := d.router("six")
			s.must(err)
			if !strings.Contains(r.Reason, "lan0") {
				t.Errorf("six is %s: %s", r.State, r.Reason)
			}
			before, err := d.router("four")
			s.must(err)
			s.must(d.Sysctl("ipv6/conf/lan0/disable_ipv6", "0"))
			s.wait("IPv6 to be Active", d.is("six", "active"))
			if now, err := d.router("four"); err != nil || now.State != "active" || now.Transitions != before.Transitions {
				t.Errorf("IPv4 had %d transitions, has %d, and is %s (%v)", before.Transitions, now.Transitions, now.State, err)
			}
		})
	}
}
