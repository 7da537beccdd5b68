// Package pulse is a server's end of heartbeats: it pushes beats to gateways, and
// answers those that ask (`understudy heartbeat`).
//
//	own check ─▶ failing? ─┬─▶ beats, each Every ──▶ gateways
//	(a program)            └─▶ answers ◀── questions
//
// With a check of its own a server says that it is there and well; without one,
// that it is there.
package pulse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"understudy/health/heartbeat"
	"understudy/health/program"
)

// Config is what to say, and to whom.
type Config struct {
	Server string
	Keys   []heartbeat.Key  // the first is used; questions may be of any
	To     []netip.AddrPort // gateways that get beats
	Listen netip.AddrPort   // for those that ask; the zero value: nobody may
	Every  time.Duration
	Check  *program.Program // runs each Every, for as long at most; nil: none
	Logger *slog.Logger
}

// pulse is a running Config.
type pulse struct {
	Config
	incarnation uint64
	sequence    uint64

	failing atomic.Bool
	checked atomic.Int64 // when the check ended last, as a time since start
	start   time.Time
}

// Run says so until ctx is done, and that it leaves then. It returns an error if
// it cannot listen.
func Run(ctx context.Context, cfg Config) error {
	if len(cfg.Keys) == 0 || cfg.Every <= 0 {
		return errors.New("heartbeat: no key, or no interval")
	}
	p := &pulse{Config: cfg, incarnation: rand.Uint64() | 1, start: time.Now()}
	var conn *net.UDPConn
	if cfg.Listen.IsValid() {
		var err error
		if conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(cfg.Listen)); err != nil {
			return fmt.Errorf("heartbeat: %w", err)
		}
		defer conn.Close()
	}
	if cfg.Check != nil {
		p.try(ctx) // nothing is said before it is known
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	if cfg.Check != nil {
		wg.Go(func() { p.check(ctx) })
	}
	if conn != nil {
		wg.Go(func() { p.answer(ctx, conn) })
	}
	p.beat(ctx)
	return nil
}

// check runs the server's own check again and again.
func (p *pulse) check(ctx context.Context) {
	t := time.NewTicker(p.Every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			p.try(ctx)
		}
	}
}

func (p *pulse) try(ctx context.Context) {
	limit, cancel := context.WithTimeoutCause(ctx, p.Every, fmt.Errorf("not done in %v", p.Every))
	defer cancel()
	r := p.Check.Run(limit, program.Run{})
	if ctx.Err() != nil {
		return
	}
	if was := p.failing.Swap(r.Err != nil); was != (r.Err != nil) {
		p.Logger.Info("own check", "program", p.Check.Name(), "result", r.String(), "said", r.LastLine())
	}
	p.checked.Store(int64(time.Since(p.start)))
}

// stale is how many intervals an own check that does not even end counts for.
const stale = 3

// bad tells whether the server is to be taken for failing: also while its check
// hangs in the kernel, where nobody can kill it.
func (p *pulse) bad() bool {
	if p.Check == nil {
		return false
	}
	return p.failing.Load() || time.Since(p.start)-time.Duration(p.checked.Load()) > stale*p.Every
}

// farewells is how often a server says that it leaves: any of them may be lost.
const farewells = 3

// beat pushes until ctx is done.
func (p *pulse) beat(ctx context.Context) {
	if len(p.To) == 0 {
		<-ctx.Done()
		return
	}
	lines := make([]line, len(p.To))
	for i, to := range p.To {
		lines[i].to = to
	}
	t := time.NewTicker(p.Every)
	defer t.Stop()
	for {
		p.push(lines, false)
		select {
		case <-ctx.Done():
			for range farewells {
				p.push(lines, true)
			}
			return
		case <-t.C:
		}
	}
}

func (p *pulse) push(lines []line, leaving bool) {
	p.sequence++
	b := heartbeat.Append(nil, heartbeat.Message{Kind: heartbeat.Beat, Failing: p.bad(), Leaving: leaving, Incarnation: p.incarnation,
		Sequence: p.sequence, Time: time.Now(), Interval: p.Every, Name: p.Server}, p.Keys[0])
	for i := range lines {
		lines[i].send(b, p.Logger)
	}
}

// line is the way to one gateway.
type line struct {
	to     netip.AddrPort
	conn   net.Conn
	failed bool
}

// send sends, if it can: a network that is not there may be there the next time.
func (l *line) send(b []byte, log *slog.Logger) {
	var err error
	if l.conn == nil {
		if l.conn, err = net.Dial("udp", l.to.String()); err != nil {
			l.conn = nil
		}
	}
	if l.conn != nil {
		if _, err = l.conn.Write(b); err != nil {
			l.conn.Close()
			l.conn = nil
		}
	}
	if failed := err != nil; failed != l.failed {
		l.failed = failed
		if failed {
			log.Warn("beat not sent", "to", l.to, "err", err)
		} else {
			log.Info("beats are sent again", "to", l.to)
		}
	}
}

// answer answers those who may ask, until ctx is done.
func (p *pulse) answer(ctx context.Context, conn *net.UDPConn) {
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })()
	buf := make([]byte, heartbeat.MaxSize+1)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if b := p.reply(buf[:n]); b != nil {
			_, _ = conn.WriteToUDPAddrPort(b, from)
		}
	}
}

// reply is the answer to a packet; nil: it deserves none.
func (p *pulse) reply(b []byte) []byte {
	m, reason := heartbeat.Parse(b)
	if reason != heartbeat.ReasonNone || m.Name != p.Server {
		return nil
	}
	for _, k := range p.Keys {
		if !k.Fits(b) {
			continue
		}
		answer, reason := heartbeat.Respond(time.Now(), m, p.incarnation, p.bad())
		if reason != heartbeat.ReasonNone {
			return nil
		}
		return heartbeat.Append(nil, answer, k)
	}
	return nil
}
