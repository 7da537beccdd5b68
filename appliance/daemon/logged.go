package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"understudy/appliance"
	"understudy/appliance/config"
	"understudy/nat/entry"
	"understudy/nat/entry/entrynet/lognet"
	"understudy/nat/nft"
	"understudy/nat/splice"
	"understudy/nat/splice/bytelog"
)

// What is said on connections that are replayed, when their server dies or all along. It is logged
// while there is an entry point that wants it, in a log that is made anew with each capture: one
// that ended has missed something of every connection.

// loggedTable has packets of servers be copied.
type loggedTable interface {
	Apply(servers []netip.AddrPort, devices []string, side nft.Side) (changed bool, err error)
}

// recorder fills a log.
type recorder interface {
	Index() int
	Run(ctx context.Context) error
	With(f func(*bytelog.Log))
	Settled(f func(*bytelog.Log))
	Stats() lognet.Stats
	Close() error
}

// capturing is what is needed of the kernel for it.
type capturing struct {
	table   loggedTable
	open    func(*bytelog.Log) (recorder, error)
	devices func([]netip.AddrPort) ([]string, error)
	remove  func() (bool, error) // what a capture, or a program that was killed, has left
	can     func() error         // why nothing can be copied; nil: it can
}

// logged is the log, and what it is filled by.
type logged struct {
	kernel capturing
	log    *slog.Logger
	watch  func(splice.Packet) // nil: nobody wants to know what is logged
	need   chan struct{}       // holds one: there may be something else to log
	missed chan struct{}       // holds one: packets went another way for a while
	able   atomic.Bool         // the kernel has been asked whether it can

	mu      sync.Mutex
	servers []netip.AddrPort
	bounds  bytelog.Config
	none    *bytelog.Log // while nothing is captured
	capture recorder     // nil: nothing is captured
}

const (
	// loggedRetry is the pause after it could not be captured.
	loggedRetry = time.Second
	// loggedPeriod is how often it is looked by which devices servers are reached.
	loggedPeriod = 2 * time.Second
)

func newLogged(kernel capturing, log *slog.Logger) *logged {
	return &logged{kernel: kernel, log: log, need: make(chan struct{}, 1), missed: make(chan struct{}, 1), none: bytelog.New(bytelog.Config{})}
}

// kernelCapturing is the kernel's own.
func kernelCapturing(table *nft.Logged) capturing {
	return capturing{table: table, can: table.Can, devices: lognet.Devices, remove: lognet.RemoveSide,
		open: func(l *bytelog.Log) (recorder, error) {
			c, err := lognet.Open(l)
			if err != nil {
				return nil, err // not one that is no capture
			}
			return c, nil
		}}
}

// bound has other bounds hold.
func (g *logged) bound(b config.MoveBounds) {
	bounds := bytelog.Config{Memory: b.Memory << 20, PerConnection: b.Connection << 20, Age: b.Age}
	g.mu.Lock()
	g.bounds = bounds
	g.mu.Unlock()
	g.With(func(l *bytelog.Log) { l.Bound(bounds) })
}

func (g *logged) bounded() bytelog.Config {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.bounds
}

// possible says why what is to be replayed cannot be logged here, if something is to be.
func (g *logged) possible(points []entry.Point) error {
	if g.able.Load() {
		return nil
	}
	for _, p := range points {
		if p.How.Logged() && slices.Contains(p.Move, true) {
			if err := g.kernel.can(); err != nil {
				return fmt.Errorf("move = %q of %s cannot be had: %w", p.How, p.Name, err)
			}
			g.able.Store(true)
			return nil
		}
	}
	return nil
}

// apply has connections to these servers of entry points be logged, and no others, soon.
func (g *logged) apply(points []entry.Point) {
	servers := serversToMove(points, func(p entry.Point) bool { return p.How.Logged() })
	g.mu.Lock()
	g.servers = servers
	g.mu.Unlock()
	wakeUp(g.need)
}

func (g *logged) wanted() []netip.AddrPort {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.servers)
}

// With has the log be still for the time of a call.
func (g *logged) With(f func(*bytelog.Log)) { g.through(recorder.With, f) }

// Settled is With, once all that was said before is in the log.
func (g *logged) Settled(f func(*bytelog.Log)) { g.through(recorder.Settled, f) }

