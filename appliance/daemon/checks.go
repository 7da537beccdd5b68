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
	post  func(appliance.Event)
	heard *probe.Heard

	mu      sync.Mutex
	specs   []config.Check
	watcher *probe.Watcher
	startC  chan struct{} // holds one: watcher is another
}

func newChecks(cfg *config.Config, post func(appliance.Event)) *checks {
	c := &checks{post: post, heard: probe.NewHeard(), startC: make(chan struct{}, 1)}
	c.specs = cfg.Checks
	c.watcher = c.watch(cfg, nil)
	return c
}

// watch is a watcher of the checks of cfg.
func (c *checks) watch(cfg *config.Config, before *probe.Watcher) *probe.Watcher {
	list := probes(cfg)
	// What hears is told of a failure that comes before as any other check is.
	sources, failed := sources(cfg, c.heard)
	for i, err := range failed {
		list[i].Prober = impossible{err}
		list[i].Pushed = false
	}
	return probe.NewWatcher(list, before, sources...)
}

// set goes over to the checks of cfg. Those that stay keep what is known of them,
// and say it again: their last word may have been on its way.
func (c *checks) set(cfg *config.Config) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.specs = cfg.Checks
	c.watcher = c.watch(cfg, c.watcher)
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
		f := facts[i]
		s := appliance.CheckStatus{Name: k.Name, Kind: string(k.Kind), State: f.State.String(), Since: f.Since, LastError: f.Why,
			TookSeconds: f.Took.Seconds(), Results: f.Results, Failures: f.Failures, Timeouts: f.Timeouts, Changes: f.Changes,
			Flapping: f.Flapping, Checks: slices.Clone(k.Checks), Drops: map[string]uint64{}}
		if s.Checks == nil {
			s.Checks = []string{}
		}
		if k.Value {
			s.Value = &f.Value
		}
		if f.Damped {
			s.DampedUntil = &f.Until
		}
		if k.Listen.IsValid() {
			s.Drops = c.heard.DropsOf(k.Listen, k.Server)
		}
		out = append(out, s)
	}
	return out
}

// heartbeats is where beats are heard, each address once.
func (c *checks) heartbeats() []appliance.HeartbeatStatus {
	specs, _ := c.facts()
	out := []appliance.HeartbeatStatus{}
	for _, k := range specs {
		at := k.Listen.String()
		if k.Listen.IsValid() && !slices.ContainsFunc(out, func(s appliance.HeartbeatStatus) bool { return s.Listen == at }) {
			out = append(out, appliance.HeartbeatStatus{Listen: at, Drops: c.heard.Drops(k.Listen)})
		}
	}
	return out
}

// flapping names the checks that go up and down.
func (c *checks) flapping() string {
	specs, facts := c.facts()
	var names []string
	for i, f := range facts {
		if f.Flapping || f.Damped {
			text := fmt.Sprintf("%s: %d changes so far", specs[i].Name, f.Changes)
			if f.Damped {
				text += ", held down"
			}
			names = append(names, text)
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
