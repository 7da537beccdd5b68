package garp

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// epoch is the start of every test's time.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// claims returns n IPv4 claims on lan0, from 10.0.0.1 on.
func claims(n int) []Claim {
	all := make([]Claim, n)
	for i := range all {
		all[i] = Claim{Interface: "lan0", Addr: netip.AddrFrom4([4]byte{10, 0, byte((i + 1) >> 8), byte(i + 1)})}
	}
	return all
}

// sent is one frame and when it left.
type sent struct {
	at time.Duration // since epoch
	Claim
}

// run steps the schedule at its deadlines from start until end.
func run(s *Schedule, end time.Duration) (out []sent) {
	buf := make([]Claim, 64)
	for {
		d := s.Deadline()
		if d.IsZero() || d.Sub(epoch) > end {
			return out
		}
		for _, c := range buf[:s.Step(d, buf)] {
			out = append(out, sent{d.Sub(epoch), c})
		}
	}
}

// times lists when each address was announced, as one line an address.
func times(frames []sent) (lines []string) {
	at := map[netip.Addr][]time.Duration{}
	var order []netip.Addr
	for _, f := range frames {
		if at[f.Addr] == nil {
			order = append(order, f.Addr)
		}
		at[f.Addr] = append(at[f.Addr], f.at)
	}
	for _, a := range order {
		lines = append(lines, fmt.Sprint(a, " ", at[a]))
	}
	return lines
}

func TestScheduleOfOneAddress(t *testing.T) {
	s := NewSchedule(Config{})
	s.Announce(epoch, claims(1))
	want := []string{"10.0.0.1 [0s 100ms 1s 3s 1m3s 2m3s]"}
	if diff := cmp.Diff(want, times(run(s, 150*time.Second))); diff != "" {
		t.Error(diff)
	}
}

// RFC 4861 7.2.6: advertisements MUST be a second apart, and three are enough.
func TestScheduleOfIPv6(t *testing.T) {
	s := NewSchedule(Config{})
	s.Announce(epoch, []Claim{{Interface: "lan0", Addr: vip6}, claims(1)[0]})
	want := []string{"fe80::5:5 [0s 1s 3s 1m3s]", "10.0.0.1 [0s 100ms 1s 3s 1m3s]"}
	if diff := cmp.Diff(want, times(run(s, 100*time.Second))); diff != "" {
		t.Error(diff)
	}
}

// An IPv6 address waits a whole second for its second frame, an IPv4 address
// only from its second to its third: the later one may be due first.
func TestScheduleKeepsTimeAcrossFamilies(t *testing.T) {
	s := NewSchedule(Config{})
	s.Announce(epoch, claims(1))
	frames := run(s, 40*time.Millisecond)
	s.Announce(epoch.Add(50*time.Millisecond), []Claim{{Interface: "lan0", Addr: vip6}})
	frames = append(frames, run(s, 4*time.Second)...)
	want := []string{"10.0.0.1 [0s 100ms 1s 3s]", "fe80::5:5 [50ms 1.05s 3.05s]"}
	if diff := cmp.Diff(want, times(frames)); diff != "" {
		t.Error(diff)
	}
}

func TestScheduleWithoutRefreshEnds(t *testing.T) {
	s := NewSchedule(Config{Refresh: -1})
	s.Announce(epoch, []Claim{{Interface: "lan0", Addr: vip6}, claims(1)[0]})
	want := []string{"fe80::5:5 [0s 1s 3s]", "10.0.0.1 [0s 100ms 1s 3s]"}
	if diff := cmp.Diff(want, times(run(s, time.Hour))); diff != "" {
		t.Error(diff)
	}
	if s.Len() != 0 || !s.Deadline().IsZero() {
		t.Errorf("%d addresses left, deadline %v", s.Len(), s.Deadline())
	}
}

// A thousand first frames leave at once; the rest waits for its budget, and
// each address keeps at least the distances of the burst.
func TestScheduleOfAThousandAddresses(t *testing.T) {
	s := NewSchedule(Config{})
	s.Announce(epoch, claims(1000))
	frames := run(s, 20*time.Second)
	if n := len(frames); n < 1000 || frames[999].at != 0 || frames[1000].at == 0 {
		t.Fatalf("%d frames; the first of all did not leave at once and alone", n)
	}
	if last := frames[len(frames)-1].at; len(frames) != 4000 || last > 16*time.Second {
		t.Errorf("%d frames, the last at %v; want 4000 in about 15 s", len(frames), last)
	}
}

