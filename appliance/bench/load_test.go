package bench

import (
	"fmt"
	"testing"
	"time"
)

// Every program is watched under load, ours with sessions that are being
// resynchronised all the time, and adverts are counted. With intervals like these
// nobody has a reason to take over.
func TestRunLoad(t *testing.T) {
	r, err := RunLoad(patient(t), LoadOptions{Beside: besideT(t).once(), Interval: time.Second, Window: 6 * time.Second, Loops: 2, Sessions: 1000, together: 3})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 4 {
		t.Fatalf("%d rows", len(r.Rows))
	}
	for i, want := range []struct{ software, setting string }{{"understudy", ""}, {"keepalived", ""}, {"keepalived", "vrrp_priority -20"}, {"keepalived", "vrrp_rt_priority 50"}} {
		row := r.Rows[i]
		if row.Software != want.software || row.Setting != want.setting || len(row.Strains) != 1 {
			t.Fatalf("row %d: got %+v", i, row)
		}
		s := row.Strains[0]
		if s.Takeovers != 0 || s.Wire != 0 || s.Died != 0 || !row.Within || s.Adverts < 4 || s.SilentMS < 900 {
			t.Errorf("row %d: got %+v", i, s)
		}
		if ours := i == 0; ours != (s.Resyncs > 0) || ours && (s.Resyncs < 2 || s.Synced == 0) {
			t.Errorf("row %d: got %+v", i, s)
		}
	}
}

func TestWordsOfBothPrograms(t *testing.T) {
	var w words
	for _, part := range []string{
		`gw2 | {"level":"INFO","msg":"transition","group":"gateway","from":"backup","state":"active","cause":"active-down"}` + "\n",
		`gw2 | {"level":"INFO","msg":"transition","group":"gateway","from":"active","state":"active","cause":"term"}` + "\n",
		`gw1 | {"level":"INFO","msg":"transition","group":"gateway","from":"active","state":"backup","cause":"active-down"}` + "\n",
		`gw1 | {"level":"ERROR","msg":"daemon died","pid":7}` + "\n",
	} {
		fmt.Fprint(&w, part)
	}
	if got, want := w.counts(), (wordCount{active: [2]int{0, 1}, died: 1}); got != want {
		t.Errorf("ours: want %+v, got %+v", want, got)
	}
	// Pieces of a line, of two nodes in turn.
	w.add("gw1", []byte("Sat: (lan) Entering MAS"))
	w.add("gw2", []byte("(lan) Entering MASTER STATE\n(wan) Entering MASTER STATE\nSat: (lan) Entering BACKUP STATE\n"))
	w.add("gw1", []byte("TER STATE\nKeepalived_vrrp exited due to signal 9\nVRRP child process(33) died: Respawning\n"))
	if got, want := w.counts(), (wordCount{active: [2]int{1, 2}, died: 2}); got != want {
		t.Errorf("theirs: want %+v, got %+v", want, got)
	}
}

// A takeover begins with an advert of gw2 after one of gw1: those that follow are
// the same one, and one that resigns is none.
func TestWireCountsTakeovers(t *testing.T) {
	w := &wireCount{}
	const ms = time.Millisecond
	for _, f := range []struct {
		after    time.Duration
		from     string
		priority byte
	}{{0, "gw1", 200}, {10 * ms, "gw1", 200}, {45 * ms, "gw2", 100}, {55 * ms, "gw2", 100}, {60 * ms, "gw1", 200}, {61 * ms, "gw2", 0}, {70 * ms, "gw1", 200}, {99 * ms, "gw2", 100}} {
		w.hear(0, at(f.after, f.from, advert(f.priority)), "gw1")
	}
	var s Strain
	if err := w.stop(&s); err != nil || s.Wire != 2 || s.Adverts != 4 || s.SilentMS != 50 {
		t.Errorf("got %+v, %v", s, err)
	}
}
