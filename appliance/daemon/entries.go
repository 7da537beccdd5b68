package daemon

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"understudy/appliance"
	"understudy/appliance/config"
	"understudy/health"
	"understudy/nat/entry"
	"understudy/nat/entry/entrynet"
	"understudy/nat/entry/entrynet/splicenet"
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
	table entryTable
	open  func() (entryFlows, error)
	moves *moves // nil: connections are not moved
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
}

// word is what a check said last.
type word struct {
	state health.State
	value int
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
	for _, p := range e.points {
		e.step(now, p, entry.Input{Kind: entry.InActive, On: e.active[p.group]})
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
	for _, p := range e.points {
		e.step(now, p, entry.Input{Kind: entry.InHealth, Check: check, State: w.state, Value: w.value})
	}
	e.states[check] = w
}

// setActive hears which groups are Active here.
func (e *entries) setActive(group string, on bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	e.active[group] = on
	for _, p := range e.points {
		if p.group == group {
			e.step(now, p, entry.Input{Kind: entry.InActive, On: on})
		}
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

// follow is the goroutine that ends flows, and learns from them.
func (e *entries) follow(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var flows entryFlows
	defer func() {
		if flows != nil {
			flows.Close()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.followC:
		case <-timer.C:
			e.mu.Lock()
			e.ready, e.later = append(e.ready, e.later...), nil
			e.mu.Unlock()
		}
		if flows == nil {
			var err error
			if flows, err = e.open(); err != nil {
				e.log.Error("flows of entry points", "err", err)
				timer.Reset(sweepPause)
				continue
			}
		}
		if e.followNow(flows) {
			timer.Reset(sweepPause)
		}
	}
}

// followNow does what there is to do, and tells whether there is more to do later.
func (e *entries) followNow(flows entryFlows) (again bool) {
	e.mu.Lock()
	points := pointsOf(e.points)
	var dead []entrynet.Server
	var names []string
	slices.SortFunc(e.ready, func(a, b deadServer) int {
		return cmp.Or(cmp.Compare(a.entry, b.entry), cmp.Compare(a.server, b.server))
	})
	for _, d := range slices.Compact(e.ready) {
		i := slices.IndexFunc(e.points, func(p *steered) bool { return p.set.Config().Name == d.entry })
		n := -1
		if i >= 0 && e.points[i].set.Active() {
			n = slices.IndexFunc(e.points[i].set.States(), func(s entry.ServerState) bool {
				return entry.AddressText(s.Address) == d.server && s.State == health.Down
			})
		}
		if n < 0 {
			delete(e.cuts, d) // it has come back, or has nothing to do with us any more
			continue
		}
		dead, names = append(dead, entrynet.Server{Point: i, Number: n}), append(names, d.entry+" "+d.server)
	}
	e.ready = nil
	woken := e.woken
	e.woken = nil
	restores := e.restores
	e.restores = map[string]bool{}
	e.mu.Unlock()

	if _, err := flows.Wake(woken); err != nil {
		e.log.Debug("waking clients once more", "err", err)
	}
	if len(dead) > 0 {
		began := time.Now()
		var marked []entrynet.Flow
		out, err := flows.Cut(points, dead, func(list []entrynet.Flow) error {
			marked = append(marked, list...)
			return e.mark(list)
		})
		if err != nil {
			e.log.Error("cutting the flows of servers that have died", "servers", names, "err", err)
		}
		if out.Deleted > 0 {
			e.log.Info("flows cut", "servers", names, "flows", out.Deleted, "clients_woken", out.Woken, "took", time.Since(began))
		}
		e.mu.Lock()
		for _, name := range names {
			d := deadServer{}
			d.entry, d.server, _ = strings.Cut(name, " ")
			if e.cuts[d]--; err == nil && e.cuts[d] <= 0 {
				delete(e.cuts, d)
				continue
			}
			e.cuts[d], again = max(1, e.cuts[d]), true
			e.later, e.woken = append(e.later, d), marked
		}
		e.mu.Unlock()
	}
	if len(restores) > 0 {
		e.restore(flows, points, restores)
	}
	return again
}

func (e *entries) mark(list []entrynet.Flow) error {
	out := make([]nft.CutFlow, len(list))
	for i, f := range list {
		out[i] = nft.CutFlow{Client: f.Client, To: f.To, Proto: uint8(f.Proto)}
	}
	return e.table.Cut(out)
}

// restore has the kernel remember where clients go, by the flows that they have.
func (e *entries) restore(flows entryFlows, points []entry.Point, names map[string]bool) {
	points = slices.DeleteFunc(slices.Clone(points), func(p entry.Point) bool { return !names[p.Name] })
	clients, err := flows.Clients(points)
	if err != nil {
		e.log.Error("where clients of entry points go", "err", err)
		return
	}
	for i, p := range points {
		list := make([]nft.Remembered, len(clients[i]))
		for j, c := range clients[i] {
			list[j] = nft.Remembered{Client: c.Address, Server: c.Server}
		}
		if err := e.table.Remember(p.Name, list); err != nil {
			e.log.Error("where clients of entry points go", "err", err)
		}
	}
}

// count is the goroutine that counts connections.
func (e *entries) count(ctx context.Context) {
	var flows entryFlows
	defer func() {
		if flows != nil {
			flows.Close()
		}
	}()
	for wait := countPeriod; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = countPeriod
		if !e.counted() {
			continue
		}
		if flows == nil {
			var err error
			if flows, err = e.open(); err != nil {
				e.log.Error("counting connections", "err", err)
				continue
			}
		}
		began := time.Now()
		if err := e.countNow(flows); err != nil {
			e.log.Error("counting connections", "err", err)
		}
		wait = max(countPeriod, countShare*time.Since(began))
	}
}

// counted tells whether anybody goes by the number of connections.
func (e *entries) counted() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.ContainsFunc(e.points, func(p *steered) bool { c := p.set.Config(); return c.Counted() })
}

func (e *entries) countNow(flows entryFlows) error {
	e.mu.Lock()
	of, points := e.points, pointsOf(e.points)
	e.mu.Unlock()
	began := time.Now()
	counts, err := flows.Count(points)
	if err != nil {
		return err
	}
	counters, err := e.table.Counters()
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	e.took = now.Sub(began)
	if !slices.Equal(of, e.points) {
		return nil // a reload came between
	}
	for i, p := range e.points {
		total := counters.New[points[i].Name]
		fresh := 0
		if total >= p.seen {
			fresh = int(total - p.seen)
		}
		p.seen = total
		e.step(now, p, entry.Input{Kind: entry.InCounts, Counts: counts[i], New: fresh})
	}
	return nil
}

// status is the part of `status` that tells of entry points.
func (e *entries) status() []appliance.EntryStatus {
	counters, err := e.table.Counters()
	if err != nil {
		e.log.Debug("reading counters of entry points", "err", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]appliance.EntryStatus, 0, len(e.points))
	for _, p := range e.points {
		cfg := p.set.Config()
		s := appliance.EntryStatus{Name: cfg.Name, Address: cfg.Match.String(), Steer: string(cfg.Steer), Forward: forwardWord(cfg), OnFailure: string(cfg.OnFailure),
			Group: p.group, Enough: p.set.Quorate(), NewFlows: counters.New[cfg.Name], Servers: []appliance.ServerStatus{}}
		if point := p.set.Point(); !point.Serves() {
			s.Enough = false
		}
		if e.moves != nil {
			s.Moved, s.NotMoved = e.moves.counted(cfg.Name)
		}
		for _, v := range p.set.States() {
			one := appliance.ServerStatus{Address: entry.AddressText(v.Address), State: v.State.String(), Weight: v.Weight, Check: v.Check,
				Drained: v.Drained, Full: v.Full, Unreachable: v.Unreachable, Share: float64(v.Share) / 1000, Spare: v.Spare}
			if v.Check == "" {
				one.State = health.Up.String()
			}
			if cfg.Counted() && !v.Spare {
				n := v.Connections
				one.Connections = &n
			}
			s.Servers = append(s.Servers, one)
		}
		out = append(out, s)
	}
	return out
}

// lacking says which entry points have not enough servers.
func (e *entries) lacking() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []string
	for _, p := range e.points {
		switch {
		case !p.set.Point().Serves():
			out = append(out, p.set.Config().Name+": no server")
		case !p.set.Quorate():
			out = append(out, p.set.Config().Name+": less than the quorum")
		}
	}
	return strings.Join(out, "; ")
}

