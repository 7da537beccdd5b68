package replica

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"understudy/nat/session"
)

// Reconnecting: at once after a connection that worked, then more and more
// slowly. A peer that comes back must not wait long for its records.
const (
	backoffMin    = 50 * time.Millisecond
	backoffMax    = time.Second
	dialTimeout   = time.Second
	handshakeTime = 2 * time.Second
)

// keepDialling holds the connection on which this node tells p its records.
func (e *Engine) keepDialling(ctx context.Context, p *peer) error {
	backoff := backoffMin
	for ctx.Err() == nil {
		began := time.Now()
		at, w, err := e.reach(ctx, p)
		for w != nil && err == nil {
			at, w, err = e.tell(ctx, p, at, w)
		}
		if ctx.Err() != nil {
			break
		}
		if time.Since(began) > 2*backoffMax {
			backoff = backoffMin
		}
		if isRefusal(err) && time.Since(p.complained) > complainEvery {
			// The other end of it sees only that we hung up.
			p.complained = time.Now()
			e.log.Warn("session link refused", "to", p.addresses()[at], "peer", p.Name, "err", err)
		}
		e.log.Debug("session link down", "peer", p.Name, "err", err, "retry", backoff)
		// Jitter keeps two nodes that were cut at once from meeting in step.
		sleep(ctx, backoff/2+rand.N(backoff/2))
		backoff = min(2*backoff, backoffMax)
	}
	return nil
}

// complainEvery is how often the log tells that a peer is not who it should be.
const complainEvery = 10 * time.Second

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// dial connects to the peer's address number at.
func (e *Engine) dial(ctx context.Context, p *peer, at int) (*wire, error) {
	var conn net.Conn
	to := p.addresses()[at]
	err := e.cfg.Namespace(func() (err error) {
		d := net.Dialer{Timeout: dialTimeout, LocalAddr: e.localAddr(at, to.Addr())}
		conn, err = d.DialContext(ctx, "tcp", to.String())
		return err
	})
	if err != nil {
		return nil, err
	}
	w, err := e.handshake(ctx, conn, func(c net.Conn) *tls.Conn { return tls.Client(c, e.keys.Load().config(p.Name)) })
	if err == nil && len(p.Also) > 0 {
		w.patience = otherPath
	}
	return w, err
}

// handshake closes the connection if it fails.
func (e *Engine) handshake(ctx context.Context, c net.Conn, side func(net.Conn) *tls.Conn) (*wire, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	t, err := newTap(c.(*net.TCPConn))
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	w := &wire{Conn: side(t), tap: t}
	if err := w.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("handshake: %w", err), c.Close())
	}
	return w, nil
}

// tell runs the sender of p over w, which leads to its address number at, until the
// connection ends. It may move to a better address meanwhile; if the peer does not
// know how, that connection is returned, to begin with.
func (e *Engine) tell(ctx context.Context, p *peer, at int, w *wire) (_ int, next *wire, err error) {
	e.mu.Lock()
	p.sender.Connect(time.Now())
	e.mu.Unlock()
	var read chan error // one reader, one result
	var stop func() bool
	ctx, cancel := context.WithCancel(ctx)
	var better chan reached
	use := func(n int, on *wire) {
		at, w, read = n, on, make(chan error, 1)
		e.mu.Lock()
		p.out, p.at = w, at
		e.mu.Unlock()
		go func(read chan<- error) {
			read <- on.readFrames(func(t session.Type, b []byte) error { return e.onAnswer(p, t, b) })
		}(read)
		stop = context.AfterFunc(ctx, func() { on.tap.Close() })
		better = e.seek(ctx, p, at)
	}
	use(at, w)
	defer func() {
		cancel()
		stop()
		w.tap.Close() // ends the reader
		if e2 := <-read; err == nil && next == nil {
			err = e2
		}
		e.mu.Lock()
		_, known := p.sender.Peer()
		p.sender.Disconnect()
		p.out = nil
		if next == nil && isPathFailure(err) {
			p.failed[at] = time.Now()
		}
		e.mu.Unlock()
		if known && next == nil {
			e.log.Warn("session link lost", "peer", p.Name, "err", err)
			e.notify(Change{Kind: PeerDown, Peer: p.Name})
		}
	}()
	buf := make([]byte, 0, fillSize)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now()
		e.mu.Lock()
		p.sender.Blind(e.blind(now))
		b := p.sender.Fill(now, buf[:0])
		due := p.sender.Deadline(now)
		e.mu.Unlock()
		if len(b) > 0 {
			if err := w.write(b); err != nil {
				return at, nil, err
			}
			continue
		}
		timer.Reset(time.Until(due))
		select {
		case <-p.send:
		case <-timer.C:
		case err := <-read:
			read <- err
			return at, nil, err
		case to := <-better:
			if !e.move(p, w, read, to.wire) {
				return to.at, to.wire, nil
			}
			stop()
			w.tap.Close()
			e.log.Info("session link moved", "peer", p.Name, "to", p.addresses()[to.at])
			use(to.at, to.wire)
		}
	}
}

// onAnswer takes a frame that came back on our connection to p.
func (e *Engine) onAnswer(p *peer, t session.Type, b []byte) error {
	now := time.Now()
	e.mu.Lock()
	_, known := p.sender.Peer()
	_, before := p.sender.Synced()
	err := p.sender.Handle(now, t, b)
	h, knows := p.sender.Peer()
	syncedNow, last := p.sender.Synced()
	stats := p.sender.Stats()
	if t == session.TypeLook {
		kick(e.looked)
	}
	e.depart(now)
	more := !p.sender.Idle()
	e.mu.Unlock()
	if err == nil && knows && h.Node != p.Name {
		err = errNotHim
	}
	if err != nil {
		return err
	}
	if knows && !known {
		e.log.Info("session link up", "peer", p.Name)
		e.notify(Change{Kind: PeerUp, Peer: p.Name})
	}
	if syncedNow && last != before {
		e.log.Info("peer has all sessions", "peer", p.Name, "transfers", stats.Transfers)
		e.notify(Change{Kind: PeerSynced, Peer: p.Name})
	}
	if more { // most answers are acknowledgements, and there is nothing to say to them
		kick(p.send)
	}
	return nil
}
