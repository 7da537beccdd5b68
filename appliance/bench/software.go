package bench

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"understudy/appliance/lab"
	"understudy/appliance/lab/pair"
)

// software makes gateways of the two machines of a pair. Others than ours are
// there to be compared with, on the same network under the same traffic.
type software interface {
	Name() string
	Available() error
	// Start starts it on a gateway that has just booted.
	Start(*pair.Gateway) (*lab.Process, error)
	// Settled is a condition: active is active, and the other one is ready to
	// take over.
	Settled(p *pair.Pair, active *pair.Gateway) func(context.Context) error
}

// rivals are what [CrashOptions].Beside may name.
func rivals(interval time.Duration) []software {
	return []software{keepalived{interval: interval}}
}

// Rivals lists the names that [CrashOptions].Beside takes.
func Rivals() (names []string) {
	for _, s := range rivals(0) {
		names = append(names, s.Name())
	}
	return names
}

func rival(name string, interval time.Duration) (software, error) {
	for _, s := range rivals(interval) {
		if s.Name() == name {
			return s, s.Available()
		}
	}
	return nil, fmt.Errorf("bench: cannot compare with %q, only with %s", name, strings.Join(Rivals(), ", "))
}

// ours is the program that is being measured.
type ours struct {
	binary string    // where it is not a pair that runs it; "": the running executable
	log    io.Writer // likewise
}

func (ours) Name() string     { return "understudy" }
func (ours) Available() error { return nil }

func (ours) Start(g *pair.Gateway) (*lab.Process, error) {
	if err := g.Start(); err != nil {
		return nil, err
	}
	return g.Process(), nil
}

func (ours) Settled(p *pair.Pair, active *pair.Gateway) func(context.Context) error {
	return p.Settled(active)
}
