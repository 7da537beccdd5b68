package health_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"understudy/health"
)

// TestTrackerTranscripts runs the files of testdata/tracker; -rewrite writes
// what happened into them. The commands:
//
//	config, reload      source check NAME [measures] [counts] [down-after=D] [up-after=D] [grace=D]
//	                    group NAME
//	                    router NAME PRIORITY [KIND:NAME[:WEIGHT][!]]...      ! is reverse
//	up|down|unknown KIND:NAME [value=N] [why=TEXT]
//	advance D           the time goes on, ticks at each deadline
//	show                String
func TestTrackerTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/tracker", func(t *testing.T, path string) {
		w := &transcript{now: epoch}
		datadriven.RunTest(t, path, w.run)
	})
}

type transcript struct {
	now     time.Time
	tracker *health.Tracker
	out     strings.Builder
}

func (w *transcript) run(t *testing.T, d *datadriven.TestData) string {
	w.out.Reset()
	switch d.Cmd {
	case "config", "reload":
		w.configure(t, d)
	case "up", "down", "unknown":
		in := health.TrackerInput{Kind: health.InState, Source: source(d.CmdArgs[0].Key)}
		in.State = map[string]health.State{"up": health.Up, "down": health.Down}[d.Cmd]
		if d.HasArg("value") {
			d.ScanArgs(t, "value", &in.Value)
		}
		if d.HasArg("why") {
			d.ScanArgs(t, "why", &in.Why)
		}
		w.tell(w.tracker.Step(w.now, in).Effects)
	case "advance":
		span, err := time.ParseDuration(d.CmdArgs[0].Key)
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		end := w.now.Add(span)
		for at := w.tracker.Deadline(); !at.IsZero() && !at.After(end); at = w.tracker.Deadline() {
			w.now = at
			w.tell(w.tracker.Step(at, health.TrackerInput{Kind: health.InTrackerTick}).Effects)
		}
		w.now = end
	case "show":
		w.out.WriteString(w.tracker.String())
	default:
		d.Fatalf(t, "no command %q", d.Cmd)
	}
	if w.out.Len() == 0 {
		return "nothing\n"
	}
	return w.out.String()
}

func (w *transcript) tell(effects []health.Effect) {
	for _, e := range effects {
		fmt.Fprintf(&w.out, "%v %s:", w.now.Sub(epoch), e.Group)
		if e.Fault {
			w.out.WriteString(" fault")
		}
		if e.Pending {
			w.out.WriteString(" pending")
		}
		if e.Weight != 0 {
			fmt.Fprintf(&w.out, " %+d", e.Weight)
		}
		if !e.Fault && !e.Pending && e.Weight == 0 {
			w.out.WriteString(" well")
		}
		if reason := w.tracker.Reason(e.Group); reason != "" {
			fmt.Fprintf(&w.out, " (%s)", reason)
		}
		w.out.WriteByte('\n')
	}
}

func (w *transcript) configure(t *testing.T, d *datadriven.TestData) {
	var cfg health.Config
	for line := range strings.Lines(d.Input) {
		f := strings.Fields(line)
		switch f[0] {
		case "source":
			s := health.SourceConfig{Source: source(f[1] + ":" + f[2])}
			for _, opt := range f[3:] {
				key, value, _ := strings.Cut(opt, "=")
				span, _ := time.ParseDuration(value)
				switch key {
				case "measures":
					s.Measures = true
				case "counts":
					s.Counts = true
				case "down-after":
					s.DownAfter = span
				case "up-after":
					s.UpAfter = span
				case "grace":
					s.Grace = span
				default:
					d.Fatalf(t, "no option %q", opt)
				}
			}
			cfg.Sources = append(cfg.Sources, s)
		case "group":
			cfg.Groups = append(cfg.Groups, health.GroupConfig{Name: f[1]})
		case "router":
			priority, _ := strconv.Atoi(f[2])
			r := health.RouterConfig{Name: f[1], Priority: uint8(priority)}
			for _, word := range f[3:] {
				r.Track = append(r.Track, track(word))
			}
			g := &cfg.Groups[len(cfg.Groups)-1]
			g.Routers = append(g.Routers, r)
		default:
			d.Fatalf(t, "no line %q", line)
		}
	}
	var err error
	if d.Cmd == "config" {
		w.tracker, err = health.NewTracker(w.now, cfg)
		if err == nil {
			w.tell(w.tracker.Effects())
		}
	} else {
		var out health.TrackerOutput
		if out, err = w.tracker.Reconfigure(w.now, cfg); err == nil {
			w.tell(out.Effects)
		}
	}
	if err != nil {
		fmt.Fprintln(&w.out, err)
	}
}

