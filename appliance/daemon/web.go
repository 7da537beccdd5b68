package daemon

import (
	"context"
	"net/http"
	"sync"
	"time"

	"understudy/appliance/config"
	"understudy/appliance/web"
)

// webRetry is how long it takes to try a port again that somebody else has: a daemon
// that is being exchanged, for one.
const webRetry = 10 * time.Second

// shown serves what the node shows over TCP, where the file says so now.
type shown struct {
	mu      sync.Mutex
	now     config.Web
	changed chan struct{} // closed when now is another
}

func newShown(w config.Web) *shown { return &shown{now: w, changed: make(chan struct{})} }

// set has it served elsewhere.
func (s *shown) set(w config.Web) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w != s.now {
		s.now = w
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

func (s *shown) get() (config.Web, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now, s.changed
}

// show serves h until ctx ends. What is wrong with it is no reason to end the node.
func (n *node) show(ctx context.Context, h http.Handler) {
	for ctx.Err() == nil {
		w, changed := n.shown.get()
		retry := make(<-chan time.Time)
		if w.Listen.IsValid() {
			s, err := web.Listen(web.Config{Address: w.Listen, Token: w.Token, Open: []string{"/"}}, h, n.log)
			if err == nil {
				n.log.Info("shown", "at", w.Listen)
				err = serveUntil(ctx, changed, s)
			}
			if err != nil {
				n.log.Warn("nothing is shown", "at", w.Listen, "err", err, "retry", webRetry)
				retry = time.After(webRetry)
			}
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-retry:
		}
	}
}

func serveUntil(ctx context.Context, changed <-chan struct{}, s *web.Server) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}()
	return s.Serve(ctx)
}
