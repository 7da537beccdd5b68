package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"understudy/appliance"
	"understudy/appliance/config"
	"understudy/health"
	"understudy/nat/entry"
	"understudy/nat/entry/entrynet"
	"understudy/nat/nft"
)

// Entry points, what they need of each edge.
type (
	// entryTable has new flows steered.
	entryTable interface {
		Apply(points []entry.Point) (changed bool, err error)
		Steer(points ...entry.Point) error
		Cut(flows []nft.CutFlow) error
		Remember(name string, clients []nft.Remembered) error
		Counters() (nft.EntryCounters, error)
	}
	// entryFlows are the established ones.
	entryFlows interface {
		Count(points []entry.Point) ([][]int, error)
		Clients(points []entry.Point) ([][]entrynet.Client, error)
		Cut(points []entry.Point, dead []entrynet.Server, mark func([]entrynet.Flow) error) (entrynet.Outcome, error)
		Wake(flows []entrynet.Flow) (int, error)
		Close() error
	}
)

// entries is the lane of entry points. Whoever knows something tells it at once, under a
// lock that nobody holds for long; what follows for the kernel is done by goroutines of
// its own, in this order:
//
//	steer   new flows go elsewhere, in one transaction
//	follow  flows of servers that have died are cut; clients of a new active node are
//	        learnt from their flows
//	count   connections, where somebody goes by their number
//	reach   MACs, where packets are handed to servers by them
type entries struct {
	table  entryTable
	open   func() (entryFlows, error)
	moves  *moves  // nil: connections are not moved
	logged *logged // nil: nothing is logged of them
	warm   *warm   // nil: nothing is replayed all along
	stands *stands // nil: peers are not told how connections stand
	// lookOut opens the table of neighbours.
	lookOut func() (neighbours, error)
	file    string // where drained servers are noted
	log     *slog.Logger
	tell    func(entryTold) // nil: nobody wants to know

	steerC, followC chan struct{} // hold one each: there is something to do

	mu       sync.Mutex
	points   []*steered
	states   map[string]word    // by check
	drained  []string           // "ENTRY SERVER"
	active   map[string]bool    // by group
	whole    bool               // all has to be applied anew
	cuts     map[deadServer]int // how often their flows are still to be cut
	fresh    []deadServer       // of these, those whose new flows may still go there
	ready    []deadServer       // those whose do not
	later    []deadServer       // those whose flows have been cut, and will be once more
	woken    []entrynet.Flow    // clients that may not have heard
	restores map[string]bool    // entry points whose clients are to be learnt
	took     time.Duration      // by the last count
	why      string             // what is told of now is so
}

// word is what a check said last.
type word struct {
	state health.State
	value int
	why   string // it is down
}

// steered is an entry point at work.
type steered struct {
	set   *entry.Set
	group string
	dirty bool
	seen  uint64 // new flows at the last count
}

// deadServer is a server by its place in the file, and when its flows are to be cut.
type deadServer struct{ entry, server string }

const (
	// sweeps is how often the flows of a dead server are looked for, and their clients
	// woken: packets that were on their way to it while new flows were turned away make
	// flows behind the first, and what is to wake a client may be lost.
	sweeps = 2
	// sweepPause is the time between.
	sweepPause = time.Second
	// countPeriod is how often connections are counted, countShare what part of the time
	// that may take: a large table takes a second.
	countPeriod = time.Second
	countShare  = 10
	// steerRetry is the pause after the kernel refused a table.
	steerRetry = time.Second
)

func newEntries(table entryTable, open func() (entryFlows, error), file string, log *slog.Logger) *entries {
	return &entries{table: table, open: open, lookOut: openNeighbours, file: file, log: log,
		steerC: make(chan struct{}, 1), followC: make(chan struct{}, 1),
		states: map[string]word{}, active: map[string]bool{},
		cuts: map[deadServer]int{}, restores: map[string]bool{}, drained: readDrained(file)}
}

func openNeighbours() (neighbours, error) { return entrynet.OpenNeighbours() }

