package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"understudy/appliance/lab/pair"
	"understudy/nat/session"
)

// Node is the cost of sessions to the daemon of one gateway.
type Node struct {
	Memory float64 `json:"memory_bytes"` // resident, a session
	// Microseconds of processor time a connection: for one that is established
	// and stays, all of them at once; and for one that is established, goes
	// through three closing states and is over, 2000 at a time.
	Established float64 `json:"established_us"`
	Whole       float64 `json:"whole_us"`
	Idle        float64 `json:"idle_percent"` // of a processor, without sessions
}

// Size is one measurement.
type Size struct {
	Sessions int  `json:"sessions"`
	Active   Node `json:"active"`
	Standby  Node `json:"standby"`
	// Rate is established sessions a second until the standby's kernel has all,
	// the making of them included.
	Rate float64 `json:"rate"`
	// Kernel is the growth of the machine's slab memory a connection table entry
	// (there is one on each gateway), in bytes.
	Kernel float64 `json:"kernel_bytes"`
}

func (s *Size) String() string {
	return fmt.Sprintf("%d sessions: %.0f and %.0f B each on the active and the standby; %.2f and %.2f us to replicate one, %.2f and %.2f over its life; %.0f a second",
		s.Sessions, s.Active.Memory, s.Standby.Memory, s.Active.Established, s.Standby.Established, s.Active.Whole, s.Standby.Whole, s.Rate)
}

// SizeSummary is the essence of several.
type SizeSummary struct {
	Sessions int         `json:"sessions"`
	Whole    int         `json:"whole_sessions"`
	Active   NodeSummary `json:"active"`
	Standby  NodeSummary `json:"standby"`
	Rate     Summary     `json:"rate"`
	Kernel   Summary     `json:"kernel_bytes"`
	// Object is the kernel's connection object alone, without its extensions; 0
	// if unknown.
	Object int64 `json:"kernel_object_bytes"`
}

// NodeSummary is [Node], summarized.
type NodeSummary struct {
	Memory      Summary `json:"memory_bytes"`
	Established Summary `json:"established_us"`
	Whole       Summary `json:"whole_us"`
	Idle        Summary `json:"idle_percent"`
}

func sumSizes(all []Size) *SizeSummary {
	node := func(of func(Size) Node) NodeSummary {
		return NodeSummary{
			Memory:      collect(all, func(s Size) float64 { return of(s).Memory }),
			Established: collect(all, func(s Size) float64 { return of(s).Established }),
			Whole:       collect(all, func(s Size) float64 { return of(s).Whole }),
			Idle:        collect(all, func(s Size) float64 { return of(s).Idle }),
		}
	}
	sum := &SizeSummary{
		Sessions: all[0].Sessions, Whole: wholeRounds * wholeEach,
		Active:  node(func(s Size) Node { return s.Active }),
		Standby: node(func(s Size) Node { return s.Standby }),
		Rate:    collect(all, func(s Size) float64 { return s.Rate }),
		Kernel:  collect(all, func(s Size) float64 { return s.Kernel }),
	}
	if b, err := os.ReadFile("/proc/slabinfo"); err == nil {
		sum.Object = slabObject(b, "nf_conntrack")
	}
	return sum
}

// Whole lives are measured in rounds.
const (
	wholeRounds = 10
	wholeEach   = 2000
)

// meter reads what the daemons of a duo use.
type meter struct {
	duo  *duo
	pids [2]int
	idle [2]float64 // processors, as a fraction of one
}

