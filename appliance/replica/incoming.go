package replica

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"time"

	"understudy/nat/session"
)

// handshakes bounds the connections whose other end is not yet known.
const handshakes = 16

// accept takes connections on which peers tell us their records. slots are for those
// that are in their handshake.
func (e *Engine) accept(ctx context.Context, l net.Listener, slots chan struct{}) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		slots <- struct{}{}
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			<-slots
			sleep(ctx, 100*time.Millisecond) // out of descriptors: do not spin
			continue
		}
		e.tasks.Go(func() {
			w, err := e.handshake(ctx, c, func(c net.Conn) *tls.Conn { return tls.Server(c, e.keys.Load().config("")) })
			<-slots
			if err != nil {
				e.refuse(c.RemoteAddr(), err)
				return
			}
			name, err := e.keys.Load().verify(w.ConnectionState())
			p := e.byName[name]
			if err == nil && p != nil {
				e.hear(ctx, p, w)
			}
			w.tap.Close()
		})
	}
}

// refuse counts a connection that was refused. Anyone can make many of them, but
// not many lines in the log.
func (e *Engine) refuse(from net.Addr, err error) {
	now := time.Now()
	e.mu.Lock()
	e.counters.Refused++
	n, quiet := e.counters.Refused, now.Sub(e.refusalTold) < 10*time.Second
	if !quiet {
		e.refusalTold = now
	}
	e.mu.Unlock()
	if !quiet {
		e.log.Warn("session link refused", "from", from, "err", err, "refused", n)
	}
}

// hear runs the receiver of p over w until the connection ends.
func (e *Engine) hear(ctx context.Context, p *peer, w *wire) {
	running, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(running, func() { w.tap.Close() })
	var answered chan struct{} // nil: nothing was said yet
	if len(p.Also) > 0 {
		w.patience = otherPath
	}
	err := w.readFrames(func(t session.Type, b []byte) error {
		if answered == nil {
			moved, err := e.succeed(p, w, t, b)
			if err != nil {
				return err
			}
			answered = make(chan struct{})
			go func() { defer close(answered); e.answer(running, p, w) }()
			if moved {
				kick(p.reply)
				return nil
			}
		}
		if t == session.TypeMove {
			return e.moves(w, b)
		}
		return e.onFrame(p, w, t, b)
	})
	moved := errors.Is(err, errMoved)
	if moved {
		stop() // the last answers must leave whole
	}
	cancel()
	if !moved {
		w.tap.Close()
	}
	if answered != nil {
		<-answered
	}
	stop()
	w.tap.Close()
	if moved {
		e.awaitSuccessor(ctx, w)
	}
	now := time.Now()
	e.mu.Lock()
	if p.in == w {
		e.noteWhole(now) // for the last time, perhaps
		e.cutShort(now, p)
		p.in = nil
		p.receiver.Disconnect()
		e.announceRaised(now, e.groups.Lost(p.Name))
	}
	e.mu.Unlock()
	e.log.Debug("incoming session link down", "peer", p.Name, "err", err)
	e.notify(Change{Kind: SyncChanged, Peer: p.Name})
}

var errReplaced = errors.New("replaced by a newer connection")

// onFrame takes a frame of p's records.
func (e *Engine) onFrame(p *peer, w *wire, t session.Type, b []byte) error {
	now := time.Now()
	e.mu.Lock()
	if p.in != w {
		e.mu.Unlock()
		return errReplaced
	}
	err := p.receiver.Handle(now, t, b)
	p.receiver.Applied(e.kernelDone)
	if h := p.receiver.Peer(); err == nil && h != nil && h.Node != p.Name {
		err = errNotHim
	}
	for err == nil && p.in == w && p.receiver.Sweep(now) {
		e.mu.Unlock() // others may have the table
		e.mu.Lock()
	}
	changes := e.heed(now, p)
	e.salvage(now)
	install := e.table.Dirty(session.SinkKernel) > 0
	e.mu.Unlock()
	e.notify(changes...)
	if install {
		kick(e.install) // which has the reply sent, with what is applied then
		return err
	}
	kick(p.reply)
	return err
}

// heed acts on what a receiver noticed. Held: e.mu.
func (e *Engine) heed(now time.Time, p *peer) (changes []Change) {
	for _, n := range p.receiver.Notices() {
		name := e.cfg.Groups[n.Group].Name
		c := Change{Peer: p.Name, Group: name, Term: n.Term}
		switch n.Kind {
		case session.NoticeHello:
			h := p.receiver.Peer()
			e.lookForRoom()
			e.meet(now, p)
			if c.Group = ""; differs(h.Config, e.cfg.Hash) {
				e.log.Warn("the peer's configuration differs", "peer", p.Name)
				c.Kind = ConfigDiffers
			} else {
				c.Kind = SyncChanged
			}
		case session.NoticeTerm:
			c.Kind = TermHeard
		case session.NoticeRaised:
			c.Kind = TermHeard
			e.announceRaised(now, 1<<uint(n.Group))
			e.loosen(now, n.Group)
			p.receiver.AskAgain(n.Group)
			e.beginSalvage(now, n.Group, false)
		case session.NoticeConflict:
			e.counters.Conflicts++
			// In a hand-over this is how it should be, for a moment.
			e.log.Info("another node is Active for a group that is Active here", "peer", p.Name, "group", name, "term", n.Term)
			c.Kind = Conflict
			// Who gives way is decided elsewhere. What began there lives here as well,
			// in case it is the other.
			e.acceptLate(p, n.Group, now)
		case session.NoticeClaim:
			e.claimed(now, p, n.Group)
			c.Kind = SyncChanged
		case session.NoticeSynced:
			p.synced = now
			e.arrived[n.Group] = e.table.KernelQueue()
			if e.cfg.Cold {
				e.ready.due = time.Time{} // what they need is seen only now
			}
			e.table.Rouse(1 << uint(n.Group)) // the owner has judged what rested
			e.audits |= 1 << uint(n.Group)
			kick(e.dump)
			e.log.Info("sessions in sync", "peer", p.Name, "group", name, "term", n.Term, "swept", n.Swept)
			c.Kind = SyncChanged
		case session.NoticeMismatch:
			level := slog.LevelWarn
			if e.cfg.Knobs.Mirror {
				level = slog.LevelDebug // they do, as what the packets tell is not told
			}
			e.log.Log(context.Background(), level, "sessions differ from the peer's", "peer", p.Name, "group", name)
			c.Kind = SyncChanged
		case session.NoticeView:
			p.viewed = now
			continue
		case session.NoticeMended:
			level := slog.LevelInfo
			if e.cfg.Knobs.Mirror {
				level = slog.LevelDebug
			}
			e.log.Log(context.Background(), level, "sessions are the peer's again", "peer", p.Name, "group", name, "swept", n.Swept)
			c.Kind = SyncChanged
		default:
			c.Kind = SyncChanged
		}
		changes = append(changes, c)
	}
	return changes
}

// announceRaised tells all peers that our claim is the better one now. Held:
// e.mu.
func (e *Engine) announceRaised(now time.Time, groups session.GroupSet) {
	if groups != 0 {
		e.announce(now, groups)
	}
}

// answer writes what the receiver has to say back.
func (e *Engine) answer(ctx context.Context, p *peer, w *wire) {
	buf := make([]byte, 0, 1024)
	for {
		e.mu.Lock()
		b := buf[:0]
		if p.in == w {
			b = p.receiver.Reply(b)
		}
		e.mu.Unlock()
		if len(b) > 0 {
			if w.write(b) != nil {
				w.tap.Close() // ends the reader, which tells why
				return
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-p.reply:
		}
	}
}
