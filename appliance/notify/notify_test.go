package notify

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// soon bounds what takes no time.
const soon = 20 * time.Second

// bench is a Notifier and a directory in which programs write what they heard.
type bench struct {
	*Notifier
	t   *testing.T
	dir string
	log *syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newBench(t *testing.T, memory string) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), log: &syncBuffer{}}
	b.Notifier = New(Config{Node: "gw1", Dir: memory, Logger: slog.New(slog.NewTextHandler(b.log, nil))})
	t.Cleanup(func() {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		b.Finish(over)
	})
	return b
}

// command is one that runs a shell script; $OUT is where it writes.
func (b *bench) command(name, body string) Command {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	text := fmt.Sprintf("#!/bin/sh\nOUT=%s/%s.out\n%s\n", b.dir, name, body)
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		b.t.Fatal(err)
	}
	return Command{Argv: []string{path}, Timeout: time.Minute}
}

// heard is what a command has written, line by line.
func (b *bench) heard(name string) []string {
	text, err := os.ReadFile(filepath.Join(b.dir, name+".out"))
	if err != nil || len(text) == 0 {
		return nil
	}
	lines := strings.Split(string(text), "\n")
	return lines[:len(lines)-1] // the last is not whole yet
}

func (b *bench) until(what string, met func() bool) {
	b.t.Helper()
	for end := time.Now().Add(soon); !met(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("waited for %s; log:\n%s", what, b.log)
		}
	}
}

// hears waits until a command has written just that.
func (b *bench) hears(name string, want ...string) {
	b.t.Helper()
	b.until(name+" to hear "+strings.Join(want, ", "), func() bool { return len(b.heard(name)) >= len(want) })
	if diff := cmp.Diff(want, b.heard(name)); diff != "" {
		b.t.Fatalf("%s (-want +got):\n%s", name, diff)
	}
}

// idle waits until nothing is left to do, by what the lanes know.
func (b *bench) idle() {
	b.t.Helper()
	b.until("all to be told", func() bool {
		b.mu.Lock()
		lanes := make([]*lane, 0, len(b.lanes))
		for _, l := range b.lanes {
			lanes = append(lanes, l)
		}
		b.mu.Unlock()
		for _, l := range lanes {
			l.mu.Lock()
			busy := l.next() != nil || slices.ContainsFunc(l.commands, func(c *command) bool { return c.status.Running })
			l.mu.Unlock()
			if busy {
				return false
			}
		}
		return true
	})
}

var lan = Subject{Router, "lan"}

const say = `echo "$UNDERSTUDY_STATE" >>$OUT`

func (b *bench) set(commands ...Command) { b.Set([]Spec{{Subject: lan, Commands: commands}}) }

func state1(s string) Event { return Event{State: s} }

// touch makes a file that scripts wait for.
func (b *bench) touch(name string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), nil, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// held is a script that says when it began, and ends when a file is there.
const held = `echo "begin $UNDERSTUDY_STATE" >>$OUT; while ! test -e ${OUT%/*}/go; do sleep 0.01; done; echo "end $UNDERSTUDY_STATE" >>$OUT`

// Never two at once, in order, and of several changes during a run the last one is
// told; that it is as before is no reason not to tell it.
func TestOneAtATimeAndTheLastOneAlways(t *testing.T) {
	b := newBench(t, "")
	b.set(b.command("a", held))
	b.Tell(lan, state1("backup"))
	b.hears("a", "begin backup")
	for _, s := range []string{"active", "fault", "active", "backup"} {
		b.Tell(lan, state1(s))
	}
	if s := b.Status(lan); len(s) != 1 || !s[0].Running {
		t.Errorf("%+v", s)
	}
	b.touch("go")
	b.hears("a", "begin backup", "end backup", "begin backup", "end backup")
	b.Tell(lan, state1("active"))
	b.hears("a", "begin backup", "end backup", "begin backup", "end backup", "begin active", "end active")
	b.idle()
	if s := b.Status(lan)[0]; s.Runs != 3 || s.State != "active" || s.Error != "" || s.Running {
		t.Errorf("%+v", s)
	}
}

