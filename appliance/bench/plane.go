package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab/pair"
	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// PlaneRun is one measurement of a program that replicates sessions.
type PlaneRun struct {
	// Made as fast as ctnetlink takes them, or packets pass, until the standby knew all.
	Rate    float64 `json:"rate"` // sessions a second
	Missing int     `json:"missing"`
	Full    Price   `json:"full"`
	// Resident memory of all processes a session, and the kernel's on each gateway.
	ActiveMemory  float64 `json:"active_memory_bytes"`
	StandbyMemory float64 `json:"standby_memory_bytes"`
	Kernel        float64 `json:"kernel_bytes"`
	// Whole lives, beside those that stay: established, three closing states, over.
	Life     Price   `json:"life"`
	LifeRate float64 `json:"life_rate"` // a second
	Disk     float64 `json:"disk_bytes"`
	Syncs    float64 `json:"syncs"` // fsync(2), a second
	// New flows of real packets, as fast as one processor forwards them, and those
	// that the standby did not get to know.
	Flood        float64 `json:"flood"`
	FloodMissing int     `json:"flood_missing"`
	// Until the answer to the first packet of a flow, in microseconds.
	FirstP50 float64 `json:"first_p50_us"`
	FirstP99 float64 `json:"first_p99_us"`
	ResyncMS float64 `json:"resync_ms"`
	// A crash while connections began and ended at the rate.
	Takeover Takeover `json:"takeover"`
	// The survivor's table: Missing are lost, Ghosts are over and it was not told yet.
	After    Truth   `json:"after"`
	WindowMS float64 `json:"window_ms"` // age of the oldest that is
}

// plan says what is measured.
type plan struct {
	sessions int
	rate     int // connections a second
	lives    int
	// livesRate is how many of them begin in a second.
	livesRate int
	flood     int // flows; 0: none
	first     int // flows whose first packet is timed; 0: none
	resync    bool
	crash     bool
	calm      time.Duration
	// unaudited: memory is measured before the standby's program has been told of what its
	// kernel saw.
	unaudited bool

	say func(string, ...any)
}

// measurePlane runs through a plan on fresh gateways.
func measurePlane(ctx context.Context, c contender, p plan) (r *PlaneRun, err error) {
	b, err := c.build(ctx, p.sessions+p.flood)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	m := &measurement{bed: b, plan: p, run: &PlaneRun{}}
	if err := b.paths(); err != nil {
		return nil, err
	}
	// A program that has just started still has things to do.
	if err := sleep(ctx, 2*p.calm); err != nil {
		return nil, err
	}
	if m.rest, err = b.idle(ctx, 2*p.calm); err != nil {
		return nil, err
	}
	for _, s := range []struct {
		what string
		on   bool
		do   func(context.Context) error
	}{
		{"filling", true, m.fill},
		{"lives", p.lives > 0, m.lives},
		{"first packets", p.first > 0, m.first},
		{"flood", p.flood > 0, m.flood},
		{"resynchronisation", p.resync, m.resync},
		{"crash", p.crash, m.crash},
	} {
		if !s.on {
			continue
		}
		if err := s.do(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w%s", s.what, err, b.net.Logs())
		}
	}
	return m.run, nil
}

type measurement struct {
	*bed
	plan plan
	rest idling
	gone int // sessions that the standby did not get to know
	run  *PlaneRun
}

// settled waits until the standby knows n sessions, or gets to know no more; missing
// is how many it does not.
func (m *measurement) settled(ctx context.Context, n int) (missing int, err error) {
	n -= m.gone
	last, since := -1, time.Now()
	err = m.wait(ctx, fmt.Sprintf("%d sessions on the standby", n), func(ctx context.Context) error {
		not := m.told(n)(ctx)
		if not == nil {
			missing = 0
			return nil
		}
		have, err := m.knows(ctx)
		if err != nil {
			return err
		}
		if have != last {
			last, since = have, time.Now()
		}
		if missing = n - have; have != n && time.Since(since) > standstill {
			return nil
		}
		return not
	})
	m.gone += missing
	return missing, err
}

// standstill is how long a number must stay the same to be taken for the last word.
const standstill = 8 * time.Second

func (m *measurement) fill(ctx context.Context) error {
	n := m.plan.sessions
	from, err := m.reckon()
	if err != nil {
		return err
	}
	if err := m.begin(0, n); err != nil {
		return err
	}
	if m.run.Missing, err = m.settled(ctx, n); err != nil {
		return err
	}
	to, err := m.reckon()
	if err != nil {
		return err
	}
	m.run.Rate = round(float64(n) / to.at.Sub(from.at).Seconds())
	m.run.Full = price(from, to, m.rest, n)
	if err := m.audited(ctx, n); err != nil {
		return err
	}
	if err := sleep(ctx, 2*m.plan.calm); err != nil {
		return err
	}
	if to, err = m.reckon(); err != nil {
		return err
	}
	each := func(v int64) float64 { return round(float64(v) / float64(n)) }
	m.run.ActiveMemory, m.run.StandbyMemory = each(to.mem[0]-from.mem[0]), each(to.mem[1]-from.mem[1])
	m.run.Kernel = each((to.slab - from.slab) / 2)
	m.plan.say("  %d sessions at %.0f a second: %.2f and %.2f us, %.0f bytes on the link each; memory %.0f and %.0f bytes",
		n, m.run.Rate, m.run.Full.ActiveUS, m.run.Full.StandbyUS, m.run.Full.Link, m.run.ActiveMemory, m.run.StandbyMemory)
	return nil
}

