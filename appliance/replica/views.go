package replica

import (
	"context"
	"time"
)

// viewPause is how long after a view the next may be made, whoever asks.
const viewPause = 500 * time.Millisecond

// viewBound is how long one may take to be made.
const viewBound = 2 * time.Second

// keepShowing tells peers that ask how this node stands. A view is made once for all who
// have asked meanwhile.
func (e *Engine) keepShowing(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.looked:
		}
		if e.cfg.View == nil {
			continue
		}
		bound, cancel := context.WithTimeout(ctx, viewBound)
		b, err := e.cfg.View(bound)
		cancel()
		if err != nil {
			e.log.Debug("no view for a peer", "err", err)
		}
		e.mu.Lock()
		for _, p := range e.peers {
			if p.sender.Looked() && err == nil {
				p.sender.Show(b)
				kick(p.send)
			}
		}
		e.mu.Unlock()
		sleep(ctx, viewPause)
	}
}

// View is how a peer stands, as it said.
type View struct {
	Peer      string
	Connected bool      // it could be asked now
	At        time.Time // when that came; zero: nothing has
	Bytes     []byte    // not to be changed
}

// Views are the last views of the peers.
func (e *Engine) Views() []View {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]View, 0, len(e.peers))
	for _, p := range e.peers {
		v := View{Peer: p.Name, Connected: p.in != nil && p.receiver.Peer() != nil}
		if v.Bytes = p.receiver.View(); v.Bytes != nil {
			v.At = p.viewed
		}
		out = append(out, v)
	}
	return out
}

// Look asks the peers how they stand. What they say is in Views, soon; one of a version
// that does not know the question says nothing.
func (e *Engine) Look() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range e.peers {
		if p.in != nil {
			p.receiver.Look()
			kick(p.reply)
		}
	}
}
