package ranet

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"understudy/garp"
	"understudy/garp/ra"
)

// Router is a virtual router that advertises.
type Router struct {
	Name, Group string
	Interface   string     // the segment's
	Source      netip.Addr // its link-local address
	MAC         garp.MAC   // zero: the interface's own
	Params      ra.Params
}

// Config is what a Speaker needs.
type Config struct {
	// Active is asked before each advertisement. It must be quick.
	Active func(group string) bool
	Dice   ra.Dice // nil: seeded by the runtime
	Logger *slog.Logger
}

// Speaker advertises for all virtual routers of a box.
type Speaker struct {
	cfg Config
	// workC holds 64 orders, each a change of configuration or of a group's state:
	// it fills only if sending hangs, and then the order has to wait.
	workC chan func(now time.Time)
	// askedC holds 16 names of interfaces on which somebody asks. One that does not
	// fit has been asked for already, or its host asks again after 4 s.
	askedC chan string
	done   chan struct{}

	routers []*speech
	active  map[string]bool
	ports   map[string]wire
	open    func(name string, asked chan<- string) (wire, error)

	mu    sync.Mutex
	stats map[string]Stats
}

// Stats counts a router's advertisements.
type Stats struct {
	Sent, Final, Failed uint64
	Solicited           uint64 // solicitations heard while Active
	LastError           string
}

// speech is one router's schedule.
type speech struct {
	Router
	schedule *ra.Schedule
	stats    Stats
	ending   bool // it is no longer in the configuration: for good
}

// New returns a Speaker that says nothing; see Run.
func New(cfg Config) *Speaker {
	if cfg.Dice == nil {
		cfg.Dice = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Speaker{cfg: cfg, workC: make(chan func(time.Time), 64), askedC: make(chan string, 16), done: make(chan struct{}),
		active: make(map[string]bool), ports: make(map[string]wire), open: openPort, stats: make(map[string]Stats)}
}

// Configure tells which routers there are. One that stays and says something else
// says so at once; one that stays Active here, but not in this list, ceases to be
// a router if known says that it exists without advertisements, and is silent
// otherwise: others speak for it.
func (s *Speaker) Configure(routers []Router, known func(name string) bool) {
	s.order(func(now time.Time) { s.configure(now, routers, known) })
}

// Start lets the routers of a group speak: they are Active, address and MAC are in
// place.
func (s *Speaker) Start(group string) {
	s.order(func(now time.Time) { s.setActive(now, group, true) })
}

// Stop silences them.
func (s *Speaker) Stop(group string) {
	s.order(func(now time.Time) { s.setActive(now, group, false) })
}

func (s *Speaker) order(do func(time.Time)) {
	select {
	case s.workC <- do:
	case <-s.done:
	}
}

// Stats returns the counters by router.
func (s *Speaker) Stats() map[string]Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]Stats, len(s.stats))
	for k, v := range s.stats {
		out[k] = v
	}
	return out
}

// Run speaks until ctx ends. It is called once.
func (s *Speaker) Run(ctx context.Context) {
	defer func() {
		close(s.done)
		for _, p := range s.ports {
			p.close()
		}
	}()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := time.Hour
		for _, r := range s.routers {
			if d := r.schedule.Deadline(); !d.IsZero() {
				wait = min(wait, max(0, time.Until(d)))
			}
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case do := <-s.workC:
			do(time.Now())
		case name := <-s.askedC:
			s.solicited(time.Now(), name)
		case <-timer.C:
		}
		now := time.Now()
		for _, r := range s.routers {
			s.step(now, r, ra.Tick)
		}
		s.tidy()
	}
}

