package replica

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"understudy/nat/session"
)

// A peer may have several addresses, on paths that do not fail together. They are
// tried in the order of preference; one that has just failed comes behind the
// others. While a worse one is in use the better ones are tried beside, and as soon
// as one answers the connection moves there: nothing is told twice, and nobody is out
// of sync for it. Each direction finds its own way.

const (
	// otherPath is how long a peer may be silent if there is another way to it: four
	// of its heartbeats.
	otherPath = 4 * session.PingEvery
	// seekEvery is how often it is looked whether a better path is due to be tried.
	seekEvery = time.Second
	// moveBound is how long the two ends of a move may take.
	moveBound = 2 * time.Second
)

// listen opens what peers connect to.
func (e *Engine) listen() error {
	for i, a := range append([]netip.AddrPort{e.cfg.Listen}, e.cfg.Also...) {
		var lc net.ListenConfig
		if i > 0 {
			// A path that is down must not keep the others from working.
			lc.Control = freebind
		}
		l, err := lc.Listen(context.Background(), "tcp", a.String())
		if err != nil {
			return err
		}
		e.listeners = append(e.listeners, l)
	}
	return nil
}

func freebind(network, _ string, c syscall.RawConn) (err error) {
	level, option := unix.IPPROTO_IP, unix.IP_FREEBIND
	if network == "tcp6" {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_FREEBIND
	}
	if e2 := c.Control(func(fd uintptr) {
		err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), level, option, 1))
	}); e2 != nil {
		return e2
	}
	return err
}

// localAddr makes the connection to a peer's address number at come from the address
// that we listen on there, which is the one that the peer knows.
func (e *Engine) localAddr(at int, to netip.Addr) net.Addr {
	a := e.cfg.Listen.Addr()
	if at > 0 {
		if at > len(e.cfg.Also) {
			return nil
		}
		a = e.cfg.Also[at-1].Addr()
	}
	if !a.IsValid() || a.IsUnspecified() || a.Is4() != to.Is4() {
		return nil
	}
	return &net.TCPAddr{IP: a.AsSlice(), Zone: a.Zone()}
}

// reached is a connection to a peer's address number at.
type reached struct {
	at   int
	wire *wire
}

// reach connects to the peer by the first of its addresses that answers.
func (e *Engine) reach(ctx context.Context, p *peer) (at int, w *wire, err error) {
	for _, at = range e.order(p, time.Now()) {
		if w, err = e.dial(ctx, p, at); err == nil || ctx.Err() != nil {
			return at, w, err
		}
		e.noteFailure(p, at, err)
	}
	return at, nil, err
}

// order is the order in which the peer's addresses are to be tried.
func (e *Engine) order(p *peer, now time.Time) []int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return order(p.failed, now, e.cfg.Return)
}

// order sorts paths: those that have not failed lately by preference, then the
// others, the one that failed longest ago first.
func order(failed []time.Time, now time.Time, lately time.Duration) (list []int) {
	age := func(i int) time.Duration {
		if failed[i].IsZero() {
			return lately
		}
		return min(now.Sub(failed[i]), lately)
	}
	for i := range failed {
		list = append(list, i)
	}
	slices.SortStableFunc(list, func(a, b int) int { return cmp.Compare(age(b), age(a)) })
	return list
}

func (e *Engine) noteFailure(p *peer, at int, err error) {
	if !isPathFailure(err) {
		return
	}
	e.mu.Lock()
	p.failed[at] = time.Now()
	e.mu.Unlock()
}

// isPathFailure tells whether err speaks against the path. It does not if the peer
// was reached and does not want to talk, or has just ended.
func isPathFailure(err error) bool {
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNREFUSED, syscall.ECONNRESET, net.ErrClosed, context.Canceled} {
		if errors.Is(err, e) {
			return false
		}
	}
	return err != nil && !isRefusal(err)
}

// seek tries the addresses that are better than number at, until one answers or ctx
// ends. Who does not take that answer must end ctx.
func (e *Engine) seek(ctx context.Context, p *peer, at int) chan reached {
	if at == 0 {
		return nil
	}
	found := make(chan reached)
	e.tasks.Go(func() {
		tick := time.NewTicker(min(seekEvery, e.cfg.Return))
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			w, n := e.tryBetter(ctx, p, at)
			if w == nil {
				continue
			}
			select {
			case found <- reached{n, w}:
			case <-ctx.Done():
				w.tap.Close()
			}
			return
		}
	})
	return found
}

// tryBetter tries those of the better addresses whose time has come.
func (e *Engine) tryBetter(ctx context.Context, p *peer, at int) (*wire, int) {
	for n := range at {
		e.mu.Lock()
		rest := time.Since(p.failed[n]) < e.cfg.Return
		e.mu.Unlock()
		if rest {
			continue
		}
		w, err := e.dial(ctx, p, n)
		if err == nil {
			return w, n
		}
		e.mu.Lock()
		p.failed[n] = time.Now() // whatever it was: not again at once
		e.mu.Unlock()
	}
	return nil, 0
}

// move ends the connection w, whose reader answers on read, and goes on with the same
// stream on to. It tells whether that has worked: if not, to is as good as new.
func (e *Engine) move(p *peer, w *wire, read chan error, to *wire) bool {
	e.mu.Lock()
	can := p.sender.CanMove()
	e.mu.Unlock()
	if !can {
		return false
	}
	token := rand.Uint64() | 1
	if w.write(session.AppendMove(nil, token)) != nil {
		return false
	}
	// Until the end everything that the peer had to say is read; only then it is
	// certain that it has everything of ours.
	bound := time.AfterFunc(moveBound, func() { w.tap.Close() })
	err := <-read
	bound.Stop()
	read <- err // for who looks again
	if !errors.Is(err, io.EOF) {
		return false
	}
	e.mu.Lock()
	hello := p.sender.AppendMoved(nil, token)
	e.mu.Unlock()
	return to.write(hello) == nil
}

var (
	errMoved    = errors.New("moved to another path")
	errNotMoved = errors.New("goes on with a connection that is not known")
)

// moves notes that the peer's connection w ends with a MOVE.
func (e *Engine) moves(w *wire, payload []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	w.moved, w.successor = session.ParseMove(payload), make(chan struct{})
	return errMoved
}

// awaitSuccessor waits, after a MOVE on w, until another connection goes on.
func (e *Engine) awaitSuccessor(ctx context.Context, w *wire) {
	ctx, cancel := context.WithTimeout(ctx, moveBound)
	defer cancel()
	select {
	case <-w.successor:
	case <-ctx.Done():
	}
}

// succeed makes w, whose first frame is given, the connection of p: a new one, which
// ends the one of before (the peer gave it up), or the one that goes on after a MOVE.
func (e *Engine) succeed(p *peer, w *wire, t session.Type, payload []byte) (moved bool, err error) {
	var token uint64
	if t == session.TypeHello {
		if h, err := session.ParseHello(payload); err == nil {
			token = h.Moved
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	old := p.in
	switch {
	case token == 0:
		if old != nil {
			old.tap.Close()
		}
		p.receiver.Connect(time.Now())
	case old == nil || old.moved != token:
		return false, errNotMoved
	default:
		close(old.successor)
		p.receiver.Moved()
		moved = true
	}
	p.in = w
	return moved, nil
}
