package e2e

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"understudy/appliance/lab/pair"
)

// journalled waits until the gateway has so many records on its disk.
func (s *scene) journalled(g *pair.Gateway, records int) {
	s.t.Helper()
	s.wait(g.Name+" to write to disk", func(ctx context.Context) error {
		st, err := g.Status(ctx)
		if err == nil {
			if j := st.Sessions.Journal; j.State != "writing" || j.Records < uint64(records) || j.Fsyncs == 0 {
				err = fmt.Errorf("%+v", *j)
			}
		}
		return err
	})
}

// Both gateways lose their power under load, and boot with empty kernels. What is on
// their disks is in the kernel of whoever becomes active before it has an address, and
// every connection goes on.
func TestPowerCutOfBoth(t *testing.T) {
	for _, row := range []struct {
		name string
		back []int // which gateways come back, in this order
	}{
		{"both come back", []int{0, 1}},
		{"the one that stood by comes back alone", []int{1}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, pair.Options{Journal: "always", Disk: t.TempDir()})
			s.settle()
			s.load(s.gw1, 20)
			for _, g := range s.Gateways {
				s.journalled(g, s.traffic.Total())
			}
			watch, err := s.StartWatch()
			s.must(err)

			for _, g := range s.Gateways {
				_, err := g.Crash()
				s.must(err)
			}
			cut := time.Now()
			for _, g := range s.Gateways {
				s.must(g.Reboot())
				if n := len(natted(s.table(g))); n != 0 {
					t.Fatalf("%s has %d translated flows after a reboot", g.Name, n)
				}
			}
			first := s.Gateways[row.back[0]]
			for _, i := range row.back {
				s.must(s.Gateways[i].Start())
			}
			s.wait(first.Name+" active", first.Is("active"))
			if j := s.status(first).Sessions.Journal; j.Restored < s.traffic.Total() {
				t.Errorf("restored %+v, want %d sessions", *j, s.traffic.Total())
			}
			s.intact(cut)
			s.order(first, `"the journal of sessions was read"`, `"sessions taken"`)
			s.order(first, `"sessions of the journal go into the kernel"`, `"sessions taken"`)
			if len(row.back) == 2 {
				s.settled(first)
				s.wait("equal tables", s.tablesEqual(first))
			}
			found, err := watch.Result()
			s.must(err)
			if !found.Clean() {
				t.Errorf("the gateways sent %d packets with an inside source, %d resets, %d ICMP errors: %q",
					found.Leaks, found.Resets, found.ICMPErrors, found.Examples)
			}
			s.whole()
		})
	}
}

// The disk of the active gateway is full: an alarm, and nothing else. Sessions are on
// the standby as ever, and survive the crash.
func TestFullDiskIsAnAlarm(t *testing.T) {
	s := newScene(t, pair.Options{Journal: "always"})
	// A disk of one page.
	p, err := s.gw1.StartWith(exec.Command("sh", "-ec", "mkdir -p "+s.gw1.JournalDir()+"; mount -t tmpfs -o size=4k tmpfs "+s.gw1.JournalDir()))
	s.must(err)
	if <-p.Done(); p.Err() != nil {
		t.Fatalf("%v: %s", p.Err(), p.Output())
	}
	s.settle()
	s.load(s.gw1, 200)
	s.wait("the alarm", alarmed(s.gw1, "journal-failed"))
	if j := s.status(s.gw1).Sessions.Journal; j.State != "failing" || j.LastError == "" {
		t.Errorf("%+v", *j)
	}
	s.journalled(s.gw2, s.traffic.Total())
	cut := s.crash(s.gw1)
	s.intact(cut)
	s.whole()
}

// A gateway that is stopped and started keeps what it has written, and `clean` leaves
// it alone; the kernel is the same, so it is not needed.
func TestRestartNeedsNoJournal(t *testing.T) {
	disk := t.TempDir()
	s := newScene(t, pair.Options{Journal: "always", Disk: disk})
	s.settle()
	s.load(s.gw1, 10)
	s.journalled(s.gw1, s.traffic.Total())
	stopped := s.gw1.Process()
	s.must(errors.Join(stopped.Stop(patience), stopped.Err()))
	since := time.Now()
	files, err := filepath.Glob(filepath.Join(disk, s.gw1.Name, "*.journal"))
	s.must(err)
	if len(files) == 0 || !slices.IsSorted(files) {
		t.Errorf("files after an orderly stop: %q", files)
	}
	s.must(s.gw1.Start())
	s.settled(s.gw1)
	s.intact(since)
	if j := s.status(s.gw1).Sessions.Journal; j.Restored != 0 {
		t.Errorf("%+v", *j)
	}
	s.whole()
}
