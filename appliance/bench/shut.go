package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"understudy/appliance/lab"
	"understudy/appliance/lab/capture"
)

// ShutOptions sets [RunShut] up. The zero value releases 250 virtual MACs of one
// interface five times each way.
type ShutOptions struct {
	Beside
	MACs int
}

func (o ShutOptions) withDefaults() ShutOptions {
	o.Beside = o.Beside.withDefaults(5)
	if o.MACs <= 0 || o.MACs > 250 {
		o.MACs = 250
	}
	return o
}

const (
	shutInterval = 100 * time.Millisecond // of adverts
	// shutRound is how often each virtual MAC is sent a frame: how exactly the end
	// of one is known.
	shutRound = 4 * time.Millisecond
	// shutBound is how long forwarding may go on after a release before it is said
	// to go on for good.
	shutBound = 3 * time.Second
	// shutQuiet is a time without a forwarded frame after which there will be none:
	// more than an Active_Down_Interval, for which a gateway without a successor
	// may serve on.
	shutQuiet = 500 * time.Millisecond
	shutPort  = 20000 // of the first MAC's frames
)

// ShutReport is what [RunShut] found. Its JSON form is a contract: keys may be
// added, never removed.
type ShutReport struct {
	Machine Machine   `json:"machine"`
	MACs    int       `json:"macs"`
	RoundMS float64   `json:"round_ms"` // how often each MAC is sent a frame
	Rows    []ShutRow `json:"rows"`
}

// ShutRow is one program, released one way.
type ShutRow struct {
	Software string `json:"software"`
	Way      string `json:"way"` // fault or stop
	Shuts    []Shut `json:"shuts"`
	// SpreadMS is from the first MAC's end to the last one's, AfterMS from the first
	// priority 0 to the last one's: below 0, everything was refused before it was
	// said. Both leave out releases that did not end.
	SpreadMS Summary `json:"spread_ms"`
	AfterMS  Summary `json:"after_ms"`
	Remained int     `json:"remained"` // the most MACs that went on forwarding
	// Within: all MACs ended within one round of frames, as by one transaction.
	Within bool `json:"within"`
}

// Shut is one release.
type Shut struct {
	SpreadMS float64 `json:"spread_ms"`
	AfterMS  float64 `json:"after_ms"`
	Remained int     `json:"remained"` // MACs to which frames were still forwarded 3 s later
}

// RunShut releases many virtual MACs at once, of a gateway without a peer, and
// looks for when it stops to forward what is sent to each. When it returns,
// nothing of what it started is left.
func RunShut(ctx context.Context, opt ShutOptions) (_ *ShutReport, err error) {
	opt = opt.withDefaults()
	r := &ShutReport{Machine: thisMachine(time.Now()), MACs: opt.MACs, RoundMS: ms(shutRound)}
	all, err := programs(opt.Beside)
	if err != nil {
		return nil, err
	}
	g, err := newShutGround(opt)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	ways := []string{"fault", "stop"}
	for _, w := range ways {
		for _, p := range all {
			r.Rows = append(r.Rows, ShutRow{Software: p.Name(), Way: w})
		}
	}
	for range opt.Runs {
		for i, w := range ways {
			for k, p := range all {
				one, err := g.shut(ctx, p, w)
				if err != nil {
					return nil, fmt.Errorf("bench: %d virtual MACs, %s, %s: %w", opt.MACs, p.Name(), w, err)
				}
				row := &r.Rows[i*len(all)+k]
				row.Shuts = append(row.Shuts, one)
				opt.say("%s, %s: %s", p.Name(), w, one.text(opt.MACs))
			}
		}
	}
	for i := range r.Rows {
		r.Rows[i].sum()
	}
	r.Machine.LoadAfter = load()
	return r, nil
}

// shutGround has one gateway between the LAN, where the virtual MACs are, and the
// WAN; and an interface of it that can fail.
type shutGround struct {
	*ground
	opt             ShutOptions
	inside, outside *lab.Node
}

func newShutGround(opt ShutOptions) (*shutGround, error) {
	plain, err := newGround(1, "lan0", "wan0", "up0")
	if err != nil {
		return nil, err
	}
	g := &shutGround{ground: plain, opt: opt}
	for i, h := range []struct {
		node **lab.Node
		name string
	}{{&g.inside, "inside"}, {&g.outside, "outside"}} {
		if *h.node, err = g.Node(h.name); err == nil {
			_, err = (*h.node).Join(g.segments[i], "eth0", fmt.Sprintf("10.%d.9.9/16", i))
		}
		if err != nil {
			return nil, errors.Join(err, g.Close())
		}
	}
	return g, nil
}

// setup has a router for each virtual MAC, all in one group.
func (g *shutGround) setup(int) setup {
	s := setup{node: "gw1", priority: 200, interval: shutInterval, virtual: true, group: "all", tracked: "up0"}
	for i := range g.opt.MACs {
		address := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(i + 1)}), 16)
		s.routers = append(s.routers, virtualRouter{fmt.Sprintf("r%d", i+1), "lan0", i + 1, []netip.Prefix{address}})
	}
	return s
}