// audited waits until the standby's program has been told of n sessions, where it is told of
// those only that are there when it compares tables: each minute. It is asked seldom, for
// an answer costs the memory that is to be measured.
func (m *measurement) audited(ctx context.Context, n int) error {
	if !m.copies || m.plan.unaudited {
		return nil
	}
	for until := time.Now().Add(bedPatience); ; {
		if err := sleep(ctx, 20*time.Second); err != nil {
			return err
		}
		s, err := m.standby.Status(ctx)
		switch {
		case err != nil:
			return err
		case s.Sessions != nil && s.Sessions.Foreign >= n:
			return nil
		case time.Now().After(until):
			return fmt.Errorf("no audit has told the standby of %d sessions: %+v", n, s.Sessions)
		}
	}
}

func (m *measurement) lives(ctx context.Context) error {
	n, rate := m.plan.lives, m.plan.livesRate
	l, err := m.livesOf(m.plan.sessions, rate, n)
	if err != nil {
		return err
	}
	defer l.close()
	disk, err := m.disk()
	if err != nil {
		return err
	}
	// What it uses idle with all of the sessions is another thing than without.
	if m.rest, err = m.idle(ctx, 2*m.plan.calm); err != nil {
		return err
	}
	from, err := m.reckon()
	if err != nil {
		return err
	}
	if err := l.run(ctx, func() bool { return false }); err != nil {
		return err
	}
	took := time.Since(from.at)
	if _, err := m.settled(ctx, m.plan.sessions); err != nil {
		return err
	}
	to, err := m.reckon()
	if err != nil {
		return err
	}
	now, err := m.disk()
	m.run.LifeRate = round(float64(n) / (took - atEnd*livesTick).Seconds())
	m.run.Life = price(from, to, m.rest, n)
	m.run.Disk, m.run.Syncs = round(float64(now.bytes-disk.bytes)/float64(n)), round(float64(now.syncs-disk.syncs)/to.at.Sub(from.at).Seconds())
	m.plan.say("  %d lives at %.0f a second: %.2f and %.2f us, %.1f bytes on the link each", n, m.run.LifeRate, m.run.Life.ActiveUS, m.run.Life.StandbyUS, m.run.Life.Link)
	return err
}

// flood sends real packets, and takes the flows away again.
func (m *measurement) flood(ctx context.Context) error {
	n := m.plan.flood
	p, err := m.packets(0, n)
	if err != nil {
		return err
	}
	defer p.close()
	before, err := tracked(m.active)
	if err != nil {
		return err
	}
	took, err := p.send(n)
	if err != nil {
		return err
	}
	after, err := tracked(m.active)
	if err != nil {
		return err
	}
	m.run.Flood = round(float64(n) / took.Seconds())
	if m.run.FloodMissing = n - (after - before); m.run.FloodMissing > n/100 {
		return fmt.Errorf("%d of %d flows are not in the active gateway's table", m.run.FloodMissing, n)
	}
	if _, err := m.settled(ctx, m.plan.sessions+n); err != nil {
		return err
	}
	m.plan.say("  %.0f new flows a second of real packets", m.run.Flood)
	return m.unflood(ctx, n)
}

// unflood has gateways forget the flood's flows.
func (m *measurement) unflood(ctx context.Context, n int) error {
	keys := make([]session.Key, n)
	for i := range keys {
		keys[i] = floodKey(i)
	}
	if err := m.forget(keys); err != nil {
		return err
	}
	_, err := m.settled(ctx, m.plan.sessions)
	return err
}

// first times the first packet of new flows and its answer, at a thousand a second,
// from inside by a translation to outside.
func (m *measurement) first(ctx context.Context) error {
	f := newFar()
	defer f.stop()
	at := netip.AddrPortFrom(pair.Outside, matrixUDP)
	if err := f.hear(m.net.Outside, at); err != nil {
		return err
	}
	s := startStorm([]stormLane{{m.net.Inside, []caller{{"udp", pair.InsideHost, at, unix.IPPROTO_UDP}}, 1000}})
	err := waitUntil(ctx, bedPatience, "new flows", func(context.Context) error {
		if n := s.made(); n < m.plan.first {
			return fmt.Errorf("%d of %d", n, m.plan.first)
		}
		return nil
	})
	calls := s.end()
	var took []float64
	for _, k := range calls {
		took = append(took, float64(k.took)/1e3)
		k.close()
	}
	if err != nil {
		return fmt.Errorf("%w (%d failed: %v)", err, s.failed, errors.Join(s.errs...))
	}
	m.run.FirstP50, m.run.FirstP99 = quantile(took, 0.5), quantile(took, 0.99)
	m.plan.say("  first packet of a flow and its answer: %.0f us, 99 %% within %.0f", m.run.FirstP50, m.run.FirstP99)
	keys := make([]session.Key, len(calls))
	for i, k := range calls {
		keys[i] = k.key
	}
	if err := m.forget(keys); err != nil {
		return err
	}
	_, err = m.settled(ctx, m.plan.sessions)
	return err
}

