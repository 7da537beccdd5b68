package metrics

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"understudy/appliance"
)

// Source is what is shown.
type Source interface {
	Status(ctx context.Context) (appliance.Status, error)
	// Takeovers are the last ones, the latest first.
	Takeovers(ctx context.Context) ([]appliance.TakeoverStatus, error)
}

// patience is how long a scrape waits for the status.
const patience = 2 * time.Second

// Collector is a prometheus.Collector of one node.
type Collector struct {
	source Source
	phases *phases
}

// NewCollector returns a collector of the source. It asks when it is asked.
func NewCollector(s Source) *Collector { return &Collector{source: s, phases: newPhases()} }

const (
	latenessName = "understudy_election_lateness_seconds"
	latenessHelp = "How much after their deadline the timers of the election were handled."
)

var latenessDesc = prometheus.NewDesc(latenessName, latenessHelp, nil, nil)

const (
	stallName = "understudy_entry_move_stall_seconds"
	stallHelp = "How long connections were frozen that were moved to another server."
)

var (
	stallLabels = []string{"entry"}
	stallDesc   = prometheus.NewDesc(stallName, stallHelp, stallLabels, nil)
)

// Describe implements prometheus.Collector.
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	for i := range families {
		to <- families[i].desc()
	}
	to <- latenessDesc
	to <- stallDesc
	c.phases.hist.Describe(to)
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := c.source.Status(ctx)
	if err != nil {
		to <- prometheus.NewInvalidMetric(latenessDesc, fmt.Errorf("metrics: %w", err))
		return
	}
	for i := range families {
		f := &families[i]
		d, kind := f.desc(), f.kind()
		f.each(&s, func(v float64, labels ...string) { to <- prometheus.MustNewConstMetric(d, kind, v, labels...) })
	}
	to <- histogram(latenessDesc, &s.Election.Lateness)
	for _, e := range s.NAT.Entries {
		if e.Stall != nil {
			to <- histogram(stallDesc, e.Stall, e.Name)
		}
	}
	if s.Sessions != nil {
		all, err := c.source.Takeovers(ctx)
		if err != nil {
			to <- prometheus.NewInvalidMetric(latenessDesc, fmt.Errorf("metrics: %w", err))
			return
		}
		c.phases.note(all)
	}
	c.phases.hist.Collect(to)
}

// histogram is one of the status, whose buckets are each by itself, in the
// cumulative form of Prometheus.
func histogram(d *prometheus.Desc, h *appliance.Histogram, labels ...string) prometheus.Metric {
	buckets, below := map[float64]uint64{}, uint64(0)
	for _, b := range h.Buckets {
		below += b.Count
		if b.UpToSeconds != nil {
			buckets[*b.UpToSeconds] = below
		}
	}
	return prometheus.MustNewConstHistogram(d, h.Count, h.SumSeconds, buckets, labels...)
}

// Handler serves the metrics of the source, from a registry of their own.
func Handler(s Source) http.Handler {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(NewCollector(s))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 2 * patience})
}