// openEntries has the kernel steer from the start: behind shut gates.
func (n *node) openEntries(cfg *config.Config, dir string) (err error) {
	if n.entryTable, err = nft.OpenEntries(nft.Config{}); err != nil {
		return err
	}
	n.undo = append(n.undo, n.entryTable.Close)
	if n.entryWatch, err = nft.OpenEntryWatcher(nft.Config{}); err != nil {
		return err
	}
	n.undo = append(n.undo, n.entryWatch.Close)
	if n.direct, err = nft.OpenDirect(nft.Config{}); err != nil {
		return err
	}
	n.undo = append(n.undo, n.direct.Close)
	if n.directSeen, err = nft.OpenDirectWatcher(nft.Config{}); err != nil {
		return err
	}
	n.undo = append(n.undo, n.directSeen.Close)
	direct := openDirectly(n.direct)
	table, err := nft.OpenMoves(nft.Config{})
	if err != nil {
		return err
	}
	n.undo = append(n.undo, table.Close)
	moves := newMoves(table, n.log)
	open := func() (entryFlows, error) {
		flows, err := entrynet.Open()
		if err != nil {
			return nil, err
		}
		mover := func() (connectionMover, error) { return splicenet.Open(table, moves) }
		return &bothFlows{entryFlows: &movingFlows{assignedFlows: flows, moves: moves, open: mover}, direct: direct}, nil
	}
	n.entries = newEntries(movingTables{bothTables{n.entryTable, direct}, moves}, open, filepath.Join(dir, drainedFile), n.log)
	n.entries.moves = moves
	if err := n.entries.prepare(cfg); err != nil {
		return err
	}
	n.entries.set(cfg)
	return nil
}

// DrainServer has a server of an entry point get no new flows, or again.
func (n *node) DrainServer(_ context.Context, name, server string, drained bool) error {
	return n.entries.drain(name, server, drained)
}

// told passes on what checks say.
func (n *node) told(ev appliance.Event) {
	if ch, ok := ev.(appliance.CheckChanged); ok {
		n.entries.health(ch.Name, word{ch.State, ch.Value})
		n.saysCheck(ch)
	}
	n.runner.Post(ev)
}
