package health_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"understudy/health"
)

// dumb is a check by its definition: all results so far, looked through anew.
type dumb struct {
	rise, fall int
	history    string
	state      health.State
}

func (d *dumb) add(ok bool) {
	d.history += map[bool]string{true: "+", false: "-"}[ok]
	switch {
	case d.state == health.Unknown && ok:
		d.state = health.Up
	case d.state == health.Down && strings.HasSuffix(d.history, strings.Repeat("+", d.rise)):
		d.state = health.Up
	case d.state != health.Down && strings.HasSuffix(d.history, strings.Repeat("-", d.fall)):
		d.state = health.Down
	}
}

// TestCheckAgainstTheDumbModel: any results, silences and pauses.
func TestCheckAgainstTheDumbModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := health.CheckConfig{
			Every:   time.Duration(rapid.IntRange(1, 1000).Draw(t, "every")) * time.Millisecond,
			Timeout: time.Duration(rapid.IntRange(1, 1000).Draw(t, "timeout")) * time.Millisecond,
			Rise:    rapid.IntRange(1, 5).Draw(t, "rise"), Fall: rapid.IntRange(1, 5).Draw(t, "fall"),
		}
		c := health.NewCheck(cfg, epoch, 0)
		model := dumb{rise: cfg.Rise, fall: cfg.Fall}
		now := epoch
		var failures, changes uint64
		for range rapid.IntRange(1, 80).Draw(t, "events") {
			before := model.state
			var out health.Output
			switch rapid.SampledFrom([]string{"+", "+", "-", "-", "early", "silence"}).Draw(t, "event") {
			case "+":
				now = now.Add(cfg.Every)
				model.add(true)
				out = c.Step(now, success)
			case "-":
				now = now.Add(cfg.Every)
				model.add(false)
				failures++
				out = c.Step(now, failure)
			case "early":
				if soon := c.Deadline().Add(-1); soon.After(now) {
					now = soon
				}
				if !now.Before(c.Deadline()) {
					continue
				}
				out = c.Step(now, tick)
			case "silence":
				if now.Before(c.Deadline()) {
					now = c.Deadline()
				}
				model.add(false)
				failures++
				out = c.Step(now, tick)
			}
			if before != health.Unknown && before != model.state {
				changes++
			}
			if c.State() != model.state || out.From != before || out.To != model.state || out.Changed != (before != model.state) {
				t.Fatalf("after %s: %+v, model %v -> %v", model.history, out, before, model.state)
			}
			if !c.Deadline().After(now) {
				t.Fatalf("deadline %v is not after %v", c.Deadline(), now)
			}
			f := c.Facts(now)
			if f.Results != uint64(len(model.history)) || f.Failures != failures || f.Changes != changes || f.Timeouts != f.Silences {
				t.Fatalf("after %s: facts %+v, want %d failures, %d changes", model.history, f, failures, changes)
			}
		}
	})
}

// TestTrackerAgainstTheDumbModel: any words of any sources at any time. Without
// debounce, an effect is a sum over the last words.
func TestTrackerAgainstTheDumbModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t)
		tr, err := health.NewTracker(epoch, cfg)
		if err != nil {
			t.Fatal(err)
		}
		said := map[health.Source]health.TrackerInput{}
		told := map[string]health.Effect{}
		for _, e := range tr.Effects() {
			told[e.Group] = e
		}
		for range rapid.IntRange(1, 40).Draw(t, "events") {
			in := health.TrackerInput{
				Kind:   health.InState,
				Source: rapid.SampledFrom(cfg.Sources).Draw(t, "source").Source,
				State:  rapid.SampledFrom([]health.State{health.Unknown, health.Up, health.Up, health.Down, health.Down}).Draw(t, "state"),
			}
			if in.State == health.Up {
				in.Value = rapid.IntRange(-3, 3).Draw(t, "value")
			}
			said[in.Source] = in
			for _, e := range tr.Step(epoch, in).Effects {
				told[e.Group] = e
			}
			for i, got := range tr.Effects() {
				want := sum(cfg, i, said)
				if got != want || told[got.Group] != want {
					t.Fatalf("got %+v, told %+v, want %+v\n%v", got, told[got.Group], want, tr)
				}
				quiet := tr.Reason(got.Group) == ""
				if quiet && (got.Fault || got.Pending || got.Weight < 0) {
					t.Fatalf("%+v without a reason", got)
				}
				for _, r := range cfg.Groups[i].Routers {
					p := tr.Priority(got.Group, r.Name)
					if p == 0 || (p == 255) != (r.Priority == 255) {
						t.Fatalf("router %+v advertises %d", r, p)
					}
				}
			}
			if !tr.Deadline().IsZero() {
				t.Fatalf("deadline %v with nothing to wait for", tr.Deadline())
			}
		}
	})
}

