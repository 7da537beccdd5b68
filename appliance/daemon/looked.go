package daemon

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"understudy/appliance/history"
	"understudy/appliance/trend"
	"understudy/appliance/web/live"
	pages "understudy/appliance/web/page"
)

// looked is the node as the status page sees it.
type looked struct {
	*node
	live *live.Live
	page http.Handler

	mu    sync.Mutex
	trend trend.Trend
}

func newLooked(n *node) (*looked, error) {
	html, policy, err := pages.Status()
	if err != nil {
		return nil, err
	}
	l := &looked{node: n, page: pages.Handler(html, policy)}
	l.live = live.New(l, n.log)
	return l, nil
}

// sample remembers how sessions stand, whether anybody looks or not: of what was before a
// failover one wants to know afterwards. It asks the session plane alone.
func (l *looked) sample(ctx context.Context) {
	if l.sessions == nil {
		return
	}
	t := time.NewTicker(trend.Fine)
	defer t.Stop()
	for {
		l.add(time.Now())
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

func (l *looked) add(now time.Time) {
	st := l.sessions.Engine.Status()
	s := trend.Sample{At: now, Own: st.Local, Held: st.Foreign, Dirty: st.Dirty, Lag: st.Lag, Changes: st.Counters.Events, Linked: st.Connected, InSync: st.InSync}
	for _, g := range st.Groups {
		s.Active = s.Active || g.Active
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trend.Add(s)
}

// Fine implements live.Source.
func (l *looked) Fine(to []trend.Sample, since time.Time) []trend.Sample {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trend.Fine(to, since)
}

// Coarse implements live.Source.
func (l *looked) Coarse(to []trend.Sample, since time.Time) []trend.Sample {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trend.Coarse(to, since)
}

// historyShown is how many events a view has.
const historyShown = 40

// History implements live.Source.
func (l *looked) History() []history.Event {
	a, _ := l.history.events(history.Query{Last: historyShown})
	slices.Reverse(a.Events)
	return a.Events
}

// follow has what happens shown at once.
func (l *looked) follow(ctx context.Context) {
	for {
		_, changed := l.history.events(history.Query{Last: 1})
		select {
		case <-ctx.Done():
			return
		case <-changed:
			l.live.Kick()
		}
	}
}
