package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
	"understudy/appliance/lab/capture"
	"understudy/appliance/lab/pair"
)

// LoadOptions sets [RunLoad] up. The zero value watches each program once for
// 60 s at adverts of 10 ms beside 64 busy loops, ours with 500,000 sessions that
// are being resynchronised.
type LoadOptions struct {
	Beside
	Interval time.Duration
	Window   time.Duration
	Loops    int
	Sessions int
	Only     string // name of the one program to watch; "": both

	together int // of keepalived's settings at the same time; 0: one
}

func (o LoadOptions) withDefaults() LoadOptions {
	o.Beside = o.Beside.withDefaults(1)
	if o.Interval == 0 {
		o.Interval = 10 * time.Millisecond
	}
	if o.Window == 0 {
		o.Window = time.Minute
	}
	if o.Loops <= 0 {
		o.Loops = 64
	}
	if o.Sessions <= 0 {
		o.Sessions = 500_000
	}
	return o
}

// LoadReport is what [RunLoad] found. Its JSON form is a contract: keys may be
// added, never removed.
type LoadReport struct {
	Machine    Machine   `json:"machine"`
	IntervalMS float64   `json:"interval_ms"`
	WindowMS   float64   `json:"window_ms"`
	Loops      int       `json:"loops"`
	Rows       []LoadRow `json:"rows"`
}

// LoadRow is one program in one configuration.
type LoadRow struct {
	Software string   `json:"software"`
	Setting  string   `json:"setting"`  // what of keepalived's was set, "" for nothing
	Sessions int      `json:"sessions"` // ours alone has any
	Strains  []Strain `json:"strains"`
	// Takeovers of all windows: each is a false one, for nobody had died.
	Takeovers Summary `json:"takeovers"`
	SilentMS  Summary `json:"silent_ms"`
	// Within: no takeover in any window.
	Within bool `json:"within"`
}

// Strain is one window.
type Strain struct {
	Takeovers int `json:"takeovers"` // how often gw2 became active, by its own log
	Returns   int `json:"returns"`   // ... and gw1 again
	Wire      int `json:"wire"`      // how often gw2 began to advertise, on the wire
	// Died is how often a process of the program died or was killed, on both
	// gateways, the deaths that restarted a resynchronisation aside.
	Died int `json:"died"`
	// SilentMS is the longest time between two adverts of gw1 on one segment.
	SilentMS float64 `json:"silent_ms"`
	Adverts  int     `json:"adverts"` // of gw1, on both segments
	// Resyncs is how many resynchronisations were begun, and Syncing the share of
	// the window in which one was under way.
	Resyncs int     `json:"resyncs"`
	Syncing float64 `json:"syncing"`
	Synced  int     `json:"synced"` // sessions that gw2 had when it last had all
}

// RunLoad looks for takeovers that nothing but load has caused. When it returns,
// nothing of what it started is left, and the machine's limits are what they were.
func RunLoad(ctx context.Context, opt LoadOptions) (_ *LoadReport, err error) {
	opt = opt.withDefaults()
	r := &LoadReport{Machine: thisMachine(time.Now()), IntervalMS: ms(opt.Interval), WindowMS: ms(opt.Window), Loops: opt.Loops}
	if err := (keepalived{}).Available(); err != nil {
		return nil, err
	}
	if opt.Only != "" && opt.Only != (ours{}).Name() && opt.Only != (keepalived{}).Name() {
		return nil, fmt.Errorf("bench: %q is not among what is compared", opt.Only)
	}
	k, err := roomFor(opt.Sessions, opt.say)
	if err != nil {
		return nil, err
	}
	// The limits go back last: what is in the tables must be gone by then.
	defer func() { err = errors.Join(err, k.close()) }()
	type turn struct {
		row LoadRow
		run func(context.Context, LoadOptions) (Strain, error)
	}
	turns := []turn{{LoadRow{Software: ours{}.Name(), Sessions: opt.Sessions}, strainOurs}}
	for _, set := range []string{"", "vrrp_priority -20", "vrrp_rt_priority 50"} {
		turns = append(turns, turn{LoadRow{Software: keepalived{}.Name(), Setting: set}, func(ctx context.Context, opt LoadOptions) (Strain, error) {
			return strainTheirs(ctx, opt, set)
		}})
	}
	for range opt.Runs {
		for _, part := range [][]turn{turns[:1], turns[1:]} {
			if err := atOnce(len(part), opt.together, func(i int) error {
				row := &part[i].row
				if opt.Only != "" && opt.Only != row.Software {
					return nil
				}
				one, err := part[i].run(ctx, opt)
				if err != nil {
					return fmt.Errorf("bench: %s %s under load: %w", row.Software, row.Setting, err)
				}
				row.Strains = append(row.Strains, one)
				opt.say("%s %s: %s", row.Software, row.Setting, one)
				return nil
			}); err != nil {
				return nil, err
			}
		}
	}
	for i := range turns {
		if row := &turns[i].row; len(row.Strains) > 0 {
			row.sum()
			r.Rows = append(r.Rows, *row)
		}
	}
	r.Machine.LoadAfter = load()
	return r, nil
}

