package bench

import (
	"bytes"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"understudy/appliance/lab/capture"
)

// Both programs are measured with as many routers as asked for, on more than one
// segment, and all of them advertise.
func TestRunScale(t *testing.T) {
	const interval, window = 50 * time.Millisecond, time.Second
	r, err := RunScale(patient(t), ScaleOptions{Beside: besideT(t).once(), Routers: []int{1, perSegment + 2}, Interval: interval, Window: window, rest: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 4 {
		t.Fatalf("%d rows", len(r.Rows))
	}
	for i, row := range r.Rows {
		routers, software := []int{1, 1, perSegment + 2, perSegment + 2}[i], []string{"understudy", "keepalived"}[i%2]
		if row.Routers != routers || row.Software != software || row.Active.CPU.N != 1 || row.Active.Memory.Min <= 1 || row.Standby.Memory.Min <= 1 || row.Active.CPU.Min <= 0 {
			t.Errorf("row %d: got %+v", i, row)
		}
		// Fewer only from a machine that is busy, more never: one more at the edge.
		most := float64(routers) * (float64(window/interval) + 1)
		if got := row.Adverts.Min; got > most || got < most/4 {
			t.Errorf("row %d: %.0f adverts a second, want about %.0f", i, got, most)
		}
	}
}

// A takeover of many addresses is complete on both sides, in the only order there
// is.
func TestRunMass(t *testing.T) {
	const addresses = massPerRouter + 10
	r, err := RunMass(patient(t), MassOptions{Beside: besideT(t).once(), Addresses: addresses})
	if err != nil {
		t.Fatal(err)
	}
	for i, software := range []string{"understudy", "keepalived"} {
		row := r.Rows[i]
		if row.Software != software || len(row.Takeovers) != 1 {
			t.Fatalf("row %d: got %+v", i, row)
		}
		m := row.Takeovers[0]
		if m.AllMS < m.FirstMS || m.ToldMS < m.HeardMS || m.LastMS < m.ToldMS || m.HeardMS <= 0 || m.Frames < addresses {
			t.Errorf("row %d: got %+v", i, m)
		}
	}
}

func TestAnnouncementsOfAWave(t *testing.T) {
	const ms = time.Millisecond
	a, b, other := netip.MustParseAddr("10.0.1.1"), netip.MustParseAddr("10.0.1.2"), netip.MustParseAddr("10.0.0.2")
	frames := []capture.Frame{
		at(-1*ms, "gw2", announcement(a)),
		at(2*ms, "gw2", advert(0)),
		at(3*ms, "gw2", advert(100)),
		at(4*ms, "gw2", announcement(other)),
		at(5*ms, "gw2", announcement(a)),
		at(6*ms, "gw2", advert(100)),
		at(80*ms, "gw2", announcement(b)), // late, but nothing is complete before
		at(90*ms, "gw2", announcement(a)),
		at(190*ms, "gw2", announcement(a)), // the next wave
	}
	got, err := announcements(frames, []netip.Addr{a, b}, noon)
	want := announced{advert: noon.Add(3 * ms), first: noon.Add(5 * ms), all: noon.Add(80 * ms), last: noon.Add(90 * ms), frames: 3}
	if err != nil || got != want {
		t.Errorf("want %+v, got %+v, %v", want, got, err)
	}
	for name, part := range map[string][]capture.Frame{"no advert": frames[4:5], "one is missing": frames[:6], "nothing": nil} {
		if _, err := announcements(part, []netip.Addr{a, b}, noon); err == nil {
			t.Errorf("%s: complete", name)
		}
	}
}

// One description becomes the same routers in both languages.
func TestSetupInBothLanguages(t *testing.T) {
	s := setup{node: "gw1", priority: 200, interval: 100 * time.Millisecond, virtual: true, group: "all", tracked: "up0", theirGlobals: "  vrrp_priority -20\n",
		routers: []virtualRouter{
			{"a", "lan0", 7, []netip.Prefix{netip.MustParsePrefix("10.0.1.1/16"), netip.MustParsePrefix("10.0.1.2/16")}},
			{"b", "lan1", 8, []netip.Prefix{netip.MustParsePrefix("10.1.1.1/16")}},
		}}
	plain := s
	plain.virtual, plain.group, plain.tracked, plain.theirGlobals, plain.interval = false, "", "", "", time.Second
	got := strings.Join([]string{s.understudy(), s.keepalived(), plain.understudy(), plain.keepalived()}, "----\n")
	const golden = "testdata/setup.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || !bytes.Equal(want, []byte(got)) {
		t.Errorf("%v; got\n%s", err, got)
	}
}
