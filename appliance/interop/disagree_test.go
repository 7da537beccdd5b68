package interop

import (
	"fmt"
	"testing"
	"time"

	"understudy/appliance/lab"
)

// Version 2 insists on what version 3 only notices: routers that do not agree do
// not hear each other, and both are Active. Ours counts why.
func TestVersion2Disagrees(t *testing.T) {
	lab.Require(t)
	for _, tt := range []struct {
		name, row, peer, reason string
		ours                    string // instead of the row's
		interval                time.Duration
	}{
		{"keepalived, interval", "v2", "keepalived", "interval", "version = 2", 2 * time.Second},
		{"frr, interval", "v2", "frr", "interval", "version = 2", 2 * time.Second},
		{"keepalived, password", "v2 PASS", "keepalived", "auth", "version = 2\nauth_pass = \"other\"", time.Second},
		{"keepalived, key", "v2 AH", "keepalived", "icv", "version = 2\nauth_type = \"ah\"\nauth_pass = \"other\"", time.Second},
		{"keepalived, no header here", "v2 AH", "keepalived", "auth", "version = 2", time.Second},
		{"keepalived, none here", "v2 PASS", "keepalived", "auth", "version = 2", time.Second},
		{"frr, none there", "v2", "frr", "auth", "version = 2\nauth_pass = \"s3cr3t\"", time.Second},
		{"keepalived, version 3", "v3 IPv4", "keepalived", "version", "version = 2", time.Second},
		{"frr, version 3", "v3 IPv4", "frr", "version", "version = 2", time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := row(tt.row)
			v.ours = tt.ours
			d := newDuel(t, v, tt.peer, true, false)
			d.a.start(d.better(tt.interval))
			d.b.start(d.worse(v.interval))
			d.wait("both to be Active", func() error {
				for _, c := range []contender{d.a, d.b} {
					if on, err := c.holds(); err != nil || !on {
						return fmt.Errorf("%s has not got the address (%v)", c.machine().Name, err)
					}
				}
				r, err := d.us.router("lan")
				if err == nil && (r.Drops[tt.reason] == 0 || r.State != "active" || r.Adverts.Received > 0) {
					err = fmt.Errorf("we are %s, received %d, and dropped %v", r.State, r.Adverts.Received, r.Drops)
				}
				return err
			})
		})
	}
}