func newMeter(d *duo) (*meter, error) {
	m := &meter{duo: d}
	for i, g := range []*pair.Gateway{d.active, d.standby} {
		var err error
		if m.pids[i], err = daemonOf(g); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// reading is the state at one moment, active gateway first.
type reading struct {
	at time.Time
	of [2]usage
}

func (m *meter) read() (r reading, err error) {
	r.at = time.Now()
	for i, pid := range m.pids {
		var e error
		r.of[i], e = used(pid)
		err = errors.Join(err, e)
	}
	return r, err
}

// since returns the processor time of node i since r, in microseconds for each of
// n, less what it would have used idle.
func (m *meter) since(r, now reading, i, n int) float64 {
	used := now.of[i].sub(r.of[i]).CPU - time.Duration(m.idle[i]*float64(now.at.Sub(r.at)))
	return round(float64(used) / 1e3 / float64(n))
}

// measureSize replicates many sessions on a fresh pair.
func measureSize(ctx context.Context, opt TakeoverOptions) (s *Size, err error) {
	d, err := startDuo(ctx, opt)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	m, err := newMeter(d)
	if err != nil {
		return nil, err
	}
	s = &Size{Sessions: opt.Many}
	for _, step := range []func(context.Context, TakeoverOptions, *meter) error{s.idle, s.fill, s.lives} {
		if err := step(ctx, opt, m); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *Size) idle(ctx context.Context, opt TakeoverOptions, m *meter) error {
	if err := opt.rest(ctx, time.Second); err != nil {
		return err
	}
	began, err := m.read()
	if err != nil {
		return err
	}
	if err := opt.rest(ctx, 2*time.Second); err != nil {
		return err
	}
	now, err := m.read()
	for i, n := range []*Node{&s.Active, &s.Standby} {
		m.idle[i] = float64(now.of[i].sub(began.of[i]).CPU) / float64(now.at.Sub(began.at))
		n.Idle = round(100 * m.idle[i])
	}
	return err
}

// fill measures memory and the cost of established sessions.
func (s *Size) fill(ctx context.Context, opt TakeoverOptions, m *meter) error {
	d := m.duo
	h, err := handOf(d.active, 0, s.Sessions)
	if err != nil {
		return err
	}
	defer h.close()
	slab, err := unreclaimable()
	if err != nil {
		return err
	}
	began, err := m.read()
	if err != nil {
		return err
	}
	if err := h.begin(); err != nil {
		return err
	}
	if err := patiently(ctx, func(ctx context.Context) error { return arrived(ctx, d, s.Sessions) }); err != nil {
		return err
	}
	now, err := m.read()
	if err != nil {
		return err
	}
	s.Rate = round(float64(s.Sessions) / now.at.Sub(began.at).Seconds())
	s.Active.Established, s.Standby.Established = m.since(began, now, 0, s.Sessions), m.since(began, now, 1, s.Sessions)
	if err := d.wait(ctx, "all sessions on both", d.replicated(s.Sessions)); err != nil {
		return err
	}
	if err := opt.rest(ctx, 2*time.Second); err != nil {
		return err
	}
	if now, err = m.read(); err != nil {
		return err
	}
	after, err := unreclaimable()
	if err != nil {
		return err
	}
	s.Kernel = round(float64(after-slab) / float64(2*s.Sessions))
	for i, n := range []*Node{&s.Active, &s.Standby} {
		n.Memory = round(float64(now.of[i].sub(began.of[i]).Memory) / float64(s.Sessions))
	}
	if err := h.end(); err != nil {
		return err
	}
	return d.wait(ctx, "all sessions over", d.replicated(0))
}

// arrived waits until n connections are in the standby's kernel, without asking
// the program.
func arrived(ctx context.Context, d *duo, n int) error {
	for {
		have, err := tracked(d.standby)
		if err != nil || have >= n {
			return err
		}
		if err := sleep(ctx, time.Millisecond); err != nil {
			return fmt.Errorf("%d of %d sessions on the standby: %w", have, n, err)
		}
	}
}

// lives measures connections from their beginning to their end.
func (s *Size) lives(ctx context.Context, opt TakeoverOptions, m *meter) error {
	if err := opt.rest(ctx, time.Second); err != nil {
		return err
	}
	began, err := m.read()
	if err != nil {
		return err
	}
	for i := range wholeRounds {
		h, err := handOf(m.duo.active, i*wholeEach, wholeEach)
		if err != nil {
			return err
		}
		err = h.live(ctx)
		h.close()
		if err != nil {
			return err
		}
	}
	if err := m.duo.wait(ctx, "all connections over", m.duo.replicated(0)); err != nil {
		return err
	}
	now, err := m.read()
	const n = wholeRounds * wholeEach
	s.Active.Whole, s.Standby.Whole = m.since(began, now, 0, n), m.since(began, now, 1, n)
	return err
}

// live lets its flows begin, close and end. Each state lasts for a few
// milliseconds, so that all of them travel.
func (h *hand) live(ctx context.Context) error {
	for _, step := range []func() error{
		h.begin,
		func() error { return h.state(session.TCPFinWait) },
		func() error { return h.state(session.TCPLastAck) },
		func() error { return h.state(session.TCPTimeWait) },
		h.end,
	} {
		if err := errors.Join(step(), sleep(ctx, 10*time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}