func (s *Speaker) configure(now time.Time, routers []Router, known func(string) bool) {
	var next []*speech
	for _, r := range routers {
		old := s.find(r.Name)
		switch {
		case old == nil || old.Interface != r.Interface || old.Source != r.Source:
			sp := &speech{Router: r, schedule: ra.NewSchedule(r.Params.Interval, s.cfg.Dice)}
			if next = append(next, sp); s.active[r.Group] {
				s.step(now, sp, ra.Start)
			}
		default:
			changed := !old.Params.Same(&r.Params) || old.MAC != r.MAC
			old.Router, old.ending = r, false
			next = append(next, old)
			old.schedule.Configure(r.Params.Interval)
			if s.active[r.Group] {
				s.step(now, old, ra.Start) // it may have been ceasing
			} else {
				s.step(now, old, ra.Stop)
			}
			if changed {
				s.step(now, old, ra.Change)
			}
		}
	}
	for _, old := range s.routers {
		gone := true
		for _, r := range next {
			gone = gone && r.Name != old.Name
		}
		if gone && known(old.Name) && s.active[old.Group] {
			old.ending = true
			s.step(now, old, ra.Cease)
			next = append(next, old)
		}
	}
	s.routers = next
}

func (s *Speaker) find(name string) *speech {
	for _, r := range s.routers {
		if r.Name == name {
			return r
		}
	}
	return nil
}

func (s *Speaker) setActive(now time.Time, group string, on bool) {
	s.active[group] = on
	for _, r := range s.routers {
		switch {
		case r.Group != group:
		case !on:
			s.step(now, r, ra.Stop)
		case !r.ending:
			s.step(now, r, ra.Start)
		}
	}
}

// solicited answers for every router of the interface that is Active.
func (s *Speaker) solicited(now time.Time, iface string) {
	for _, r := range s.routers {
		if r.Interface == iface && s.active[r.Group] {
			r.stats.Solicited++
			s.step(now, r, ra.Solicit)
			s.publish(r)
		}
	}
}

func (s *Speaker) step(now time.Time, r *speech, in ra.Input) {
	out := r.schedule.Step(now, in)
	if out.Send && s.cfg.Active(r.Group) { // else a Stop is on its way
		s.say(r, out.Final)
	}
	if in == ra.Start {
		s.listen(r.Interface)
	}
}

// say sends one advertisement. An error is one of the interface, mostly: the next
// advertisement tries again.
func (s *Speaker) say(r *speech, final bool) {
	err := s.try(r, final)
	switch {
	case err != nil:
		if r.stats.Failed++; r.stats.LastError != err.Error() {
			s.cfg.Logger.Warn("router advertisement", "router", r.Name, "iface", r.Interface, "err", err)
		}
		r.stats.LastError = err.Error()
		s.drop(r.Interface)
	case final:
		r.stats.Final++
		fallthrough
	default:
		r.stats.Sent++
		r.stats.LastError = ""
	}
	s.publish(r)
}

func (s *Speaker) try(r *speech, final bool) error {
	p, err := s.port(r.Interface)
	if err != nil {
		return err
	}
	mac := r.MAC
	if mac.IsZero() {
		mac = p.mac()
	}
	frame, err := Frame(&r.Params, r.Source, mac, final)
	if err != nil {
		return err
	}
	return p.send(frame)
}

func (s *Speaker) publish(r *speech) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats[r.Name] = r.stats
}

// port returns the interface's port, opened anew if the interface is another one
// now.
func (s *Speaker) port(name string) (wire, error) {
	if p := s.ports[name]; p != nil {
		if p.current() {
			return p, nil
		}
		s.drop(name)
	}
	p, err := s.open(name, s.askedC)
	if err == nil {
		s.ports[name] = p
	}
	return p, err
}

// listen opens the interface, for those who ask before we speak.
func (s *Speaker) listen(name string) {
	if _, err := s.port(name); err != nil {
		s.cfg.Logger.Warn("router solicitations are not heard", "iface", name, "err", err)
	}
}

func (s *Speaker) drop(name string) {
	if p := s.ports[name]; p != nil {
		p.close()
		delete(s.ports, name)
	}
}

// tidy forgets routers that have ended and closes what nobody needs.
func (s *Speaker) tidy() {
	kept := s.routers[:0]
	needed := make(map[string]bool)
	for _, r := range s.routers {
		if r.ending && r.schedule.Deadline().IsZero() {
			continue
		}
		kept = append(kept, r)
		needed[r.Interface] = needed[r.Interface] || s.active[r.Group]
	}
	clear(s.routers[len(kept):])
	s.routers = kept
	for name := range s.ports {
		if !needed[name] {
			s.drop(name)
		}
	}
}