func (s Strain) String() string {
	out := fmt.Sprintf("%d false takeovers (%d on the wire), %d deaths; no advert of gw1 for %.1f ms at most, of %d",
		s.Takeovers, s.Wire, s.Died, s.SilentMS, s.Adverts)
	if s.Resyncs > 0 {
		out += fmt.Sprintf("; %d resynchronisations, under way %.0f %% of the time, %d sessions after the last whole one", s.Resyncs, 100*s.Syncing, s.Synced)
	}
	return out
}

func (r *LoadRow) sum() {
	r.Takeovers = collect(r.Strains, func(s Strain) float64 { return float64(s.Takeovers) })
	r.SilentMS = collect(r.Strains, func(s Strain) float64 { return s.SilentMS })
	r.Within = true
	for _, s := range r.Strains {
		r.Within = r.Within && s.Takeovers == 0 && s.Wire == 0
	}
}

// strainTheirs is a window of keepalived.
func strainTheirs(ctx context.Context, opt LoadOptions, set string) (one Strain, err error) {
	var said words
	k := keepalived{interval: opt.Interval, out: said.of}
	if set != "" {
		k.globals = "  " + set + "\n"
	}
	st, err := newStage(pair.Options{Interval: opt.Interval})
	if err != nil {
		return one, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if err := st.play(ctx, k); err != nil {
		return one, err
	}
	if err := sleep(ctx, opt.calm); err != nil {
		return one, err
	}
	return st.strain(ctx, opt, &said, func(context.Context, *Strain) error { return nil })
}

// strainOurs is a window of ours.
func strainOurs(ctx context.Context, opt LoadOptions) (one Strain, err error) {
	var said words
	st, err := newStage(pair.Options{Binary: opt.Binary, Interval: opt.Interval, Log: io.MultiWriter(&said, orDiscard(opt.Log))})
	if err != nil {
		return one, err
	}
	d := &duo{Pair: st.Pair, active: st.active, standby: st.standby}
	defer func() { err = errors.Join(err, d.close()) }() // with what is in the tables
	for i, g := range st.Gateways {
		if st.procs[i], err = (ours{}).Start(g); err != nil {
			return one, err
		}
		st.played = ours{}.Name()
		if i > 0 {
			break
		}
		if err := st.wait(ctx, "gw1 active", st.active.Is("active")); err != nil {
			return one, err
		}
		if err := st.fill(opt.Sessions); err != nil {
			return one, err
		}
	}
	if err := st.wait(ctx, "gw2 standing by", st.standby.Is("backup")); err != nil {
		return one, err
	}
	return st.strain(ctx, opt, &said, st.resyncing)
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

// fill puts n flows into gw1's table, as traffic would.
func (s *stage) fill(n int) error {
	const part = 50_000 // what is prepared at a time
	for first := 0; first < n; first += part {
		h, err := handOf(s.active, first, min(part, n-first))
		if err != nil {
			return err
		}
		err = h.begin()
		h.close()
		if err != nil {
			return err
		}
	}
	return nil
}

// resyncing looks at gw2 from time to time, and has it begin again when it has
// everything: its daemon is killed, and the next one knows nothing.
func (s *stage) resyncing(ctx context.Context, one *Strain) error {
	const look = 500 * time.Millisecond
	one.Resyncs = 1
	began := time.Now()
	var syncing time.Duration
	for last := began; ; {
		if sleep(ctx, look) != nil {
			break
		}
		st, err := s.standby.Status(ctx)
		now := time.Now()
		// Who does not answer has just been killed, or has a lot to do: both with a
		// resynchronisation before it.
		whole := err == nil && st.Sessions != nil && st.Sessions.InSync
		if whole {
			one.Synced = st.Sessions.Foreign
		}
		if !whole {
			syncing += now.Sub(last)
		} else if pid, err := daemonOf(s.standby); err == nil {
			switch err := unix.Kill(pid, unix.SIGKILL); {
			case err == nil:
				one.Resyncs++
			case !errors.Is(err, unix.ESRCH):
				return fmt.Errorf("kill the daemon of %s: %w", s.standby.Name, err)
			}
		}
		last = now
	}
	one.Syncing = round(syncing.Seconds() / time.Since(began).Seconds())
	return nil
}

// missPatience is how long a death that we caused may go unnoticed.
const missPatience = 10 * time.Second

// strain watches a window under load. beside runs meanwhile; its context ends with
// the window.
func (s *stage) strain(ctx context.Context, opt LoadOptions, said *words, beside func(context.Context, *Strain) error) (one Strain, err error) {
	burn, err := s.Net.Node("burn")
	if err != nil {
		return one, err
	}
	// Loops first: the window begins under load.
	for range opt.Loops {
		if _, err := burn.Start("sh", "-c", "while :; do :; done"); err != nil {
			return one, errors.Join(err, burn.Kill())
		}
	}
	w, err := s.listen()
	if err != nil {
		return one, errors.Join(err, burn.Kill())
	}
	before := said.counts()
	window, cancel := context.WithTimeout(ctx, opt.Window)
	err = beside(window, &one)
	<-window.Done()
	cancel()
	// Whom we killed last may not have been missed yet.
	for end := time.Now().Add(missPatience); said.counts().died-before.died < one.Resyncs-1 && time.Now().Before(end); {
		if sleep(ctx, 10*time.Millisecond) != nil {
			break
		}
	}
	after := said.counts()
	err = errors.Join(err, burn.Kill(), w.stop(&one), ctx.Err())
	one.Takeovers, one.Returns = after.active[1]-before.active[1], after.active[0]-before.active[0]
	one.Died = after.died - before.died - max(0, one.Resyncs-1)
	return one, err
}

// wireCount counts the adverts of both gateways as they pass.
type wireCount struct {
	captures []*capture.Capture
	mu       sync.Mutex
	last     [2]time.Time // gw1's last, by side
	active   [2]string    // whose advert was last, by side
	silent   time.Duration
	adverts  int
	began    [2]int // how often gw2 did, by side
}

func (s *stage) listen() (*wireCount, error) {
	w := &wireCount{}
	for side, segment := range []*lab.Segment{s.LAN, s.WAN} {
		c, err := capture.Start(segment, capture.Options{Filter: capture.Protocols(112), SnapLen: 64, Keep: func(f capture.Frame) bool {
			w.hear(side, f, s.active.Name)
			return false
		}})
		if err != nil {
			return nil, errors.Join(err, w.stop(&Strain{}))
		}
		w.captures = append(w.captures, c)
	}
	return w, nil
}

func (w *wireCount) hear(side int, f capture.Frame, active string) {
	if capture.Decode(f.Data).Priority == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if f.From == active {
		if last := w.last[side]; !last.IsZero() {
			w.silent = max(w.silent, f.At.Sub(last))
		}
		w.last[side] = f.At
		w.adverts++
	} else if w.active[side] != f.From {
		w.began[side]++
	}
	w.active[side] = f.From
}

func (w *wireCount) stop(one *Strain) error {
	var errs []error
	for _, c := range w.captures {
		errs = append(errs, c.Stop())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	one.SilentMS, one.Adverts, one.Wire = ms(w.silent), w.adverts, max(w.began[0], w.began[1])
	return errors.Join(errs...)
}

// words counts what the programs on both gateways say about themselves.
type words struct {
	mu   sync.Mutex
	rest map[string][]byte
	n    wordCount
}

type wordCount struct {
	active [2]int // transitions of gw1 and gw2 to active: of the group, or of its first router
	died   int
}

// Write takes what ours say: lines that begin with the name of the gateway.
func (w *words) Write(b []byte) (int, error) {
	w.add("", b)
	return len(b), nil
}

// of is a writer for what the program on one node says.
func (w *words) of(n *lab.Node) io.Writer { return wordsOf{w, n.Name} }

type wordsOf struct {
	words *words
	node  string
}

func (w wordsOf) Write(b []byte) (int, error) {
	w.words.add(w.node, b)
	return len(b), nil
}

func (w *words) add(node string, b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.rest == nil {
		w.rest = make(map[string][]byte)
	}
	all := append(w.rest[node], b...)
	for {
		line, rest, ok := bytes.Cut(all, []byte{'\n'})
		if !ok {
			break
		}
		w.n.line(node, string(line))
		all = rest
	}
	w.rest[node] = bytes.Clone(all)
}

func (n *wordCount) line(node, line string) {
	if node == "" {
		node, line, _ = strings.Cut(line, " | ")
	}
	i := 0
	if node == "gw2" {
		i = 1
	}
	has := func(parts ...string) bool {
		for _, p := range parts {
			if !strings.Contains(line, p) {
				return false
			}
		}
		return true
	}
	switch {
	case has(`"msg":"transition"`, `"state":"active"`) && !has(`"from":"active"`), has("(lan) Entering MASTER STATE"):
		n.active[i]++
	case has(`"msg":"daemon died"`), has(`"msg":"election died"`), has("Respawning"):
		n.died++
	}
}

func (w *words) counts() wordCount {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n
}
