package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"understudy/appliance/lab"
	"understudy/appliance/lab/pair"
)

// Beside is what every comparison of ours with keepalived is told.
type Beside struct {
	Binary string // our program; "": the running executable
	Runs   int    // of each, 0: the default of the measurement

	Progress io.Writer // a line for each result; nil: nobody
	Log      io.Writer // what ours writes; nil: only with an error

	calm time.Duration // before each measurement; 0: 1 s
}

func (b Beside) withDefaults(runs int) Beside {
	if b.Runs <= 0 {
		b.Runs = runs
	}
	if b.calm == 0 {
		b.calm = time.Second
	}
	if b.Progress == nil {
		b.Progress = io.Discard
	}
	return b
}

func (b Beside) say(format string, args ...any) { fmt.Fprintf(b.Progress, format+"\n", args...) }

// stage is the network of a pair on which one program after the other is shown,
// each time on gateways that have just booted: so both have the same machine, the
// same minute and the same history, which is none.
type stage struct {
	*pair.Pair
	active, standby *pair.Gateway
	played          string          // name of the program that was started last
	procs           [2]*lab.Process // of it, on gw1 and gw2
}

func newStage(o pair.Options) (*stage, error) {
	p, err := pair.New(o)
	if err != nil {
		return nil, err
	}
	return &stage{Pair: p, active: p.Gateways[0], standby: p.Gateways[1]}, nil
}

// play boots both gateways, starts the program and waits until gw1 is active and
// gw2 standing by.
func (s *stage) play(ctx context.Context, sw software) error {
	s.played = sw.Name()
	for _, g := range s.Gateways {
		if err := g.Kill(); err != nil {
			return err
		}
	}
	for i, g := range s.Gateways {
		if err := errors.Join(g.FlushConntrack(), g.Reboot()); err != nil { // see duo.close
			return err
		}
		var err error
		if s.procs[i], err = sw.Start(g); err != nil {
			return err
		}
	}
	return s.wait(ctx, "gw1 active, gw2 standing by", sw.Settled(s.Pair, s.active))
}

func (s *stage) wait(ctx context.Context, what string, met func(context.Context) error) error {
	err := patiently(ctx, func(ctx context.Context) error { return s.Wait(ctx, what, met) })
	if err != nil {
		return fmt.Errorf("%s: %w%s", s.played, err, s.logs())
	}
	return nil
}

// logs is how the program's output ends.
func (s *stage) logs() string {
	var b strings.Builder
	for i, p := range s.procs {
		if p == nil {
			continue
		}
		lines := strings.Split(strings.TrimSpace(p.Output()), "\n")
		for _, l := range lines[max(0, len(lines)-15):] {
			fmt.Fprintf(&b, "\n  %s | %s", s.Gateways[i].Name, l)
		}
	}
	return b.String()
}

// contenders are ours and what it is compared with, in the order of a round.
func contenders(interval time.Duration, virtual bool) ([]software, error) {
	k := keepalived{interval: interval, virtual: virtual}
	return []software{ours{}, k}, k.Available()
}

// routerKeys are the lines that a pair needs for a kind of MAC.
func routerKeys(virtual bool) string {
	if virtual {
		return `mac = "virtual"`
	}
	return ""
}

// macName is how a kind of MAC is shown.
func macName(virtual bool) string {
	if virtual {
		return "virtual"
	}
	return "interface"
}
