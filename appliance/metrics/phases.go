package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"understudy/appliance"
)

const (
	phasesName = "understudy_takeover_phase_seconds"
	phasesHelp = "How long the parts of this node's takeovers of sessions took: the kernel's last events, what the link's socket still held, what the kernel was still given; and the whole."
)

// phases is a histogram of takeovers. The node remembers the last few; each is counted
// once, at the first scrape that sees it.
type phases struct {
	hist *prometheus.HistogramVec

	mu   sync.Mutex
	last time.Time // of the latest that was counted
}

func newPhases() *phases {
	return &phases{hist: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: phasesName, Help: phasesHelp,
		Buckets: []float64{.0001, .0003, .001, .003, .01, .03, .1, .3, 1, 3, 10},
	}, []string{"phase"})}
}

// note counts those that it has not counted. all: the latest first.
func (p *phases) note(all []appliance.TakeoverStatus) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(all) - 1; i >= 0; i-- {
		t := &all[i]
		if !t.At.After(p.last) {
			continue
		}
		p.last = t.At
		for phase, v := range map[string]float64{"events": t.Phases.EventsSeconds, "link": t.Phases.LinkSeconds, "kernel": t.Phases.KernelSeconds, "all": t.DurationSeconds} {
			p.hist.WithLabelValues(phase).Observe(v)
		}
	}
}