// The commands of a lane have the order of the file; what is told of one state is
// not told of one that is over.
func TestCommandsInTheirOrder(t *testing.T) {
	b := newBench(t, "")
	b.set(b.command("a", held), b.command("b", say))
	b.Tell(lan, state1("active"))
	b.hears("a", "begin active")
	if got := b.heard("b"); got != nil {
		t.Errorf("the second heard %q before the first was done", got)
	}
	b.Tell(lan, state1("backup"))
	b.touch("go")
	b.hears("a", "begin active", "end active", "begin backup", "end backup")
	b.hears("b", "backup")
}

func TestStatesThatAreWanted(t *testing.T) {
	b := newBench(t, "")
	only, all, other := b.command("only", say), b.command("all", say), b.command("other", say)
	only.States, other.States = []string{"active", "fault"}, []string{"backup"}
	b.set(only, all, other)
	for _, s := range []string{"backup", "active", "initialize", "fault"} {
		b.Tell(lan, state1(s))
		b.idle()
	}
	b.hears("all", "backup", "active", "initialize", "fault")
	b.hears("only", "active", "fault")
	b.hears("other", "backup")
}

// One that hangs or fails delays nobody else; it is ended by its timeout, and that
// is known.
func TestHangingAndFailing(t *testing.T) {
	b := newBench(t, "")
	hangs := b.command("hangs", `trap 'echo ended >>$OUT; exit 9' TERM; echo began >>$OUT; sleep 1000 & wait`)
	fails := b.command("fails", say+"; echo 'no such thing' >&2; exit 3")
	wan := Subject{Group, "wan"}
	b.Set([]Spec{{Subject: lan, Commands: []Command{hangs}}, {Subject: wan, Commands: []Command{fails}}})
	b.Tell(lan, state1("active"))
	b.hears("hangs", "began")
	b.Tell(wan, state1("active"))
	b.hears("fails", "active")
	b.until("the failure", func() bool { return b.Status(wan)[0].Failures == 1 })
	if s := b.Status(wan)[0]; s.Code != 3 || s.Error != "exit code 3" {
		t.Errorf("%+v", s)
	}
	if got := b.Failing(); got != "group wan: fails: exit code 3" {
		t.Errorf("failing: %q", got)
	}
	b.until("a line in the log", func() bool {
		return strings.Contains(b.log.String(), "output=\"no such thing\"") && strings.Contains(b.log.String(), "level=WARN")
	})

	brief := newBench(t, "")
	h := brief.command("hangs", `trap 'echo ended >>$OUT; exit 9' TERM; echo began >>$OUT; sleep 1000 & wait`)
	h.Timeout = 300 * time.Millisecond
	brief.set(h)
	brief.Tell(lan, state1("active"))
	brief.hears("hangs", "began", "ended")
	brief.until("the status", func() bool { return brief.Status(lan)[0].Failures == 1 })
	brief.Tell(lan, state1("backup"))
	brief.hears("hangs", "began", "ended", "began", "ended")
}

// What activation waits for runs alone, and first; the others hear of the
// activation once it is there, and those that know it do not.
func TestBefore(t *testing.T) {
	b := newBench(t, "")
	early, late := b.command("early", held), b.command("late", say)
	early.Before = true
	b.set(late, early)
	b.Tell(lan, state1("backup")) // not for the early one
	b.hears("late", "backup")
	ev := Event{State: "active", Term: 7}
	doneC := make(chan struct{})
	go func() { defer close(doneC); b.Before(context.Background(), map[Subject]Event{lan: ev}) }()
	b.hears("early", "begin active")
	select {
	case <-doneC:
		t.Fatal("Before did not wait")
	case <-time.After(50 * time.Millisecond):
	}
	b.touch("go")
	<-doneC
	b.hears("late", "backup")
	b.Tell(lan, ev)
	b.hears("late", "backup", "active")
	b.idle()
	b.hears("early", "begin active", "end active")

	// Nobody to wait for; an activation that is over; a context that ends.
	b.Before(context.Background(), map[Subject]Event{{Group, "none"}: ev})
	if err := os.Remove(filepath.Join(b.dir, "go")); err != nil {
		t.Fatal(err)
	}
	doneC = make(chan struct{})
	go func() {
		defer close(doneC)
		b.Before(context.Background(), map[Subject]Event{lan: {State: "active", Term: 8}})
	}()
	b.hears("early", "begin active", "end active", "begin active")
	b.Tell(lan, state1("backup"))
	<-doneC
	over, cancel := context.WithCancel(context.Background())
	cancel()
	b.Before(over, map[Subject]Event{lan: {State: "active", Term: 9}}) // the last one runs still
	b.touch("go")
	b.Tell(lan, Event{State: "active", Term: 9})
	b.idle()
	b.hears("early", "begin active", "end active", "begin active", "end active", "begin active", "end active")
}