func drawConfig(t *rapid.T) (cfg health.Config) {
	for i := range rapid.IntRange(1, 5).Draw(t, "sources") {
		cfg.Sources = append(cfg.Sources, health.SourceConfig{
			Source:   health.Source{Kind: health.Kind(i % 2), Name: fmt.Sprint("s", i)},
			Measures: rapid.Bool().Draw(t, "measures"),
		})
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "groups") {
		g := health.GroupConfig{Name: fmt.Sprint("g", i)}
		for k := range rapid.IntRange(1, 3).Draw(t, "routers") {
			r := health.RouterConfig{Name: fmt.Sprint("r", k), Priority: rapid.Uint8Range(1, 255).Draw(t, "priority")}
			for range rapid.IntRange(0, 3).Draw(t, "tracks") {
				r.Track = append(r.Track, health.Track{
					Source:  rapid.SampledFrom(cfg.Sources).Draw(t, "tracked").Source,
					Weight:  rapid.SampledFrom([]int{0, 0, -50, 20, -253, 253}).Draw(t, "weight"),
					Reverse: rapid.Bool().Draw(t, "reverse"),
				})
			}
			g.Routers = append(g.Routers, r)
		}
		cfg.Groups = append(cfg.Groups, g)
	}
	return cfg
}

// sum is the table of the package's documentation, row by row.
func sum(cfg health.Config, i int, said map[health.Source]health.TrackerInput) health.Effect {
	e := health.Effect{Group: cfg.Groups[i].Name}
	counted := map[health.Track]bool{}
	for _, r := range cfg.Groups[i].Routers {
		for _, tr := range r.Track {
			if counted[tr] {
				continue
			}
			counted[tr] = true
			var measures bool
			for _, s := range cfg.Sources {
				if s.Source == tr.Source {
					measures = s.Measures
				}
			}
			in := said[tr.Source]
			up, down := in.State == health.Up, in.State == health.Down
			if tr.Reverse {
				up, down = down, up
			}
			v := in.Value * tr.Weight
			if tr.Reverse {
				v = -v
			}
			switch {
			case in.State == health.Unknown:
				e.Pending, e.Unknown = e.Pending || tr.Weight == 0, true
			case measures && tr.Weight == 0:
				e.Fault = e.Fault || in.State == health.Down || (in.Value == 0) == tr.Reverse
			case measures && in.State == health.Up:
				e.Fault = e.Fault || v <= -254
				e.Weight += max(min(v, 253), -253)
			case measures:
			case tr.Weight == 0:
				e.Fault = e.Fault || down
			case tr.Weight < 0 && down, tr.Weight > 0 && up:
				e.Weight += tr.Weight
			}
		}
	}
	return e
}

// TestDebounceHoldsBack: the settled state of a source changes only after its
// word stood unbroken for the time configured, and always does then.
func TestDebounceHoldsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := func(label string) time.Duration {
			return time.Duration(rapid.IntRange(0, 50).Draw(t, label)) * time.Millisecond
		}
		src := health.SourceConfig{Source: health.Source{Kind: health.KindInterface, Name: "wan1"}, DownAfter: ms("down after"), UpAfter: ms("up after")}
		tr, err := health.NewTracker(epoch, health.Config{Sources: []health.SourceConfig{src}, Groups: []health.GroupConfig{{Name: "g",
			Routers: []health.RouterConfig{{Name: "r", Priority: 100, Track: []health.Track{{Source: src.Source}}}}}}})
		if err != nil {
			t.Fatal(err)
		}
		now := epoch
		settled, word, since := health.Unknown, health.Unknown, now
		for range rapid.IntRange(1, 40).Draw(t, "events") {
			now = now.Add(ms("wait"))
			// What became due on the way, as the caller's loop would have it.
			for d := tr.Deadline(); !d.IsZero() && !d.After(now); d = tr.Deadline() {
				tr.Step(d, health.TrackerInput{Kind: health.InTrackerTick})
			}
			after := map[health.State]time.Duration{health.Up: src.UpAfter, health.Down: src.DownAfter}
			if word != settled && now.Sub(since) >= after[word] {
				settled = word
			}
			said := rapid.SampledFrom([]health.State{health.Up, health.Down}).Draw(t, "word")
			tr.Step(now, health.TrackerInput{Kind: health.InState, Source: src.Source, State: said})
			if said != word {
				word, since = said, now
			}
			if settled == health.Unknown || after[word] == 0 {
				settled = word
			}
			if got := tr.Effects()[0].Fault; got != (settled == health.Down) {
				t.Fatalf("fault %v, want the state %v (word %v for %v)\n%v", got, settled, word, now.Sub(since), tr)
			}
			if d := tr.Deadline(); d.IsZero() != (word == settled) || !d.IsZero() && !d.Equal(since.Add(after[word])) {
				t.Fatalf("deadline %v with word %v since %v, settled %v", d, word, since, settled)
			}
		}
	})
}
