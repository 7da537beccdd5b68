package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"time"

	"understudy/appliance/lab/pair"
)

// Report is what the demo found. Its JSON form is a contract: keys may be
// added, never removed. Times are in milliseconds where the key says so.
type Report struct {
	OK       bool     `json:"ok"` // every flow survived, the captures are clean, new connections work, no role moved that was to stay
	Flows    Flows    `json:"flows"`
	Sessions Sessions `json:"sessions"`
	NoiseMS  float64  `json:"noise_ms"` // longest silence of the datagrams before an event
	Events   []Event  `json:"events"`

	AdvertIntervalMS float64       `json:"advert_interval_ms"`
	Lost             []pair.Lost   `json:"lost"`
	Capture          pair.Findings `json:"capture"`
	Timeline         []Moment      `json:"timeline"`
}

// Flows counts those that stood before the first crash.
type Flows struct {
	Total    int `json:"total"`
	Survived int `json:"survived"`
}

// Sessions is the state of replication right before the first crash.
type Sessions struct {
	Replicated int      `json:"replicated"`  // held by the standby
	LagSeconds *float64 `json:"lag_seconds"` // null without sessions
}

// Event is a crash, a return, a reload, a restart, an upgrade or a handover.
type Event struct {
	Name string `json:"name"`
	// BoundMS is the protocol's bound for the outage: three advert intervals and
	// the survivor's skew. It is 0 for a planned move, which needs no outage.
	BoundMS float64 `json:"bound_ms"`
	// OutagesMS is the longest silence by probe: udp_out and udp_in of datagrams
	// sent each millisecond; tcp, the longer one of tcp_up and tcp_down; ping;
	// request, the longest that a request through the forward took, if that was
	// 20 ms or more.
	OutagesMS map[string]float64 `json:"outages_ms"`
	// NoiseMS is the same over the two seconds before, without tcp and request.
	NoiseMS map[string]float64 `json:"noise_by_probe_ms"`
	// LostPackets counts datagrams of the direction that lost more.
	LostPackets int `json:"lost_packets"`
	Survived    int `json:"survived"` // flows still whole after this event
	// Changes counts the changes of state on both gateways; one that has crashed tells none.
	Changes int `json:"state_changes"`
	// NewMS is how long a new connection took after the event, inwards and
	// outwards; -1 if it could not be made.
	NewMS map[string]float64 `json:"new_connection_ms"`
	// Takeover is what the new active gateway says; null without sessions.
	Takeover *Takeover `json:"takeover"`
	// AtSeconds is when it began, since the demo did.
	AtSeconds float64 `json:"at_seconds"`
	// ActiveSeconds is when the new active gateway became so; 0: it does not say.
	ActiveSeconds float64 `json:"active_seconds"`
	Window        Window  `json:"window"`
}

// Window is what came through around an event, step by step.
type Window struct {
	FromMS float64          `json:"from_ms"` // of the first step, counted from the event
	StepMS float64          `json:"step_ms"`
	Counts map[string][]int `json:"counts"` // arrivals in each step, by probe
	// GapsMS is where the longest silence began and ended, counted from the event.
	GapsMS map[string][2]float64 `json:"gaps_ms"`
}

// Takeover is what there was still to do at the moment of activation.
type Takeover struct {
	Installed  int     `json:"installed"`
	DurationMS float64 `json:"duration_ms"`
}

// Moment is a line of the timeline, in seconds since the demo began.
type Moment struct {
	Seconds float64 `json:"seconds"`
	Text    string  `json:"text"`
}

// WriteJSON writes the report as one object.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("demo: write report: %w", err)
	}
	return nil
}

// ms is a duration in milliseconds with one decimal.
func ms(d time.Duration) float64 { return math.Round(float64(d)/1e5) / 10 }
