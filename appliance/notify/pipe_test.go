package notify

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// readPipe reads what there is.
func readPipe(t *testing.T, path string) string {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	var all []byte
	for {
		b := make([]byte, 1<<16)
		n, err := unix.Read(fd, b)
		if n <= 0 {
			if err != nil && !errors.Is(err, unix.EAGAIN) {
				t.Fatal(err)
			}
			return string(all)
		}
		all = append(all, b[:n]...)
	}
}

func TestPipe(t *testing.T) {
	b := newBench(t, "")
	path := filepath.Join(t.TempDir(), "made", "fifo")
	log := slog.New(slog.NewTextHandler(b.log, nil))
	p, err := OpenPipe(PipeConfig{Path: path, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Lstat(path)
	if err != nil || st.Mode() != os.ModeNamedPipe|0o600 {
		t.Errorf("%v %v", st.Mode(), err)
	}
	// Before anybody reads, and by readers that come and go.
	lane := Spec{Subject: lan, Called: "VI\n1"}
	p.Say(lane.Line(Event{State: "backup", Priority: 100}))
	p.Say(Spec{Subject: Subject{Group, "g"}}.Line(Event{State: "active", Priority: 100}))
	if got := readPipe(t, path); got != "INSTANCE \"VI 1\" BACKUP 100\nGROUP \"g\" MASTER 0\n" {
		t.Errorf("%q", got)
	}
	p.Say("again")
	if got := readPipe(t, path); got != "again\n" {
		t.Errorf("%q", got)
	}
	// Nobody reads: nothing waits, what is there is whole, and what is not is counted.
	for range 2000 {
		p.Say(strings.Repeat("x", 99))
	}
	got := readPipe(t, path)
	if len(got) == 0 || len(got)%100 != 0 || uint64(len(got)/100)+p.lost != 2000 {
		t.Errorf("%d bytes, %d lost", len(got), p.lost)
	}
	if n := strings.Count(b.log.String(), "found no room"); n == 0 || n > limitCount {
		t.Errorf("%d lines of log", n)
	}
	p.Close(t.Context())
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Error("it is still there")
	}

	// What a predecessor has left is taken, with what is in it if somebody has it open;
	// what is something else is not touched.
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err = OpenPipe(PipeConfig{Path: path}); err != nil {
		t.Fatal(err)
	}
	p.Close(t.Context())
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenPipe(PipeConfig{Path: path}); !errors.Is(err, ErrNoPipe) {
		t.Error(err)
	}
}

// The program that reads gets the path, is there again when it has died, and at the end
// has the time to read the last line.
func TestPipeReader(t *testing.T) {
	b := newBench(t, "")
	c := b.command("reader", `for last; do :; done; echo "begin $1" >>$OUT
while read -r line; do
  test "$line" = die && exit 3
  test "$line" = last && sleep 0.3
  echo "$line" >>$OUT
done <$last
echo end >>$OUT`)
	path := filepath.Join(b.dir, "fifo")
	p, err := OpenPipe(PipeConfig{Path: path, Command: append(c.Argv, "word"), Logger: slog.New(slog.NewTextHandler(b.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	p.Say("one")
	b.hears("reader", "begin word", "one")
	p.Say("die")
	b.hears("reader", "begin word", "one", "begin word")
	p.Say("last")
	p.Close(t.Context())
	b.hears("reader", "begin word", "one", "begin word", "last", "end")

	// One that does not end is ended.
	hangs := b.command("hangs", `trap '' TERM; echo begin >>$OUT; while :; do sleep 0.1; done`)
	if p, err = OpenPipe(PipeConfig{Path: path, Command: hangs.Argv}); err != nil {
		t.Fatal(err)
	}
	b.hears("hangs", "begin")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	p.Close(over) // returns, or the test does not
}

// What is said just before the end is read by a program that takes its time to open the pipe.
func TestPipeReaderOpensLate(t *testing.T) {
	b := newBench(t, "")
	c := b.command("reader", `for last; do :; done; echo begin >>$OUT; sleep 0.3
while read -r line; do
  echo "$line" >>$OUT
done <$last
echo end >>$OUT`)
	p, err := OpenPipe(PipeConfig{Path: filepath.Join(b.dir, "fifo"), Command: c.Argv})
	if err != nil {
		t.Fatal(err)
	}
	b.hears("reader", "begin")
	p.Say("last")
	p.Close(t.Context())
	b.hears("reader", "begin", "last", "end")
}