func wakeUp(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// next is what the lane would be with cfg: entry points that stay keep what is known of
// them.
func (e *entries) next(now time.Time, cfg *config.Config) (out []*steered) {
	for _, c := range cfg.Entries() {
		p := &steered{group: cfg.EntryGroup(c.Name)}
		i := slices.IndexFunc(e.points, func(o *steered) bool { return o.set.Config().Name == c.Name })
		if i >= 0 {
			p.set, p.seen = e.points[i].set.Clone(), e.points[i].seen
			p.set.Reconfigure(now, c)
		} else {
			p.set = entry.New(now, c)
		}
		for check, w := range e.states {
			p.set.Step(now, entry.Input{Kind: entry.InHealth, Check: check, State: w.state, Value: w.value})
		}
		for _, s := range c.Servers {
			p.set.Step(now, entry.Input{Kind: entry.InDrain, Server: s.Address, On: slices.Contains(e.drained, drainedName(c.Name, s))})
		}
		out = append(out, p)
	}
	return out
}

func pointsOf(list []*steered) []entry.Point {
	out := make([]entry.Point, len(list))
	for i, p := range list {
		out[i] = p.set.Point()
	}
	return out
}

// prepare has the kernel steer by cfg, which is not in force yet. On error it is as it
// was.
func (e *entries) prepare(cfg *config.Config) error {
	e.mu.Lock()
	points := pointsOf(e.next(time.Now(), cfg))
	e.mu.Unlock()
	_, err := e.table.Apply(points)
	return err
}

// set goes over to cfg.
func (e *entries) set(cfg *config.Config) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	e.points, e.whole = e.next(now, cfg), true
	if e.logged != nil && cfg.Mappings != nil {
		e.logged.bound(cfg.Mappings.Moves)
	}
	for _, p := range e.points {
		e.isActive(now, p, e.active[p.group])
	}
	wakeUp(e.steerC)
}

// repair puts back what others took.
func (e *entries) repair() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.whole = true
	wakeUp(e.steerC)
}

// step is called with the lock held.
func (e *entries) step(now time.Time, p *steered, in entry.Input) {
	out := p.set.Step(now, in)
	cfg := p.set.Config()
	p.dirty = p.dirty || out.Changed
	for _, n := range out.Cut {
		d := deadServer{cfg.Name, entry.AddressText(cfg.Servers[n].Address)}
		e.cuts[d] = sweeps
		e.fresh = append(e.fresh, d)
	}
	if out.Restore {
		e.restores[cfg.Name] = true
	}
	if out.Quorum {
		e.log.Warn("entry point", "entry", cfg.Name, "enough_servers", p.set.Quorate())
	}
	if out.Changed || len(out.Cut) > 0 || out.Restore {
		wakeUp(e.steerC)
	}
	_, known := e.states[in.Check]
	e.turned(p, out, in.Kind == entry.InHealth && !known)
}

// health hears what a check says.
func (e *entries) health(check string, w word) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	e.why = w.why
	for _, p := range e.points {
		e.step(now, p, entry.Input{Kind: entry.InHealth, Check: check, State: w.state, Value: w.value})
	}
	e.why = ""
	e.states[check] = w
}

// setActive hears which groups are Active here.
func (e *entries) setActive(group string, on bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	if e.logged != nil && e.active[group] != on {
		e.logged.miss() // packets go another way, or came it
	}
	e.active[group] = on
	for _, p := range e.points {
		if p.group == group {
			e.isActive(now, p, on)
		}
	}
}

// moving are the entry points, of a group or of all, whose connections outlive their servers.
func (e *entries) moving(group string) (out []entry.Point) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range e.points {
		if group == "" || p.group == group {
			if point := p.set.Point(); slices.Contains(point.Move, true) {
				out = append(out, point)
			}
		}
	}
	return out
}

// taken hears that sessions of a group are this node's now. Packets come soon, or did all along.
func (e *entries) taken(group string) {
	e.mu.Lock()
	was := e.active[group]
	e.mu.Unlock()
	if e.stands != nil && !was {
		e.stands.take(group, e.moving(group))
	}
}

