package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"
)

// TransportOptions sets [RunTransport] up. The zero value moves 1, 100 and 1,000
// connections at once, four times each.
type TransportOptions struct {
	Binary      string // the program; "": the running executable
	Connections []int  // so many at once; nil: 1, 100, 1,000
	Deaths      int    // of servers, for each of these; 0: 4
	Rounds      int    // of packets, of which the cheapest counts; 0: 15
	Held        int    // connections whose memory is measured; 0: 50,000

	Progress io.Writer // nil: nobody
	Log      io.Writer // what the gateways write; nil: only with an error

	segments int // of each connection whose packets are measured; 0: 512
	together int // of modes whose stalls are measured at the same time; 0: one
}

func (o TransportOptions) withDefaults() TransportOptions {
	if len(o.Connections) == 0 {
		o.Connections = []int{1, 100, 1000}
	}
	if o.Deaths <= 0 {
		o.Deaths = 4
	}
	if o.Rounds <= 0 {
		o.Rounds = 15
	}
	if o.Held <= 0 {
		o.Held = 50_000
	}
	if o.segments <= 0 {
		o.segments = madeSegments
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	return o
}

// transportMode is a way to have connections outlive their server.
type transportMode struct {
	name string
	keys string // of the entry point
}

// noMove is what modes are compared with.
var noMove = transportMode{"none", `on_failure = "reset"`}

// transportModes are those that there are.
var transportModes = []transportMode{
	{"lazy", `on_failure = "move"`},
	{"replay", "on_failure = \"move\"\nmove = \"replay\""},
	{"warm", "on_failure = \"move\"\nmove = \"warm\""},
}

// TransportReport is what [RunTransport] found. Its JSON form is a contract: keys may be
// added, never removed.
type TransportReport struct {
	Machine Machine        `json:"machine"`
	Deaths  int            `json:"deaths"` // for each row of Stalls
	Stalls  []StallRow     `json:"stalls"`
	Packets []PacketRow    `json:"packets"`
	Memory  []MovingMemory `json:"memory"`
}

// StallRow is how long clients waited, from the decision that their server is dead to
// the first byte of the next one.
type StallRow struct {
	Mode        string `json:"mode"`
	Connections int    `json:"connections"`
	// Asked is when its request was sent: "before" the decision, to the dead server, so that
	// the client has to send it again of itself; or "after" it.
	Asked  string  `json:"asked"`
	N      int     `json:"n"` // over all deaths
	Min    float64 `json:"min_ms"`
	Median float64 `json:"median_ms"`
	P90    float64 `json:"p90_ms"`
	Max    float64 `json:"max_ms"`
	Lost   int     `json:"lost"` // connections that ended, or were not answered
	Wrong  int     `json:"wrong"`
}

// PacketRow is what a packet costs while nothing fails.
type PacketRow struct {
	Mode      string `json:"mode"`
	Protected bool   `json:"protected"` // it is of an entry point with that mode
	From      string `json:"from"`      // client | server
	// NS is the time of a packet, all of the kernel's work on its way.
	NS Summary `json:"ns"`
	// Ratio is the least of these to that of the same packet with no mode at all.
	Ratio float64 `json:"ratio"`
	// DaemonNS is the time of the program for it, on another processor.
	DaemonNS Summary `json:"daemon_ns"`
}

// MovingMemory is what a connection takes in the program, on which 100 bytes were asked and
// 500 answered.
type MovingMemory struct {
	Mode        string  `json:"mode"`
	Connections int     `json:"connections"`
	Bytes       float64 `json:"bytes"` // of each
}

// RunTransport measures what it takes to have connections outlive their servers, and how
// long their clients wait. When it returns, nothing of what it started is left.
func RunTransport(ctx context.Context, o TransportOptions) (*TransportReport, error) {
	o = o.withDefaults()
	out := &TransportReport{Machine: thisMachine(time.Now()), Deaths: o.Deaths}
	stalls := make([][]StallRow, len(transportModes))
	if err := atOnce(len(transportModes), o.together, func(i int) (err error) {
		m := transportModes[i]
		if stalls[i], err = measureStalls(ctx, o, m); err != nil {
			return fmt.Errorf("bench: %s: %w", m.name, err)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	out.Stalls = slices.Concat(stalls...)
	for _, m := range transportModes {
		rows, memory, err := measurePackets(ctx, o, m)
		if err != nil {
			return nil, fmt.Errorf("bench: packets with %s: %w", m.name, err)
		}
		out.Packets, out.Memory = append(out.Packets, rows...), append(out.Memory, memory...)
	}
	out.Machine.LoadAfter = load()
	return out, nil
}
