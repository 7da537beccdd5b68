package bench

import (
	"context"
	"os"
	"testing"
	"time"

	"understudy/appliance/lab"
	"understudy/appliance/lab/pair"
	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// The flows are as many as they seem, and what a kernel can install.
func TestFlowsDiffer(t *testing.T) {
	const n = 300_000
	originals := make(map[session.Key]bool, n)
	replies := make(map[session.Key]bool, n)
	for i := range uint32(n) {
		r := flow(i)
		if err := conntrack.Installable(&r); err != nil {
			t.Fatalf("flow %d: %v", i, err)
		}
		_, _, snat := r.SNAT()
		_, _, dnat := r.DNAT()
		if snat == dnat || !r.Replicable() {
			t.Fatalf("flow %d is not translated one way: %s", i, r.String())
		}
		originals[r.Key] = true
		replies[session.Key{Src: r.ReplySrc, SrcPort: r.ReplySrcPort, Dst: r.ReplyDst, DstPort: r.ReplyDstPort}] = true
	}
	if len(originals) != n || len(replies) != n {
		t.Errorf("%d originals, %d replies, want %d", len(originals), len(replies), n)
	}
}

func built(t *testing.T) string {
	t.Helper()
	lab.Require(t)
	if b := os.Getenv("UNDERSTUDY_BINARY"); b != "" {
		return b
	}
	b, err := pair.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func minute(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// Both measurements run through and mean what they say; no time is asserted.
func TestRunCrash(t *testing.T) {
	r, err := RunCrash(minute(t), CrashOptions{
		Binary: built(t), Intervals: []time.Duration{50 * time.Millisecond}, Crashes: 1, Connections: 10,
		Progress: t.Output(), calm: 100 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	row := r.Rows[0]
	if len(r.Rows) != 1 || row.Outage.N != 1 || row.Outage.Min <= 0 || row.BoundMS != 180.469 || row.Flows != 15 || row.Lost != 0 {
		t.Errorf("got %+v", row)
	}
}

func TestRunTakeover(t *testing.T) {
	r, err := RunTakeover(minute(t), TakeoverOptions{
		Binary: built(t), Few: 10, Many: 500, Runs: 1, Sizes: 1, Progress: t.Output(), quick: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range []int{10, 500} {
		if row := r.Rows[i]; row.Sessions != n || row.Installed != 0 || row.TookMS.N != 1 || row.TookMS.Min <= 0 {
			t.Errorf("got %+v", row)
		}
	}
	if r.Ratio <= 0 || r.Size == nil || r.Size.Rate.Min <= 0 {
		t.Errorf("got %+v", r)
	}
}

func TestRivalsAreKnownByName(t *testing.T) {
	if _, err := rival("nobody", time.Second); err == nil {
		t.Error("somebody")
	}
	if got := Rivals(); len(got) != 1 || got[0] != "keepalived" {
		t.Errorf("got %v", got)
	}
}