// A daemon that comes to a state that was told already does not tell it again.
func TestRestart(t *testing.T) {
	memory := filepath.Join(t.TempDir(), "notify")
	next := func(told *bench, ev Event) *bench {
		if told != nil {
			ctx, cancel := context.WithTimeout(context.Background(), soon)
			defer cancel()
			told.Finish(ctx)
		}
		b := newBench(t, memory)
		// The same program, whatever its directory.
		c := b.command("a", "")
		c.Argv = []string{"/bin/sh", "-c", `echo "$UNDERSTUDY_PREVIOUS $UNDERSTUDY_STATE $UNDERSTUDY_TERM" >>` + memory + ".out"}
		b.set(c)
		b.Tell(lan, ev)
		b.idle()
		return b
	}
	heard := func(want ...string) {
		t.Helper()
		text, err := os.ReadFile(memory + ".out")
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Split(strings.TrimSpace(string(text)), "\n"); !slices.Equal(got, want) {
			t.Fatalf("heard %q, want %q", got, want)
		}
	}
	b := next(nil, Event{State: "active", Term: 5})
	heard("initialize active 5")
	b = next(b, Event{State: "active", Term: 5, Known: true})
	heard("initialize active 5")
	b = next(b, Event{State: "active", Term: 6, Known: true}) // it was away in between
	heard("initialize active 5", "active active 6")
	b = next(b, Event{State: "backup", Term: 6, Known: true})
	heard("initialize active 5", "active active 6", "active backup 6")
	b = next(b, Event{State: "backup", Term: 9, Known: true}) // who is active is not our state
	heard("initialize active 5", "active active 6", "active backup 6")
	next(b, Event{State: "backup", Term: 9}) // the box has just started
	heard("initialize active 5", "active active 6", "active backup 6", "backup backup 9")
}

// A daemon died while a program ran: what that had started is ended, and the state
// is told again.
func TestRestartInTheMiddle(t *testing.T) {
	before, after := filepath.Join(t.TempDir(), "before"), filepath.Join(t.TempDir(), "after")
	b := newBench(t, before)
	c := b.command("a", `echo $UNDERSTUDY_STATE >>$OUT; test -e ${OUT%/*}/again && exit; sleep 1000 & echo $! >>$OUT; wait`)
	b.set(c)
	b.Tell(lan, state1("active"))
	b.until("the program", func() bool { return len(b.heard("a")) == 2 })
	child, err := strconv.Atoi(b.heard("a")[1])
	if err != nil {
		t.Fatal(err)
	}
	// What a dead daemon leaves: its file as it is now. The program can be quicker than
	// what is noted of its start.
	b.until("its file", func() bool {
		files, _ := filepath.Glob(filepath.Join(before, "*.json"))
		text := []byte(nil)
		if len(files) == 1 {
			text, _ = os.ReadFile(files[0])
		}
		return strings.Contains(string(text), "running")
	})
	if err := os.CopyFS(after, os.DirFS(before)); err != nil {
		t.Fatal(err)
	}
	b.touch("again")
	next := newBench(t, after)
	next.set(c)
	next.Tell(lan, Event{State: "active", Known: true})
	next.until("it to be told again", func() bool { return next.Status(lan)[0].Runs == 1 })
	if got := b.heard("a"); len(got) != 3 || got[2] != "active" {
		t.Errorf("heard %q", got)
	}
	next.until("a line in the log", func() bool { return strings.Contains(next.log.String(), "still running") })
	next.until("the orphan to end", func() bool {
		s, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		return err != nil || strings.Contains(string(s), ") Z ")
	})
}

