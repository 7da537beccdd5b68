package histfile_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"understudy/appliance/history"
	"understudy/appliance/history/histfile"
)

var (
	quiet = slog.New(slog.DiscardHandler)
	noon  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func open(t *testing.T, dir string) ([]history.Event, *histfile.File) {
	t.Helper()
	saved, f, err := histfile.Open(dir, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return saved, f
}

func ids(events []history.Event) (out []uint64) {
	for _, e := range events {
		out = append(out, e.ID)
	}
	return out
}

// What was kept is there after a restart; of what was changed, the last version.
func TestOverARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	saved, f := open(t, dir)
	if len(saved) != 0 {
		t.Fatalf("an empty directory has %v", saved)
	}
	var l history.Log
	f.Keep(l.Append(history.Event{At: noon, Kind: history.Operator, Text: "first"}))
	open1 := l.Append(history.Event{At: noon.Add(time.Second), Kind: history.Transition, Group: "g", To: "active", Open: true})
	f.Keep(open1)
	open1.Open, open1.Rev, open1.Phases = false, 3, []history.Phase{{Name: "detect", Seconds: .3}}
	f.Keep(open1)
	f.Close()

	saved, f = open(t, dir)
	defer f.Close()
	var again history.Log
	again.Restore(saved)
	got := again.Events(history.Query{})
	if len(got) != 2 || got[0].Text != "first" || got[1].Open || len(got[1].Phases) != 1 || !got[1].At.Equal(noon.Add(time.Second)) {
		t.Fatalf("got %+v", got)
	}
	if next := again.Append(history.Event{At: noon}); next.ID != 3 || next.Rev != 4 {
		t.Errorf("goes on with id %d, rev %d, want 3 and 4", next.ID, next.Rev)
	}
}

// A line that was torn, and nonsense, cost themselves only.
func TestTornTail(t *testing.T) {
	dir := t.TempDir()
	_, f := open(t, dir)
	var l history.Log
	f.Keep(l.Append(history.Event{At: noon, Text: "one"}))
	f.Keep(l.Append(history.Event{At: noon, Text: "two"}))
	f.Close()
	path := filepath.Join(dir, histfile.Name)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(b) {
		if err := os.WriteFile(path, b[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		saved, f := open(t, dir)
		f.Keep(history.Event{ID: 9, Rev: 9, At: noon, Text: "nine"})
		f.Close()
		whole := strings.Count(string(b[:cut]), "\n")
		if cut == len(b)-1 { // all but the line's end
			whole = 2
		}
		if cut > 0 && b[cut] == '\n' {
			whole = max(whole, strings.Count(string(b[:cut+1]), "\n"))
		}
		if len(saved) != whole {
			t.Fatalf("cut at %d of %d: %v, want %d", cut, len(b), ids(saved), whole)
		}
		saved, f = open(t, dir)
		f.Close()
		if len(saved) != whole+1 || saved[whole].ID != 9 {
			t.Fatalf("cut at %d: what was written after it is %v", cut, ids(saved))
		}
	}
}

// However much happens, the disk holds a bounded part of it, the youngest.
func TestBounded(t *testing.T) {
	dir := t.TempDir()
	_, f := open(t, dir)
	long := strings.Repeat("x", 3000)
	const n = 2000
	for i := range uint64(n) {
		f.Keep(history.Event{ID: i + 1, Rev: i + 1, At: noon, Text: long})
		if i%100 == 0 {
			time.Sleep(time.Millisecond) // its turn: what does not fit is lost
		}
	}
	f.Close()
	total := int64(0)
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range files {
		fi, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		total += fi.Size()
		if fi.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), fi.Mode())
		}
	}
	if total > 4<<20 || len(files) > 2 {
		t.Errorf("%d bytes in %d files", total, len(files))
	}
	saved, f := open(t, dir)
	f.Close()
	if len(saved) == 0 || len(saved) == n {
		t.Errorf("%d events are left of %d", len(saved), n)
	}
	for i := 1; i < len(saved); i++ {
		if saved[i].ID <= saved[i-1].ID {
			t.Fatalf("out of order: %d after %d", saved[i].ID, saved[i-1].ID)
		}
	}
}

// A disk that cannot be written to costs the history its length, and nobody's time.
func TestNoDisk(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, f, err := histfile.Open(filepath.Join(file, "state"), quiet)
	if err == nil {
		t.Fatal("a file was taken for a directory")
	}
	for i := range 1000 {
		f.Keep(history.Event{ID: uint64(i)})
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func Example() {
	dir, _ := os.MkdirTemp("", "history")
	defer os.RemoveAll(dir)
	_, f, _ := histfile.Open(dir, quiet)
	var l history.Log
	f.Keep(l.Append(history.Event{At: noon, Kind: history.Operator, Text: "a reload"}))
	f.Close()
	saved, f, _ := histfile.Open(dir, quiet)
	f.Close()
	fmt.Println(saved[0].Text)
	// Output: a reload
}
