package live

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"understudy/appliance"
	"understudy/appliance/history"
	"understudy/appliance/trend"
)

// Source is what is shown. Every method may be called while others run, and honours ctx.
type Source interface {
	Status(ctx context.Context) (appliance.Status, error)
	// Peers is what the other nodes say of themselves, as last heard. That it is asked
	// for is the reason to ask them.
	Peers(ctx context.Context) []Peer
	// History is what happened, the latest first.
	History() []history.Event
	// Fine and Coarse append the samples since then, the oldest first.
	Fine(to []trend.Sample, since time.Time) []trend.Sample
	Coarse(to []trend.Sample, since time.Time) []trend.Sample
}

// Bounds of what others can have the node do.
const (
	viewers  = 16
	period   = time.Second            // of views
	shortest = 100 * time.Millisecond // between two, when much happens
	share    = 20                     // a view is composed in at most a 20th of the time
	patience = 2 * time.Second        // for the parts of a view
	reads    = 10 * time.Second       // a viewer that takes nothing for so long is let go
)

// Live composes views while somebody looks. Make it with New; run Run.
type Live struct {
	source Source
	log    *slog.Logger
	kick   chan struct{} // holds one: something happened

	mu    sync.Mutex
	all   map[*viewer]struct{}
	stats Viewers
}

// viewer is one connection.
type viewer struct {
	next chan []byte // holds one: the latest view
}

// New returns a Live of the source.
func New(s Source, log *slog.Logger) *Live {
	return &Live{source: s, log: log, kick: make(chan struct{}, 1), all: map[*viewer]struct{}{}}
}

// Kick has the next view composed soon, not at its time.
func (l *Live) Kick() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// Run works until ctx ends.
func (l *Live) Run(ctx context.Context) {
	var last trend.Sample // that was shown
	timer := time.NewTimer(period)
	defer timer.Stop()
	for {
		began := time.Now()
		if l.watched() {
			l.show(l.compose(ctx, &last))
		}
		cost := min(time.Since(began), period/10) // what is more was spent waiting
		if !wait(ctx, max(shortest, share*cost)) {
			return
		}
		timer.Reset(max(0, period-time.Since(began)))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-l.kick:
		}
	}
}

func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func (l *Live) watched() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.all) > 0
}

// compose returns a view as an event; nil if the node did not answer. last is the sample
// that was shown last.
func (l *Live) compose(ctx context.Context, last *trend.Sample) []byte {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := l.source.Status(ctx)
	if err != nil {
		l.log.Debug("nothing to show", "err", err)
		return nil
	}
	v := View{Now: time.Now(), Here: s, Peers: l.source.Peers(ctx), History: l.source.History(), Viewers: l.Stats()}
	if v.Peers == nil {
		v.Peers = []Peer{}
	}
	if v.History == nil {
		v.History = []history.Event{}
	}
	if fresh := l.source.Fine(nil, last.At); len(fresh) > 0 {
		var before *trend.Sample
		if !last.At.IsZero() {
			before = last
		} else if len(fresh) > 1 {
			before, fresh = &fresh[0], fresh[1:]
		}
		v.Sample = columnsOf(trend.Fine, fresh, before)
		*last = fresh[len(fresh)-1]
	}
	return event("view", v)
}

// event is v in the form of the stream. JSON has no line ends that would matter to it.
func event(name string, v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	var b bytes.Buffer
	b.Grow(len(body) + 32)
	b.WriteString("event: " + name + "\ndata: ")
	b.Write(body)
	b.WriteString("\n\n")
	return b.Bytes()
}

// show gives a view to all who look. Who still has the one before gets this in its place.
func (l *Live) show(e []byte) {
	if e == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for v := range l.all {
		select {
		case v.next <- e:
			continue
		default:
		}
		select {
		case <-v.next:
			l.stats.Dropped++
		default:
		}
		v.next <- e // nobody else puts anything there
	}
}

// Stats are those who look, and what became of those who did.
func (l *Live) Stats() Viewers {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.Now = len(l.all)
	return s
}

// join makes room for one more; nil: there is none.
func (l *Live) join() *viewer {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) >= viewers {
		l.stats.Refused++
		return nil
	}
	v := &viewer{next: make(chan []byte, 1)}
	l.all[v] = struct{}{}
	return v
}

func (l *Live) leave(v *viewer, late bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, v)
	if late {
		l.stats.Ended++
	}
}

// ServeHTTP is the stream, until the viewer or the server goes.
func (l *Live) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "text/event-stream")
		return
	}
	v := l.join()
	if v == nil {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "as many look as may", http.StatusServiceUnavailable)
		return
	}
	late := false
	defer func() { l.leave(v, late) }()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	c := http.NewResponseController(w)
	// The bound of the server is that of a short answer.
	send := func(b []byte) bool {
		if err := c.SetWriteDeadline(time.Now().Add(reads)); err != nil {
			return false
		}
		_, err := w.Write(b)
		if err == nil {
			err = c.Flush()
		}
		late = errors.Is(err, os.ErrDeadlineExceeded)
		return err == nil
	}
	if !send(l.trend()) {
		return
	}
	l.Kick()
	for {
		select {
		case <-r.Context().Done():
			return
		case e := <-v.next:
			if !send(e) {
				return
			}
		}
	}
}

// trend is all that is remembered, as an event.
func (l *Live) trend() []byte {
	both := struct {
		Fine   *Columns `json:"fine"`
		Coarse *Columns `json:"coarse"`
	}{columnsOf(trend.Fine, l.source.Fine(nil, time.Time{}), nil), columnsOf(trend.Coarse, l.source.Coarse(nil, time.Time{}), nil)}
	return event("trend", both)
}