func source(s string) health.Source {
	kind, name, _ := strings.Cut(s, ":")
	switch kind {
	case "interface":
		return health.Source{Kind: health.KindInterface, Name: name}
	case "bond":
		return health.Source{Kind: health.KindBond, Name: name}
	}
	return health.Source{Kind: health.KindCheck, Name: name}
}

func track(s string) health.Track {
	s, reverse := strings.CutSuffix(s, "!")
	tr := health.Track{Reverse: reverse}
	if i := strings.LastIndex(s, ":"); i > strings.Index(s, ":") {
		tr.Weight, _ = strconv.Atoi(s[i+1:])
		s = s[:i]
	}
	tr.Source = source(s)
	return tr
}

func TestEffective(t *testing.T) {
	for _, tt := range []struct {
		base   uint8
		weight int
		want   uint8
	}{
		{200, 0, 200}, {200, -50, 150}, {200, -253, 1}, {200, -1000, 1}, {200, 50, 250}, {200, 1000, 254},
		{1, -1, 1}, {254, 1, 254}, {255, -253, 255}, {255, 10, 255},
	} {
		if got := health.Effective(tt.base, tt.weight); got != tt.want {
			t.Errorf("%d%+d: want %d, got %d", tt.base, tt.weight, tt.want, got)
		}
	}
}

// 10 groups of 2 routers, each tracking 5 checks; each check is tracked by one group.
func bigTracker(tb testing.TB) (*health.Tracker, []health.Source) {
	var cfg health.Config
	var all []health.Source
	for g := range 10 {
		gc := health.GroupConfig{Name: fmt.Sprint("group", g)}
		for r := range 2 {
			rc := health.RouterConfig{Name: fmt.Sprint("router", r), Priority: 200}
			for c := range 5 {
				s := health.Source{Kind: health.KindCheck, Name: fmt.Sprint("check", g, "-", r, "-", c)}
				all = append(all, s)
				cfg.Sources = append(cfg.Sources, health.SourceConfig{Source: s, DownAfter: time.Duration(c%2) * time.Second})
				rc.Track = append(rc.Track, health.Track{Source: s, Weight: -10 * c})
			}
			gc.Routers = append(gc.Routers, rc)
		}
		cfg.Groups = append(cfg.Groups, gc)
	}
	tr, err := health.NewTracker(epoch, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return tr, all
}

func TestTrackerStepDoesNotAllocate(t *testing.T) {
	tr, all := bigTracker(t)
	now, i := epoch, 0
	if n := testing.AllocsPerRun(1000, func() {
		step(tr, all, &now, i)
		i++
	}); n != 0 {
		t.Errorf("%v allocations in a step, want none", n)
	}
}

func step(tr *health.Tracker, all []health.Source, now *time.Time, i int) {
	*now = now.Add(100 * time.Millisecond)
	tr.Step(*now, health.TrackerInput{Kind: health.InState, Source: all[i%len(all)], State: health.Up + health.State(i/len(all)%2), Why: "no answer"})
	tr.Step(*now, health.TrackerInput{Kind: health.InTrackerTick})
}

func BenchmarkTrackerStep(b *testing.B) {
	for _, bb := range []struct {
		name string
		flip bool
	}{{"same", false}, {"changed", true}} {
		b.Run(bb.name, func(b *testing.B) {
			tr, all := bigTracker(b)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				in := health.TrackerInput{Kind: health.InState, Source: all[i%len(all)], State: health.Up}
				if bb.flip {
					in.State += health.State(i / len(all) % 2)
				}
				tr.Step(epoch, in)
			}
		})
	}
}

func BenchmarkCheckStep(b *testing.B) {
	c := health.NewCheck(config, epoch, 0)
	b.ReportAllocs()
	for b.Loop() {
		c.Step(epoch, success)
	}
}