// A pace of the operator's: bursts right behind each other, and refreshes of several.
func TestSchedulePace(t *testing.T) {
	both := []Claim{{Interface: "lan0", Addr: vip6}, claims(1)[0]}
	for _, row := range []struct {
		name string
		pace Pace
		want []string
	}{
		{"two bursts and a refresh", Pace{Repeat: 2, Again: 5 * time.Second, Refresh: 20 * time.Second, RefreshRepeat: 2},
			[]string{"fe80::5:5 [0s 5s 25s 45s]", "10.0.0.1 [0s 0s 5s 5s 25s 25s 45s 45s]"}},
		{"one burst alone", Pace{Repeat: 3}, []string{"fe80::5:5 [0s]", "10.0.0.1 [0s 0s 0s]"}},
		{"a gap", Pace{Repeat: 2, Gap: time.Second}, []string{"fe80::5:5 [0s]", "10.0.0.1 [1s 2s]"}},
		{"the usual pace with a gap", Pace{Gap: 700 * time.Millisecond}, []string{"fe80::5:5 [0s 2.1s 4.1s]", "10.0.0.1 [700ms 1.4s 2.8s 4.8s]"}},
	} {
		s := NewSchedule(row.pace.Config())
		s.Announce(epoch, both)
		if diff := cmp.Diff(row.want, times(run(s, 50*time.Second))); diff != "" {
			t.Errorf("%s: %s", row.name, diff)
		}
	}
}

func TestScheduleWithdraw(t *testing.T) {
	s := NewSchedule(Config{})
	all := claims(3)
	s.Announce(epoch, all)
	run(s, 50*time.Millisecond)
	gone := all[1]
	gone.MAC = vmac // does not matter
	s.Withdraw([]Claim{gone, {Interface: "wan0", Addr: vip}})
	want := []string{"10.0.0.1 [100ms]", "10.0.0.3 [100ms]"}
	if diff := cmp.Diff(want, times(run(s, 500*time.Millisecond))); diff != "" {
		t.Error(diff)
	}
	s.Withdraw(all)
	if s.Len() != 0 || !s.Deadline().IsZero() {
		t.Errorf("%d addresses left, deadline %v", s.Len(), s.Deadline())
	}
}

// After a heal the winner announces again: from the beginning, with the MAC it
// has now.
func TestScheduleAnnounceAgain(t *testing.T) {
	s := NewSchedule(Config{})
	one := claims(1)
	s.Announce(epoch, one)
	run(s, 10*time.Second)
	one[0].MAC = vmac
	s.Announce(epoch.Add(30*time.Second), one)
	s.Announce(epoch.Add(30*time.Second), one)
	frames := run(s, 100*time.Second)
	if diff := cmp.Diff([]string{"10.0.0.1 [30s 30.1s 31s 33s 1m33s]"}, times(frames)); diff != "" {
		t.Error(diff)
	}
	if frames[0].MAC != vmac {
		t.Errorf("announced %v", frames[0].Claim)
	}
}

func TestScheduleFillsAShortBuffer(t *testing.T) {
	s := NewSchedule(Config{})
	all := claims(5)
	s.Announce(epoch, all)
	var got []Claim
	buf := make([]Claim, 2)
	for !s.Deadline().After(epoch) {
		got = append(got, buf[:s.Step(epoch, buf)]...)
	}
	if !slices.Equal(got, all) {
		t.Errorf("got %v", got)
	}
	if n := s.Step(epoch, buf); n != 0 {
		t.Errorf("%d frames that are not due", n)
	}
}

func TestScheduleStepDoesNotAllocate(t *testing.T) {
	s := NewSchedule(Config{})
	s.Announce(epoch, claims(100))
	buf, now := make([]Claim, 64), epoch
	if n := testing.AllocsPerRun(1000, func() { now = now.Add(10 * time.Millisecond); s.Step(now, buf); s.Deadline() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkScheduleTakeover(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("addresses=%d", n), func(b *testing.B) {
			s, all, buf, now := NewSchedule(Config{}), claims(n), make([]Claim, 128), epoch
			b.ReportAllocs()
			for b.Loop() {
				s.Announce(now, all)
				for left := n; left > 0; {
					left -= s.Step(now, buf)
				}
				now = now.Add(time.Second)
				s.Withdraw(all)
			}
		})
	}
}
