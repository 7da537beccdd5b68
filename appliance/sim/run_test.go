package sim

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	oneSeed  = flag.Uint64("seed", 0, "run only the schedule of this seed, and tell everything that happens in it")
	fromSeed = flag.Uint64("from", 1, "the first seed")
	failures = flag.Int("failures", 1, "stop after so many violations")
	atMost   = flag.Uint64("schedules", 0, "run at most so many; 0: as many as the steps take")
	tries    = flag.Int("tries", 3000, "how often a schedule may be run to make it smaller")
)

// machineSteps is how many steps of Set and Core the schedules have to take
// together: UNDERSTUDY_SIM_STEPS, or what is a matter of seconds.
func machineSteps(t *testing.T) uint64 {
	if v := os.Getenv("UNDERSTUDY_SIM_STEPS"); v != "" {
		n, err := strconv.ParseFloat(v, 64) // "1e9" is easier to read than its zeros
		if err != nil {
			t.Fatalf("UNDERSTUDY_SIM_STEPS: %v", err)
		}
		return uint64(n)
	}
	switch {
	case raceEnabled || testing.Short():
		return 300_000
	default:
		return 2_000_000
	}
}

// tally is what all schedules of a test did.
type tally struct {
	sync.Mutex
	target    uint64
	next      uint64 // seed
	schedules uint64
	steps     Steps
	coverage  Coverage
	virtual   time.Duration
	failed    int
}

// seed hands out the next schedule to run; false if there is enough.
func (y *tally) seed() (uint64, bool) {
	y.Lock()
	defer y.Unlock()
	if y.steps.Total() >= y.target || y.failed >= *failures || *atMost > 0 && y.next >= *fromSeed+*atMost {
		return 0, false
	}
	y.next++
	return y.next - 1, true
}

func (y *tally) add(w *World) {
	y.Lock()
	defer y.Unlock()
	y.schedules++
	y.steps.Add(w.Steps)
	y.coverage.Add(&w.Coverage)
	y.virtual += w.Elapsed()
	if w.failure != nil {
		y.failed++
	}
}

// TestSchedules runs one generated schedule after the other, each on the virtual
// clock, until the machines have taken their steps; on all processors.
func TestSchedules(t *testing.T) {
	if *oneSeed != 0 {
		replay(t, *oneSeed)
		return
	}
	y := &tally{target: machineSteps(t), next: *fromSeed}
	start := time.Now()
	t.Run("workers", func(t *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				for seed, ok := y.seed(); ok; seed, ok = y.seed() {
					w := New(Generate(seed))
					v := w.Run()
					y.add(w)
					if v != nil {
						report(t, seed, w.sc, v)
					}
				}
			})
		}
	})
	took := time.Since(start)
	for file, sc := range scenarios(t) { // some pairs have to be arranged
		w := New(sc)
		if v := w.Run(); v != nil {
			t.Errorf("%s: %v", file, v)
		}
		y.coverage.Add(&w.Coverage)
	}
	text := fmt.Sprintf("%d schedules, %d machine steps (%d of Set, %d of Core), %v of virtual time, in %.1f s: seeds %d to %d\n",
		y.schedules, y.steps.Total(), y.steps.Set, y.steps.Core, y.virtual.Round(time.Hour), took.Seconds(), *fromSeed, y.next-1)
	text += y.coverage.judge(t, y.steps.Total())
	t.Log(text)
	if file := os.Getenv("UNDERSTUDY_SIM_REPORT"); file != "" { // for people, where a test that passes is not heard
		if err := os.WriteFile(file, []byte("simulator: "+text), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// replay tells a whole schedule.
func replay(t *testing.T, seed uint64) {
	w := New(Generate(seed))
	t.Log("\n" + w.sc.String())
	w.Trace = func(line string) { t.Log(line) }
	if v := w.Run(); v != nil {
		t.Errorf("%v\n%s", v, w.Dump())
	}
}

// report prints a violation, how to see it again, and the smallest schedule that
// still shows it.
func report(t *testing.T, seed uint64, sc *Schedule, v *Violation) {
	small := Shrink(sc, v.Rule, *tries)
	again := New(small).Run()
	t.Errorf("seed %d, %d acts: %v\nreplay it:    go test ./appliance/sim -run TestSchedules -v -seed %d\n"+
		"made smaller, %d acts: %v\n# a file for testdata:\n%s", seed, len(sc.Acts), v, seed, len(small.Acts), again, small)
}

// TestSameSeedSameRun: S14. A run depends on its schedule and on nothing else.
func TestSameSeedSameRun(t *testing.T) {
	for seed := range uint64(60) {
		run := func(sc *Schedule) (uint64, Steps) {
			w := New(sc)
			w.Run()
			return w.Hash(), w.Steps
		}
		sc := Generate(seed)
		h1, s1 := run(sc)
		parsed, err := Parse(sc.String())
		if err != nil {
			t.Fatal(err)
		}
		h2, s2 := run(parsed)
		if h1 != h2 || s1 != s2 {
			t.Fatalf("seed %d: %x after %v, then %x after %v", seed, h1, s1, h2, s2)
		}
		if other, _ := run(Generate(seed + 1000)); other == h1 {
			t.Fatalf("seeds %d and %d have one hash: it says nothing", seed, seed+1000)
		}
	}
}

// TestParseErrors: a mistake is named with its line.
func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"seed x", "line 1"},
		{"router lan segment=moon", "no such segment"},
		{"router lan vrid=51\ngroup gw lan\nnode b", "the next node is a"},
		{"router lan vrid=51\ngroup gw lan\nnode a\n1s jump a", "no verb"},
		{"router lan vrid=51\ngroup gw lan\nnode a\n1s crash b", "no node b"},
		{"router lan vrid=51\ngroup gw lan\nnode a\n1s kill a cat", "one of"},
		{"router lan vrid=51\ngroup gw lan\nnode a\n1s link a lan", "takes 3 arguments"},
		{"router lan vrid=51\nnode a", "0 groups"},
		{"router lan vrid=51\ngroup gw lan\ngroup go lan\nnode a", "in 2 groups"},
		{"sideways", "neither"},
	} {
		if _, err := Parse(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.text, err, c.want)
		}
	}
}
