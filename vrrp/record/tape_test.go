package record

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// counter is a machine.
type counter struct {
	sum  int
	last *int
}

func (c *counter) step(n int) int {
	c.sum += n
	c.last = &n
	return c.sum
}

func record(t *testing.T, opt Options, steps int) (files []string, tape *Tape) {
	t.Helper()
	opt.Machine, opt.Dir = "election", filepath.Join(t.TempDir(), "tapes")
	tape, err := Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	m := &counter{}
	tape.Begin(time.Now(), struct{ Auth string }{"geheim"})
	for n := range steps {
		tape.Do(time.Now(), "step", n, m.step(n), m)
	}
	tape.Close()
	files, err = filepath.Glob(filepath.Join(opt.Dir, "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return files, tape
}

// replayed sums a file up again.
func replayed(t *testing.T, file string) (steps int, lost uint64, last int) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m := &counter{}
	c := Codec{}
	_, err = Read(f, func(_ Header, n int, l *Line) error {
		lost += l.Lost
		switch {
		case l.State != nil:
			m = &counter{}
			return c.Decode(l.State, m)
		case l.Config != nil:
			return nil
		}
		var in, out int
		if err := errors.Join(c.Decode(l.In, &in), c.Decode(l.Out, &out)); err != nil {
			return err
		}
		if got := m.step(in); got != out {
			return fmt.Errorf("line %d: %d, recorded was %d", n, got, out)
		}
		steps++
		last = in
		return nil
	})
	if err != nil {
		t.Errorf("%s: %v", file, err)
	}
	return steps, lost, last
}

func TestTape(t *testing.T) {
	files, tape := record(t, Options{}, 100)
	if len(files) != 1 || tape.Lost() != 0 {
		t.Fatalf("files %v, %d lost", files, tape.Lost())
	}
	if n, _, _ := replayed(t, files[0]); n != 100 {
		t.Errorf("%d steps, want 100", n)
	}
	info, err := os.Stat(files[0])
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v: everybody may read it", info.Mode())
	}
	b, _ := os.ReadFile(files[0])
	if strings.Contains(string(b), "geheim") || !strings.Contains(string(b), `"Auth":`) {
		t.Error("a secret is in it, or not even a pseudonym")
	}
	// A crash in the middle of a line.
	cut := filepath.Join(t.TempDir(), "cut")
	if err := os.WriteFile(cut, b[:len(b)-3], 0o600); err != nil {
		t.Fatal(err)
	}
	if n, _, _ := replayed(t, cut); n != 99 {
		t.Errorf("%d steps of a file that is cut short, want 99", n)
	}
}

// Old files go; each that stays can be replayed alone, and the newest are there.
func TestTapeRotates(t *testing.T) {
	files, _ := record(t, Options{FileSize: 4000, Files: 3}, 2000)
	if len(files) != 3 {
		t.Fatalf("%d files, want 3", len(files))
	}
	total := 0
	for i, f := range files {
		n, lost, last := replayed(t, f)
		if n == 0 && i < 2 || lost != 0 {
			t.Errorf("%s: %d steps, %d lost", f, n, lost)
		}
		if total += n; i == 2 && last != 1999 && n > 0 {
			t.Errorf("the last step is %d", last)
		}
	}
	if total == 0 || total >= 2000 {
		t.Errorf("%d steps are left", total)
	}
}

// What does not fit is lost, and said so; what follows can be replayed.
func TestTapeLosesRatherThanWaits(t *testing.T) {
	tape, f, err := openTape(Options{Machine: "election", Dir: t.TempDir(), Queue: 4})
	if err != nil {
		t.Fatal(err)
	}
	m, n := &counter{}, 0
	do := func(times int) {
		for range times {
			tape.Do(time.Now(), "step", n, m.step(n), m)
			n++
		}
	}
	tape.Begin(time.Now(), struct{ Auth string }{"geheim"})
	do(10) // the disk hangs: three fit beside the configuration
	go tape.write(f)
	for end := time.Now().Add(20 * time.Second); len(tape.lines) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing is written")
		}
	}
	do(3) // a state in the place of the first
	tape.Close()
	steps, lost, last := replayed(t, f.Name())
	if tape.Lost() != 8 || lost != 8 || steps != 5 || last != 12 {
		t.Errorf("%d steps up to %d, %d lost by the file, %d by the tape", steps, last, lost, tape.Lost())
	}
}

// However slow the disk is, each step is either there or counted.
func TestTapeBesideItsDisk(t *testing.T) {
	files, tape := record(t, Options{Queue: 1}, 5000)
	steps, lost, _ := replayed(t, files[0])
	if lost > tape.Lost() || uint64(steps)+tape.Lost() != 5000 {
		t.Errorf("%d steps, %d lost by the file, %d by the tape", steps, lost, tape.Lost())
	}
}

// Off, it costs nothing.
func TestNoTape(t *testing.T) {
	var tape *Tape
	if n := testing.AllocsPerRun(100, func() { tape.Do(time.Time{}, "step", nil, nil, nil) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	tape.Begin(time.Now(), nil)
	tape.Close()
}

func TestReadRefuses(t *testing.T) {
	for _, text := range []string{"", "x\n", "{}\n", `{"understudy":"recording","format":99}` + "\n"} {
		if _, err := Read(strings.NewReader(text), nil); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}