func (g *logged) through(how func(recorder, func(*bytelog.Log)), f func(*bytelog.Log)) {
	g.mu.Lock()
	c := g.capture
	if c == nil {
		defer g.mu.Unlock()
		f(g.none)
		return
	}
	g.mu.Unlock()
	how(c, f)
}

// miss tells that packets may have gone another way: no record is good until its server has spoken.
func (g *logged) miss() { wakeUp(g.missed) }

// run captures, from when there is something to log.
func (g *logged) run(ctx context.Context) {
	left := true // perhaps, by a predecessor
	for ctx.Err() == nil {
		if len(g.wanted()) == 0 {
			if left {
				if err := g.clean(); err != nil {
					g.log.Debug("what a log of connections has left", "err", err)
				}
				left = false
			}
			select {
			case <-ctx.Done():
			case <-g.need:
			}
			continue
		}
		left = true
		if err := g.fill(ctx); err != nil && ctx.Err() == nil {
			g.log.Error("logging connections that are to be replayed", "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(loggedRetry):
			}
		}
	}
	if left {
		if err := g.clean(); err != nil {
			g.log.Debug("what the log of connections leaves", "err", err)
		}
	}
}

// clean takes everything out of the kernel.
func (g *logged) clean() error {
	_, err := g.kernel.table.Apply(nil, nil, nft.Side{})
	_, also := g.kernel.remove()
	return errors.Join(err, also)
}

// fill captures until nobody wants it any more.
func (g *logged) fill(ctx context.Context) error {
	l := bytelog.New(g.bounded())
	l.Watch(g.watch)
	c, err := g.kernel.open(l)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	g.set(c)
	defer func() {
		g.set(nil)
		stop()
		<-ran
		c.With(func(l *bytelog.Log) { l.Serve(nil) }) // who has a record of it is told that it is over
		if err := c.Close(); err != nil {
			g.log.Debug("closing the log of connections", "err", err)
		}
	}()
	t := time.NewTicker(loggedPeriod)
	defer t.Stop()
	for first := true; ; first = false {
		servers := g.wanted()
		if len(servers) == 0 {
			return nil
		}
		changed, err := g.copy(c, servers)
		if err != nil {
			return err
		}
		if changed && !first {
			c.With((*bytelog.Log).Lost)
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-ran:
			ran <- nil // for whoever waits for its end
			return err
		case <-g.missed:
			c.With((*bytelog.Log).Lost)
		case <-g.need:
		case <-t.C:
		}
	}
}

func (g *logged) set(c recorder) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.capture = c
}

// copy has packets of servers be copied. Servers to which no device leads are not reached either.
func (g *logged) copy(c recorder, servers []netip.AddrPort) (changed bool, err error) {
	devices, err := g.kernel.devices(servers)
	if err != nil {
		return false, err
	}
	c.With(func(l *bytelog.Log) { l.Serve(servers) })
	return g.kernel.table.Apply(servers, devices, nft.Side{Index: c.Index(), Peer: lognet.PeerName})
}

// status is how the log is; nil: nothing is logged.
func (g *logged) status() *appliance.LogStatus {
	g.mu.Lock()
	c := g.capture
	g.mu.Unlock()
	if c == nil {
		return nil
	}
	var st bytelog.Status
	c.With(func(l *bytelog.Log) { st = l.Status() })
	stats := c.Stats()
	out := &appliance.LogStatus{Connections: st.Connections, MemoryBytes: st.Memory, Bytes: st.Bytes, Packets: stats.Packets, Lost: stats.Lost, Refused: map[string]uint64{},
		Left: map[string]uint64{"unread": stats.Odd, "unsound": st.Unsound, "outside": st.Outside, "unknown": st.Unknown, "differing": st.Differing, "scattered": st.Scattered}}
	for _, why := range bytelog.Reasons() {
		if n := st.Of(why); n > 0 {
			out.Refused[why.String()] = n
		}
	}
	return out
}

// loggedTables has the log, and what is replayed all along, go with the table of entry points.
type loggedTables struct {
	entryTable
	logged *logged
	warm   *warm
}

func (t loggedTables) Steer(points ...entry.Point) error {
	t.warm.steer(points)
	return t.entryTable.Steer(points...)
}

func (t loggedTables) Apply(points []entry.Point) (changed bool, err error) {
	if err := t.logged.possible(points); err != nil {
		return false, err
	}
	t.warm.apply(points)
	if changed, err = t.entryTable.Apply(points); err == nil {
		t.logged.apply(points)
	}
	return changed, err
}
