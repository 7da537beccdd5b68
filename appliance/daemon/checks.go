package daemon

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"understudy/appliance"
	"understudy/appliance/config"
	"understudy/health"
	"understudy/health/probe"
)

// checks is the lane that tries things. Its probes have goroutines of their own;
// nothing here waits for one that hangs.
type checks struct {
	post func(appliance.Event)

	mu      sync.Mutex
	specs   []config.Check
	watcher *probe.Watcher
	startC  chan struct{} // holds one: watcher is another
}

func newChecks(cfg *config.Config, post func(appliance.Event)) *checks {
	c := &checks{post: post, startC: make(chan struct{}, 1)}
	c.specs = cfg.Checks
	c.watcher = probe.NewWatcher(probes(cfg), nil)
	return c
}

// set goes over to the checks of cfg. Those that stay keep what is known of them,
// and say it again: their last word may have been on its way.
func (c *checks) set(cfg *config.Config) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.specs = cfg.Checks
	c.watcher = probe.NewWatcher(probes(cfg), c.watcher)
	for i, f := range c.watcher.Facts() {
		if f.State != health.Unknown {
			c.post(appliance.CheckChanged{Name: c.specs[i].Name, State: f.State, Value: f.Value, Why: f.Why})
		}
	}
	select {
	case c.startC <- struct{}{}:
	default:
	}
}

// goodbye is how long probes may take to end with the daemon. One that hangs in
// the kernel is left to the end of the process.
const goodbye = time.Second

func (c *checks) run(ctx context.Context) {
	var wg sync.WaitGroup
	for ctx.Err() == nil {
		c.mu.Lock()
		w := c.watcher
		c.mu.Unlock()
		probing, stop := context.WithCancel(ctx)
		wg.Go(func() { w.Run(probing, func(ch probe.Change) { c.changed(w, ch) }) })
		select {
		case <-ctx.Done():
		case <-c.startC:
		}
		stop()
	}
	endedC := make(chan struct{})
	go func() { wg.Wait(); close(endedC) }()
	select {
	case <-endedC:
	case <-time.After(goodbye):
	}
}

// changed passes on what the present watcher says; one that a reload has replaced
// has told its successor.
func (c *checks) changed(w *probe.Watcher, ch probe.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w == c.watcher {
		c.post(appliance.CheckChanged{Name: ch.Name, State: ch.To, Value: ch.Value, Why: ch.Why})
	}
}

func (c *checks) facts() ([]config.Check, []health.Facts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.specs, c.watcher.Facts()
}

func (c *checks) status() []appliance.CheckStatus {
	specs, facts := c.facts()
	out := make([]appliance.CheckStatus, 0, len(specs))
	for i, k := range specs {
		out = append(out, appliance.CheckStatus{Name: k.Name, Kind: string(k.Kind), State: facts[i].State.String(),
			Since: facts[i].Since, LastError: facts[i].Why})
	}
	return out
}

// flapping names the checks that go up and down.
func (c *checks) flapping() string {
	specs, facts := c.facts()
	var names []string
	for i, f := range facts {
		if f.Flapping {
			names = append(names, fmt.Sprintf("%s: %d changes so far", specs[i].Name, f.Changes))
		}
	}
	return strings.Join(names, "; ")
}

// tellLinks tells Core how the interfaces are that weigh something.
func (n *node) tellLinks(names ...string) {
	for _, name := range n.settled.config().WeighedInterfaces() {
		if len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		l, err := n.addresses.Link(name) // an error: there is none
		n.runner.Post(appliance.LinkChanged{Name: name, Up: err == nil && l.Running})
	}
}

// probes makes something to try of each check.
func probes(cfg *config.Config) (out []probe.Check) {
	for _, k := range cfg.Checks {
		p, err := prober(k)
		if err != nil {
			p = impossible{err}
		}
		subject := k
		subject.Every, subject.Timeout, subject.Rise, subject.Fall = 0, 0, 0, 0
		out = append(out, probe.Check{CheckConfig: k.Pace(), Spread: health.Spread(cfg.Node, k.Name, k.Every),
			Prober: p, Subject: fmt.Sprintf("%+v", subject)})
	}
	return out
}

func prober(k config.Check) (probe.Prober, error) {
	switch k.Kind {
	case config.CheckICMP:
		return probe.NewICMP(probe.ICMPConfig{Target: k.Target.Addr(), Source: k.Source, Interface: k.Interface})
	case config.CheckTCP:
		return probe.NewTCP(probe.TCPConfig{Target: k.Target, Source: k.Source, Interface: k.Interface})
	case config.CheckFile:
		if k.Value {
			return &probe.FileValue{Path: k.Path}, nil
		}
		return &probe.File{Path: k.Path, Absent: k.Absent}, nil
	case config.CheckProcess:
		return &probe.Process{Name: k.Process, Args: k.Args, Min: k.Min, Max: k.Max}, nil
	case config.CheckRoute:
		return &probe.Route{To: k.To, Prefix: k.Prefix, Table: k.Table, Interface: k.Interface}, nil
	case config.CheckScript:
		return probe.NewScript(probe.ScriptConfig{Argv: k.Command, User: k.User})
	}
	return nil, fmt.Errorf("a check of kind %q cannot be made", k.Kind)
}

// impossible is a check that cannot even be tried, as when a script's user does
// not exist here. That it is down is better than a gateway that does not start.
type impossible struct{ err error }

func (p impossible) Probe(context.Context) error { return p.err }