// frames is one to each virtual MAC, for outside; the port tells them apart.
func (g *shutGround) frames() (all [][]byte) {
	src := [6]byte(g.inside.Link("eth0").MAC)
	from, to := netip.AddrFrom4([4]byte{10, 0, 9, 9}), netip.AddrFrom4([4]byte{10, 1, 9, 9})
	for i := range g.opt.MACs {
		mac := [6]byte{0, 0, 0x5e, 0, 1, byte(i + 1)}
		all = append(all, ipv4Frame(mac, src, 64, 17, from, to, udp(9, uint16(shutPort+i), []byte("shut"))))
	}
	return all
}

// shut boots the gateway, waits until it forwards for every MAC, and releases it.
func (g *shutGround) shut(ctx context.Context, p program, how string) (one Shut, err error) {
	if err := g.boxes[0].Link("up0").Plug(); err != nil {
		return one, err
	}
	if err := g.play(ctx, p, g.setup); err != nil {
		return one, err
	}
	seen, err := g.listen()
	if err != nil {
		return one, err
	}
	defer func() { err = errors.Join(err, seen.stop()) }()
	v, err := openVolley(g.inside, "eth0", g.frames())
	if err != nil {
		return one, err
	}
	defer v.close()
	stop := v.fire(int(int64(g.opt.MACs) * int64(time.Second/shutRound)))
	defer stop()
	if err := g.wait(ctx, "frames for every virtual MAC", func() error { return seen.all(time.Now().Add(-10 * shutRound)) }); err != nil {
		return one, err
	}
	if err := sleep(ctx, g.opt.calm); err != nil {
		return one, err
	}
	began := time.Now()
	if how == "stop" {
		err = g.procs[0].Signal(syscall.SIGTERM)
	} else {
		err = g.boxes[0].Link("up0").Unplug()
	}
	if err != nil {
		return one, err
	}
	for time.Since(began) < shutBound && !seen.quiet(shutQuiet) {
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return one, err
		}
	}
	ended := time.Now()
	if err := stop(); err != nil {
		return one, err
	}
	return seen.result(began, ended)
}

// forwarded is when the gateway last forwarded a frame for each MAC, and when it
// first resigned.
type forwarded struct {
	captures []*capture.Capture

	mu       sync.Mutex
	last     []time.Time
	resigned time.Time
}

func (g *shutGround) listen() (*forwarded, error) {
	f := &forwarded{last: make([]time.Time, g.opt.MACs)}
	gateway := g.boxes[0].Name
	for _, c := range []struct {
		segment *lab.Segment
		proto   uint8
		keep    func(capture.Frame)
	}{
		{g.segments[1], 17, func(fr capture.Frame) {
			if i := int(capture.Decode(fr.Data).DstPort) - shutPort; i >= 0 && i < len(f.last) {
				f.last[i] = fr.At
			}
		}},
		{g.segments[0], 112, func(fr capture.Frame) {
			if capture.Decode(fr.Data).Priority == 0 && f.resigned.IsZero() {
				f.resigned = fr.At
			}
		}},
	} {
		one, err := capture.Start(c.segment, capture.Options{Filter: capture.Protocols(c.proto), SnapLen: 64, Keep: func(fr capture.Frame) bool {
			if fr.From == gateway {
				f.mu.Lock()
				c.keep(fr)
				f.mu.Unlock()
			}
			return false
		}})
		if err != nil {
			return nil, errors.Join(err, f.stop())
		}
		f.captures = append(f.captures, one)
	}
	return f, nil
}

// all is a condition: there was a frame for every MAC since.
func (f *forwarded) all(since time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := f.since(since); n < len(f.last) {
		return fmt.Errorf("frames for %d of %d", n, len(f.last))
	}
	return nil
}

// since counts the MACs with a frame after t. f.mu is held.
func (f *forwarded) since(t time.Time) (n int) {
	for _, at := range f.last {
		if at.After(t) {
			n++
		}
	}
	return n
}

// quiet tells whether nothing was forwarded for so long.
func (f *forwarded) quiet(d time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.since(time.Now().Add(-d)) == 0
}

func (f *forwarded) result(began, ended time.Time) (s Shut, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.resigned.IsZero() {
		return s, errors.New("nobody resigned")
	}
	if s.Remained = f.since(ended.Add(-shutQuiet)); s.Remained > 0 {
		return s, nil
	}
	first, last := f.last[0], f.last[0]
	for _, at := range f.last {
		if at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
	}
	// A MAC that ended first may have had its next frame a round later.
	s.SpreadMS, s.AfterMS = ms(last.Sub(first)), ms(last.Sub(f.resigned))
	return s, nil
}

func (f *forwarded) stop() error {
	var errs []error
	for _, c := range f.captures {
		errs = append(errs, c.Stop())
	}
	return errors.Join(errs...)
}

func (s Shut) text(macs int) string {
	if s.Remained > 0 {
		return fmt.Sprintf("frames to %d of %d virtual MACs are still forwarded %v after it", s.Remained, macs, shutBound)
	}
	return fmt.Sprintf("the last frame was forwarded %.2f ms after priority 0, %.2f ms after the first MAC had its last", s.AfterMS, s.SpreadMS)
}

func (r *ShutRow) sum() {
	var ended []Shut
	for _, s := range r.Shuts {
		r.Remained = max(r.Remained, s.Remained)
		if s.Remained == 0 {
			ended = append(ended, s)
		}
	}
	r.SpreadMS = collect(ended, func(s Shut) float64 { return s.SpreadMS })
	r.AfterMS = collect(ended, func(s Shut) float64 { return s.AfterMS })
	r.Within = r.Remained == 0 && r.SpreadMS.Max <= 2*ms(shutRound)
}
