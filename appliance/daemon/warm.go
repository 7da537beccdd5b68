package daemon

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"understudy/appliance"
	"understudy/nat"
	"understudy/nat/entry"
	"understudy/nat/entry/entrynet/splicenet"
	"understudy/nat/splice"
)

// Connections that are replayed all along, beside their server, so that there is nothing left to be
// said when it dies.

// warm is what does so, from when an entry point wants it.
type warm struct {
	open func() (*splicenet.Shadows, error)
	log  *slog.Logger
	need chan struct{} // holds one: there is something to replay

	shadows atomic.Pointer[splicenet.Shadows] // nil: it is not open. The log asks for it, and waits for nothing.

	mu     sync.Mutex
	wanted []entry.Point
	active map[string]bool // by name of the entry point: packets come this way
}

func newWarm(open func() (*splicenet.Shadows, error), log *slog.Logger) *warm {
	return &warm{open: open, log: log, need: make(chan struct{}, 1), active: map[string]bool{}}
}

// apply has connections of these entry points be replayed all along, where they want it, and no
// others.
func (w *warm) apply(points []entry.Point) {
	var wanted []entry.Point
	for _, p := range points {
		if p.How == entry.Warm && slices.Contains(p.Move, true) {
			wanted = append(wanted, p)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wanted = wanted
	w.serve()
	if len(wanted) > 0 {
		wakeUp(w.need)
	}
}

// steer has the servers of some of them be others.
func (w *warm) steer(points []entry.Point) {
	w.mu.Lock()
	defer w.mu.Unlock()
	wanted := slices.Clone(w.wanted)
	for _, p := range points {
		if i := slices.IndexFunc(wanted, func(o entry.Point) bool { return o.Name == p.Name }); i >= 0 {
			wanted[i] = p
		}
	}
	w.wanted = wanted
	w.serve()
}

// setActive tells whether packets of an entry point come this way. Nothing is replayed elsewhere: the
// other server's answers would not come here.
func (w *warm) setActive(name string, on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.active[name] != on {
		w.active[name] = on
		w.serve()
	}
}

// serve is called with the lock held.
func (w *warm) serve() {
	s := w.shadows.Load()
	if s == nil {
		return
	}
	s.Serve(warmHeirs(w.here()))
}

// here are the entry points whose packets come this way.
func (w *warm) here() (out []entry.Point) {
	for _, p := range w.wanted {
		if w.active[p.Name] {
			out = append(out, p)
		}
	}
	return out
}

// warmHeirs tells where connections of entry points can go on: at each server that could get new flows,
// which take turns unless one gets them all; then in the order in which they would get them.
func warmHeirs(points []entry.Point) splicenet.Heirs {
	turn := 0 // it is called by one at a time
	return func(called, server netip.AddrPort) (to []netip.AddrPort, wanted bool) {
		for _, p := range points {
			if i := slices.Index(p.Servers, server); i < 0 || !p.Move[i] || !p.Match.Takes(nat.TCP, called) {
				continue
			}
			for n, live := range p.Table.Live {
				if a := p.Servers[n]; live && a != server {
					to = append(to, a)
				}
			}
			if turn++; len(to) > 0 && len(p.Table.Slots) > 1 {
				k := turn % len(to)
				to = append(to[k:len(to):len(to)], to[:k]...)
			}
			return to, true
		}
		return nil, false
	}
}

// run replays, from when there is something to.
func (w *warm) run(ctx context.Context) {
	whenNeeded(ctx, w.need, w.replay, func(err error) { w.log.Error("replaying connections all along", "err", err) })
}

func (w *warm) replay(ctx context.Context) error {
	s, err := w.open()
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.shadows.Store(s)
	w.serve()
	w.mu.Unlock()
	err = s.Run(ctx)
	w.shadows.Store(nil)
	if also := s.Close(); also != nil {
		w.log.Debug("closing what is replayed all along", "err", also)
	}
	return err
}

// heard is told of what is logged.
func (w *warm) heard(p splice.Packet) {
	if s := w.shadows.Load(); s != nil {
		s.Heard(p)
	}
}

// partner is where a connection is replayed all along, if it is.
func (w *warm) partner(of splice.Ends) (netip.AddrPort, bool) {
	if s := w.shadows.Load(); s != nil {
		return s.Partner(of)
	}
	return netip.AddrPort{}, false
}

// status is how it is; nil: nothing is to be replayed.
func (w *warm) status() *appliance.ShadowStatus {
	w.mu.Lock()
	n := len(w.wanted)
	w.mu.Unlock()
	s := w.shadows.Load()
	if s == nil || n == 0 {
		return nil
	}
	st := s.Status()
	out := &appliance.ShadowStatus{Connections: st.Connections, Begun: st.Begun, Dropped: map[string]uint64{}, Without: map[string]int{}}
	for why, n := range st.Dropped {
		out.Dropped[why.String()] = n
	}
	for why, n := range st.Without {
		out.Without[why.String()] = n
	}
	return out
}

// logStatus is how the log is, with what is replayed all along; nil: nothing is logged.
func (e *entries) logStatus() *appliance.LogStatus {
	out := e.logged.status()
	if out != nil {
		out.Shadows = e.warm.status()
	}
	return out
}

// warmMover has connections that are replayed all along go on from where that is.
type warmMover struct {
	*splicenet.Mover
	warm *warm
}

func (m warmMover) Move(jobs []splicenet.Job, refused func(jobs []int)) ([]splicenet.Outcome, error) {
	m.Use(m.warm.shadows.Load())
	return m.Mover.Move(jobs, refused)
}
