package daemon

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"understudy/appliance"
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

// History implements live.Source.
func (l *looked) History(ctx context.Context, s *appliance.Status) []live.Moment {
	var all []live.Moment
	if l.sessions != nil {
		took, err := l.Takeovers(ctx)
		if err != nil {
			l.log.Debug("takeovers not read", "err", err)
		}
		for i := range took {
			all = append(all, takeoverMoment(&took[i]))
		}
	}
	for i := range s.Routers {
		if r := &s.Routers[i]; r.LastTransition != nil {
			all = append(all, live.Moment{At: *r.LastTransition, Kind: "transition", Subject: r.Name, To: r.State, Text: "router " + r.Name + " became " + r.State, Cause: r.Reason})
		}
	}
	for i := range s.Checks {
		if c := &s.Checks[i]; c.State == "down" {
			all = append(all, live.Moment{At: c.Since, Kind: "check", Subject: c.Name, To: c.State, Text: "check " + c.Name + " went down", Cause: c.LastError})
		}
	}
	for _, a := range s.Alarms {
		all = append(all, live.Moment{At: a.Since, Kind: "alarm", Subject: a.Name, To: "raised", Text: "alarm " + a.Name, Cause: a.Detail})
	}
	slices.SortStableFunc(all, func(a, b live.Moment) int { return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.Subject, b.Subject)) })
	return all[:min(len(all), historyShown)]
}

// historyShown is how many moments a view has.
const historyShown = 40

func takeoverMoment(t *appliance.TakeoverStatus) live.Moment {
	m := live.Moment{At: t.At, Kind: "takeover", Group: t.Group, Subject: t.Group, To: "active", DurationSeconds: t.DurationSeconds,
		Text: fmt.Sprintf("took group %s over: %d sessions, %d of them in the kernel already", t.Group, t.Sessions, t.Hot),
		Phases: []live.Phase{{Name: "events", Seconds: t.Phases.EventsSeconds}, {Name: "link", Seconds: t.Phases.LinkSeconds},
			{Name: "kernel", Seconds: t.Phases.KernelSeconds}}}
	if t.From != "" {
		m.Cause = "from " + t.From
	}
	if t.LostEstimate != nil && *t.LostEstimate > 0 {
		m.Evidence = append(m.Evidence, fmt.Sprintf("about %d sessions were not known here", *t.LostEstimate))
	}
	if t.LostCount > 0 {
		m.Evidence = append(m.Evidence, fmt.Sprintf("%d sessions are known to be lost", t.LostCount))
	}
	return m
}