func (m *measurement) resync(ctx context.Context) error {
	took, err := m.plane.resync(ctx, m.plan.sessions)
	m.run.ResyncMS = ms(took)
	m.plan.say("  %d sessions on a standby that knew none after %.0f ms", m.plan.sessions, m.run.ResyncMS)
	return err
}

// crash cuts the power while connections come and go, and compares the tables.
func (m *measurement) crash(ctx context.Context) error {
	l, err := m.livesOf(m.plan.sessions+m.plan.lives, m.plan.rate, 10*m.plan.rate)
	if err != nil {
		return err
	}
	defer l.close()
	bound, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := make(chan struct{})
	ran := make(chan error, 1)
	go func() {
		ran <- l.run(bound, func() bool {
			select {
			case <-stop:
				return true
			default:
				return false
			}
		})
	}()
	if err := sleep(ctx, m.plan.calm); err != nil {
		return errors.Join(err, <-ran)
	}
	var at time.Time
	m.run.Takeover, err = m.takeover(ctx, func() { at = time.Now(); close(stop) })
	cancel()
	if e := <-ran; err == nil && !errors.Is(e, context.Canceled) {
		err = e
	}
	if err != nil {
		return err
	}
	// The dead gateway's kernel still knows what it had.
	active, err := entries(m.active)
	if err != nil {
		return err
	}
	standby, err := entries(m.standby)
	if err != nil {
		return err
	}
	for k, born := range l.born() {
		if born.After(at) {
			delete(active, k)
			continue
		}
		if r, ok := active[k]; ok && r.Replicable() {
			if _, ok := standby[k]; !ok {
				m.run.WindowMS = max(m.run.WindowMS, ms(at.Sub(born)))
			}
		}
	}
	m.run.After = truth(active, standby)
	m.plan.say("  takeover in %.2f ms, %d installed; of %d sessions %d lost, the oldest %.1f ms old; %d ghosts, %d wrong",
		m.run.Takeover.MS, m.run.Takeover.Installed, m.run.After.Sessions, m.run.After.Missing, m.run.WindowMS, m.run.After.Ghosts, m.run.After.Wrong)
	return nil
}

// written is what the active gateway's program has put on a disk.
type written struct{ bytes, syncs int64 }

// disk asks for it: by what the program says of its journal, where it keeps one.
func (m *measurement) disk() (w written, err error) {
	p, ok := m.plane.(*oursPlane)
	if !ok || p.off {
		return w, nil
	}
	s, err := m.active.Status(context.Background())
	if err != nil || s.Sessions == nil || s.Sessions.Journal == nil {
		return w, err
	}
	return written{s.Sessions.Journal.Bytes, int64(s.Sessions.Journal.Fsyncs)}, nil
}

// quantile is the value that a share of all is not above.
func quantile(v []float64, share float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := sorted(v)
	return round(s[min(len(s)-1, int(math.Ceil(share*float64(len(s))))-1)])
}

// KernelLimits is what this kernel alone takes, for as many sessions, on a gateway
// of its own.
type KernelLimits struct {
	InsertMS float64 `json:"insert_ms"`
	DumpMS   float64 `json:"dump_ms"`
}

// kernelLimits inserts n sessions into a table and reads it, with nobody listening on
// that gateway.
//
// Somebody listens on the other one. The kernel makes the message of an event if anyone
// at all wants some, in whichever namespace (netlink_has_listeners): here that is the
// active gateway, and a standby pays for it with each session that it inserts. On
// machines of their own it does not.
func kernelLimits(ctx context.Context, n int) (l KernelLimits, err error) {
	p, err := pair.New(pair.Options{NoSessions: true})
	if err != nil {
		return l, err
	}
	g, other := p.Gateways[0], p.Gateways[1]
	b := &bed{net: p, active: g}
	defer func() { err = errors.Join(err, g.FlushConntrack(), p.Close()) }()
	var listener *conntrack.Listener
	if err := other.Do(func() (err error) {
		listener, err = conntrack.OpenListener(conntrack.ListenerConfig{})
		return err
	}); err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, listener.Close()) }()
	if err := listener.Join(conntrack.GroupNew, conntrack.GroupUpdate); err != nil {
		return l, err
	}
	began := time.Now()
	if err := b.begin(0, n); err != nil {
		return l, err
	}
	l.InsertMS = ms(time.Since(began))
	err = g.Do(func() error {
		k, err := conntrack.OpenKernel()
		if err != nil {
			return err
		}
		defer k.Close()
		began = time.Now()
		err = k.Dump(conntrack.Filter{}, func(*conntrack.Event) {})
		l.DumpMS = ms(time.Since(began))
		return err
	})
	return l, err
}
