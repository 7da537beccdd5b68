package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"understudy/appliance"
	"understudy/appliance/lab"
)

// incompatible waits until we raise an alarm whose detail says why, and, where the
// other's adverts are understood, that two are active.
func (b *box) incompatible(why string, split bool) {
	b.t.Helper()
	b.wait("the alarms", func() error {
		st, err := b.status()
		if err != nil {
			return err
		}
		detail := map[string]string{}
		for _, a := range st.Alarms {
			detail[a.Name] = a.Detail
		}
		if !strings.Contains(detail[appliance.AlarmPeerIncompatible], why) {
			return fmt.Errorf("%q is alarmed, not %q; all: %v", detail[appliance.AlarmPeerIncompatible], why, detail)
		}
		if _, ok := detail[appliance.AlarmSplitBrain]; ok != split {
			return fmt.Errorf("split-brain: %v, want %v; all: %v", ok, split, detail)
		}
		return nil
	})
}

// What makes two routers refuse each other is an alarm on our side, without any
// other link between them than the adverts; and it ends with the other.
func TestIncompatiblePeersAreAlarmed(t *testing.T) {
	lab.Require(t)
	for _, tt := range []struct {
		name, row, peer, ours, checksum, why string
		interval                             time.Duration
		split                                bool
	}{
		{"interval", "v2", "keepalived", "version = 2", "", "interval", 2 * time.Second, false},
		// Not keepalived: it puts its own advert off whenever it refuses one of ours, and
		// says nothing for ten seconds and more.
		{"password", "v2", "frr", "version = 2\nauth_pass = \"s3cr3t\"", "", "auth", time.Second, false},
		{"version", "v3 IPv4", "keepalived", "version = 2", "", "version", time.Second, false},
		{"version, frr", "v3 IPv4", "frr", "version = 2", "", "version", time.Second, false},
		// Theirs we understand, ours they refuse. Seldom: see TestChecksumTheyRefuse.
		{"checksum", "v3 IPv4", "keepalived", "", "rfc9568", "sends the other form", 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := row(tt.row)
			if tt.ours != "" {
				v.ours = tt.ours
			}
			d := newDuel(t, v, tt.peer, true, false)
			interval := tt.interval
			if interval == 0 {
				interval = 5 * v.interval
			}
			set := d.better(interval)
			if tt.checksum != "" {
				set.checksum = tt.checksum
			}
			d.a.start(set)
			d.b.start(d.worse(v.interval))
			d.us.incompatible(tt.why, tt.split)
			d.b.stop()
			d.wait("the alarms to end", func() error {
				st, err := d.us.status()
				if err == nil && len(st.Alarms) > 0 {
					err = fmt.Errorf("still %v", st.Alarms)
				}
				return err
			})
		})
	}
}
