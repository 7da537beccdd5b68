package live

import (
	"encoding/json"
	"time"

	"understudy/appliance"
	"understudy/appliance/history"
	"understudy/appliance/trend"
)

// View is what is shown at one moment. Its JSON is for the page of the same program,
// and no contract.
type View struct {
	Now     time.Time        `json:"now"`
	Here    appliance.Status `json:"here"`
	Peers   []Peer           `json:"peers"`
	History []history.Event  `json:"history"` // the latest first
	Sample  *Columns         `json:"sample"`  // the latest sample, or what is new since the last view
	Viewers Viewers          `json:"viewers"`
}

// Peer is what another node says of itself.
type Peer struct {
	Name string `json:"name"`
	// Status is an appliance.Status, as the peer has written it; null: there is none,
	// and Why says why.
	Status     json.RawMessage `json:"status"`
	AgeSeconds float64         `json:"age_seconds"`
	Why        string          `json:"why"`
}

// Viewers are those who look.
type Viewers struct {
	Now     int    `json:"now"`
	Refused uint64 `json:"refused"` // there were too many
	Dropped uint64 `json:"dropped"` // views that somebody was too slow for
	Ended   uint64 `json:"ended"`   // viewers that were let go, as they did not read
}

// Columns are samples, a column each, in which every sample has its place.
type Columns struct {
	StepSeconds float64   `json:"step"`
	At          []int64   `json:"at"` // ms since 1970
	Own         []int     `json:"own"`
	Held        []int     `json:"held"`
	Dirty       []int     `json:"dirty"`
	Lag         []float64 `json:"lag"`     // ms; -1: no peer is connected
	Changes     []float64 `json:"changes"` // a second
	State       []int     `json:"state"`   // bits: 1 in sync, 2 Active
}

const (
	stateInSync = 1 << iota
	stateActive
)

// columnsOf turns samples into columns. before is the sample before the first of them,
// for what is a rate.
func columnsOf(step time.Duration, all []trend.Sample, before *trend.Sample) *Columns {
	n := len(all)
	c := &Columns{StepSeconds: step.Seconds(), At: make([]int64, n), Own: make([]int, n), Held: make([]int, n), Dirty: make([]int, n),
		Lag: make([]float64, n), Changes: make([]float64, n), State: make([]int, n)}
	for i := range all {
		s := &all[i]
		c.At[i], c.Own[i], c.Held[i], c.Dirty[i] = s.At.UnixMilli(), s.Own, s.Held, s.Dirty
		if c.Lag[i] = -1; s.Linked {
			c.Lag[i] = round(float64(s.Lag) / float64(time.Millisecond))
		}
		if s.InSync {
			c.State[i] |= stateInSync
		}
		if s.Active {
			c.State[i] |= stateActive
		}
		if dt := s.At.Sub(at(before, s)).Seconds(); dt > 0 && s.Changes >= before.Changes {
			c.Changes[i] = round(float64(s.Changes-before.Changes) / dt)
		}
		before = s
	}
	return c
}

// at is when the sample before s was, or s itself where there is none.
func at(before, s *trend.Sample) time.Time {
	if before == nil {
		return s.At
	}
	return before.At
}

// round keeps two decimals.
func round(v float64) float64 { return float64(int64(v*100+0.5)) / 100 }