// isActive is called with the lock held.
func (e *entries) isActive(now time.Time, p *steered, on bool) {
	e.step(now, p, entry.Input{Kind: entry.InActive, On: on})
	if e.warm != nil {
		e.warm.setActive(p.set.Config().Name, on)
	}
}

// drain is an operator's wish.
func (e *entries) drain(name, server string, on bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := slices.IndexFunc(e.points, func(p *steered) bool { return p.set.Config().Name == name })
	if i < 0 {
		return fmt.Errorf("there is no entry point %q", name)
	}
	cfg := e.points[i].set.Config()
	j := slices.IndexFunc(cfg.Servers, func(s entry.Server) bool { return entry.AddressText(s.Address) == server })
	if j < 0 {
		var all []string
		for _, s := range cfg.Servers {
			all = append(all, entry.AddressText(s.Address))
		}
		return fmt.Errorf("entry point %q has no server %s; it has %s", name, server, strings.Join(all, ", "))
	}
	key := drainedName(name, cfg.Servers[j])
	drained := slices.DeleteFunc(slices.Clone(e.drained), func(s string) bool { return s == key })
	if on {
		drained = append(drained, key)
	}
	if err := writeDrained(e.file, drained); err != nil {
		return err // it would be forgotten
	}
	e.drained = drained
	e.log.Info("server", "entry", name, "server", server, "drained", on)
	e.step(time.Now(), e.points[i], entry.Input{Kind: entry.InDrain, Server: cfg.Servers[j].Address, On: on})
	return nil
}

func (e *entries) run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { e.steer(ctx) })
	wg.Go(func() { e.follow(ctx) })
	wg.Go(func() { e.count(ctx) })
	wg.Go(func() { e.reach(ctx) })
	if e.moves != nil {
		wg.Go(func() { e.moves.run(ctx) })
	}
	if e.logged != nil {
		wg.Go(func() { e.logged.run(ctx) })
	}
	if e.warm != nil {
		wg.Go(func() { e.warm.run(ctx) })
	}
	if e.stands != nil {
		wg.Go(func() { e.stands.run(ctx, func() []entry.Point { return e.moving("") }) })
	}
	wg.Wait()
}

// steer is the goroutine that has new flows go where they should.
func (e *entries) steer(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := e.steerNow(time.Now())
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-e.steerC:
		case <-timer.C:
		}
	}
}

// steerNow does what there is to do, and returns when to look again without a cause.
func (e *entries) steerNow(now time.Time) time.Duration {
	e.mu.Lock()
	wait := time.Hour
	var dirty []entry.Point
	for _, p := range e.points {
		if d := p.set.Deadline(); !d.IsZero() && !d.After(now) {
			e.step(now, p, entry.Input{Kind: entry.InTick})
		}
		if d := p.set.Deadline(); !d.IsZero() {
			wait = min(wait, max(d.Sub(now), time.Millisecond))
		}
		if p.dirty {
			dirty = append(dirty, p.set.Point())
		}
		p.dirty = false
	}
	whole := e.whole
	e.whole = false
	all := pointsOf(e.points)
	fresh := e.fresh
	e.fresh = nil
	e.mu.Unlock()

	var err error
	switch {
	case whole:
		_, err = e.table.Apply(all)
	case len(dirty) > 0:
		err = e.table.Steer(dirty...)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		e.log.Error("steering new flows", "err", err)
		e.whole, e.fresh = true, append(fresh, e.fresh...)
		return steerRetry
	}
	e.ready = append(e.ready, fresh...)
	if len(e.ready)+len(e.restores) > 0 {
		wakeUp(e.followC)
	}
	return wait
}

// told passes on what checks say.
func (n *node) told(ev appliance.Event) {
	if ch, ok := ev.(appliance.CheckChanged); ok {
		n.entries.health(ch.Name, word{ch.State, ch.Value, ch.Why})
		n.saysCheck(ch)
	}
	n.runner.Post(ev)
}