// At the end the last event is waited for, within bounds.
func TestFinish(t *testing.T) {
	b := newBench(t, "")
	b.set(b.command("a", held))
	b.Tell(lan, state1("active"))
	b.hears("a", "begin active")
	b.Tell(lan, state1("initialize"))
	doneC := make(chan struct{})
	go func() { defer close(doneC); b.Finish(context.Background()) }()
	b.touch("go")
	<-doneC
	b.hears("a", "begin active", "end active", "begin initialize", "end initialize")
	b.Tell(lan, state1("active"))
	b.set(b.command("b", say))
	b.hears("a", "begin active", "end active", "begin initialize", "end initialize")

	b = newBench(t, "")
	b.set(b.command("a", `trap '' TERM; echo began >>$OUT; while :; do sleep 1000; done`))
	b.Tell(lan, state1("initialize"))
	b.hears("a", "began")
	over, cancel := context.WithCancel(context.Background())
	cancel()
	b.Finish(over) // returns, or the test does not
}

func TestWhatItIsToldBy(t *testing.T) {
	b := newBench(t, "")
	c := b.command("a", `echo "$@" >>$OUT; env | grep ^UNDERSTUDY_ | grep -v _RUN= | sort >>$OUT`)
	c.Argv, c.Style = append(c.Argv, "word"), Keepalived
	b.Set([]Spec{{Subject: lan, Commands: []Command{c}, Env: []string{"UNDERSTUDY_GROUP=gateway"}}})
	b.Tell(lan, Event{State: "fault", Term: 3, Cause: "link\nlan0 down", Priority: 150})
	b.hears("a", "word INSTANCE lan FAULT 150", "UNDERSTUDY_CAUSE=link lan0 down", "UNDERSTUDY_GROUP=gateway", "UNDERSTUDY_KIND=router",
		"UNDERSTUDY_NAME=lan", "UNDERSTUDY_NODE=gw1", "UNDERSTUDY_PREVIOUS=initialize", "UNDERSTUDY_PRIORITY=150", "UNDERSTUDY_STATE=fault", "UNDERSTUDY_TERM=3")
	for state, word := range map[string]string{"active": "MASTER", "backup": "BACKUP", "fault": "FAULT", "initialize": "STOP"} {
		if got := arguments(Keepalived, Event{State: state, Priority: 9}, Spec{Subject: Subject{Group, "g"}}); !slices.Equal(got, []string{"GROUP", "g", word, "0"}) {
			t.Errorf("%s: %q", state, got)
		}
	}
	if got := arguments(Plain, Event{State: "active"}, Spec{Subject: lan}); got != nil {
		t.Errorf("%q", got)
	}
}

// A program that others can exchange is not run, and neither is one that cannot be.
func TestWhatIsNotRun(t *testing.T) {
	b := newBench(t, "")
	open := b.command("open", say)
	if err := os.Chmod(open.Argv[0], 0o777); err != nil {
		t.Fatal(err)
	}
	b.set(open, Command{Argv: []string{"/bin/true"}, User: "nobody-at-all", Timeout: time.Second})
	b.Tell(lan, state1("active"))
	b.until("both", func() bool { s := b.Status(lan); return s[0].Failures == 1 && s[1].Failures == 1 })
	s := b.Status(lan)
	if !strings.Contains(s[0].Error, "not run: everybody may write") || !strings.Contains(s[1].Error, `no user "nobody-at-all"`) || b.heard("open") != nil {
		t.Errorf("%+v", s)
	}
}

// A reload: what is new hears how things are, what stays does not hear it again,
// and what goes hears that it is over, even if it comes back at once.
func TestSet(t *testing.T) {
	b := newBench(t, "")
	a, c := b.command("a", say), b.command("c", say)
	b.set(a)
	b.Tell(lan, state1("active"))
	b.hears("a", "active")
	b.set(a, c)
	b.hears("c", "active")
	b.Tell(lan, Event{State: "active", Known: true})
	b.idle()
	b.hears("a", "active")
	b.hears("c", "active")

	b.set()
	b.hears("a", "active", "initialize")
	b.until("the lane to end", func() bool { return b.Status(lan) == nil })
	b.set(a)
	b.Tell(lan, state1("backup"))
	b.hears("a", "active", "initialize", "backup")

	slow := b.command("slow", held)
	b.set(a, slow)
	b.hears("slow", "begin backup")
	b.set()
	b.set(a, slow) // while the program of the first runs
	b.Tell(lan, state1("active"))
	b.touch("go")
	b.hears("slow", "begin backup", "end backup", "begin active", "end active")
}

// The two ways into initialize: who asks for one of them hears of that alone; to
// keepalived's scripts a deletion is a fault, unless somebody asks for it as such.
func TestEndings(t *testing.T) {
	for _, asked := range []bool{false, true} {
		b := newBench(t, "")
		deleted, stop, old, args := b.command("deleted", say), b.command("stop", say), b.command("old", say), b.command("args", `echo "$@" >>$OUT`)
		deleted.States, stop.States, old.States, args.Style = []string{"fault", "deleted"}, []string{"stop"}, []string{"initialize"}, Keepalived
		word := "FAULT"
		if asked {
			deleted.States, word = []string{"deleted"}, "DELETED"
		}
		other := Subject{Router, "wan"}
		both := Spec{Subject: lan, Called: "VI 1", Commands: []Command{deleted, stop, old, args}}
		b.Set([]Spec{both, {Subject: other, Called: "VI 2", Commands: both.Commands}})
		b.Tell(lan, Event{State: "active", Priority: 100})
		b.idle()
		b.Tell(other, Event{State: "active", Priority: 90})
		b.idle()
		b.Set([]Spec{both}) // the other one is taken out of the file
		b.until("its lane to end", func() bool { return b.Status(other) == nil })
		b.hears("deleted", "initialize")
		b.hears("old", "initialize")
		b.Tell(lan, Event{State: "initialize", Ending: Stop, Priority: 100})
		b.idle()
		b.hears("stop", "initialize")
		b.hears("deleted", "initialize")
		b.hears("old", "initialize", "initialize")
		b.hears("args", "INSTANCE VI 1 MASTER 100", "INSTANCE VI 2 MASTER 90", "INSTANCE VI 2 "+word+" 90", "INSTANCE VI 1 STOP 100")
	}
}

// One program with arguments and without is two, also for the next daemon.
func TestOneProgramTwice(t *testing.T) {
	memory := t.TempDir()
	b := newBench(t, memory)
	plain := b.command("a", `echo "told $@" >>$OUT`)
	args := plain
	plain.States, args.Style = []string{"active"}, Keepalived
	b.set(plain)
	b.Tell(lan, Event{State: "active", Priority: 1})
	b.hears("a", "told ")
	b.Finish(t.Context())
	for range 2 { // the first of these has not told the second one yet
		b = &bench{t: t, dir: b.dir, log: b.log, Notifier: newBench(t, memory).Notifier}
		b.set(plain, args)
		b.Tell(lan, Event{State: "active", Priority: 1, Known: true})
		b.idle()
		b.hears("a", "told ", "told INSTANCE lan MASTER 1")
		b.Finish(t.Context())
	}
}

// What is written is bounded in length and in number.
func TestOutputIsBounded(t *testing.T) {
	b := newBench(t, "")
	b.set(b.command("a", `echo "$UNDERSTUDY_TERM" >>$OUT; yes word | head -c 100000`))
	const runs = limitCount + 3
	for i := range runs {
		b.Tell(lan, Event{State: "active", Term: uint64(i)})
		b.idle()
	}
	b.until("every run to be in the log", func() bool { return strings.Count(b.log.String(), "msg=notify") == runs })
	text := b.log.String()
	if n := strings.Count(text, "left out: too much"); n != 3 {
		t.Errorf("%d of %d outputs were left out", n, runs)
	}
	if most := (limitCount + 1) * (maxOutput + maxOutput/4 + 500); len(text) > most {
		t.Errorf("%d bytes of log, at most %d", len(text), most)
	}
	var l limiter
	t0 := time.Unix(0, 0)
	for range limitCount + 5 {
		l.allow(t0)
	}
	if ok, left := l.allow(t0.Add(limitPeriod)); !ok || left != 5 {
		t.Errorf("after the pause: %t, %d left out", ok, left)
	}
}

// Many subjects at once are told, not all of them at once.
func TestManySubjects(t *testing.T) {
	b := newBench(t, "")
	const n = 3 * maxRunning
	var specs []Spec
	c := b.command("a", `echo x >>$OUT`)
	for i := range n {
		specs = append(specs, Spec{Subject: Subject{Router, fmt.Sprint(i)}, Commands: []Command{c}})
	}
	b.Set(specs)
	for _, s := range specs {
		b.Tell(s.Subject, state1("active"))
	}
	b.until("all of them", func() bool { return len(b.heard("a")) == n })
	b.idle()
}
