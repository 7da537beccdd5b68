package pair

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"

	"understudy/appliance"
	"understudy/appliance/control"
	"understudy/appliance/history"
	"understudy/appliance/lab"
)

// Gateway is one of the two machines and the program on it.
type Gateway struct {
	*lab.Node
	pair  *Pair
	index int

	mu      sync.Mutex
	process *lab.Process
	before  []*lab.Process
	client  *control.Client
}

// Start writes the gateway's files and starts `understudy run`. It returns as
// soon as the process runs; see [Pair.Wait].
func (g *Gateway) Start() error {
	if err := g.WriteFile(configPath, []byte(g.Config()), 0o644); err != nil {
		return err
	}
	if err := g.WriteFile(secretPath, []byte(g.pair.secret), 0o600); err != nil {
		return err
	}
	args := append([]string{"run", "--config", configPath, "--control", socketPath}, g.pair.opt.Args...)
	cmd := exec.Command(g.pair.opt.Binary, args...)
	cmd.Env = append(cmd.Environ(), g.pair.opt.Env...)
	if w := g.pair.opt.Log; w != nil {
		cmd.Stdout = &prefixed{w: w, prefix: g.Name + " | "}
	}
	proc, err := g.StartWith(cmd)
	if err != nil {
		return err
	}
	path, err := g.Path(socketPath)
	if err != nil {
		return err
	}
	g.disconnect()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.process != nil {
		g.before = append(g.before, g.process)
	}
	g.process, g.client = proc, control.NewClient(path)
	return nil
}

// Check has the program judge the gateway's configuration, and starts nothing.
func (g *Gateway) Check() error {
	if err := g.WriteFile(configPath, []byte(g.Config()), 0o644); err != nil {
		return err
	}
	if err := g.WriteFile(secretPath, []byte(g.pair.secret), 0o600); err != nil {
		return err
	}
	p, err := g.Node.Start(g.pair.opt.Binary, "check", "--config", configPath)
	if err != nil {
		return err
	}
	<-p.Done()
	if p.Err() != nil {
		return fmt.Errorf("pair: configuration of %s: %w: %s", g.Name, p.Err(), strings.TrimSpace(p.Output()))
	}
	return nil
}

// Process is the program as started last, nil before the first start. Its child
// is found by [lab.Node.Pids].
func (g *Gateway) Process() *lab.Process {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.process
}

// Status asks the program over its control socket.
func (g *Gateway) Status(ctx context.Context) (appliance.Status, error) {
	c, err := g.connected()
	if err != nil {
		return appliance.Status{}, err
	}
	return c.Status(ctx)
}

// Events asks the program what happened; if there is nothing, it waits so long at most.
func (g *Gateway) Events(ctx context.Context, q history.Query, wait time.Duration) (history.Answer, error) {
	c, err := g.connected()
	if err != nil {
		return history.Answer{}, err
	}
	return c.Events(ctx, q, wait)
}

// Takeovers asks the program for the reports of its last takeovers, the latest first.
func (g *Gateway) Takeovers(ctx context.Context) ([]appliance.TakeoverStatus, error) {
	c, err := g.connected()
	if err != nil {
		return nil, err
	}
	return c.Takeovers(ctx)
}

// Failover asks the program to hand over.
func (g *Gateway) Failover(ctx context.Context) error {
	c, err := g.connected()
	if err != nil {
		return err
	}
	return c.Failover(ctx, Group, false)
}

// Reload asks the program to read its configuration again.
func (g *Gateway) Reload(ctx context.Context) error {
	c, err := g.connected()
	if err != nil {
		return err
	}
	return c.Reload(ctx)
}

// Upgrade asks the program for another daemon, from its file as it is now. It returns before
// that is there: see [Gateway.Renewed].
func (g *Gateway) Upgrade(ctx context.Context) error {
	c, err := g.connected()
	if err != nil {
		return err
	}
	_, err = c.Upgrade(ctx)
	return err
}

// UpgradeElection asks the program for another election, of its daemon's version.
func (g *Gateway) UpgradeElection(ctx context.Context) error {
	c, err := g.connected()
	if err != nil {
		return err
	}
	return c.UpgradeElection(ctx)
}

// Transitions is what the program remembers of changes of its state since then. It outlives
// both of its processes, but not a reboot.
func (g *Gateway) Transitions(ctx context.Context, since time.Time) ([]history.Event, error) {
	c, err := g.connected()
	if err != nil {
		return nil, err
	}
	a, err := c.Events(ctx, history.Query{Kind: history.Transition, Since: since}, 0)
	return a.Events, err
}

// Output is what the program wrote since it was started last.
func (g *Gateway) Output() string {
	if p := g.Process(); p != nil {
		return p.Output()
	}
	return ""
}

// Outputs is what the program wrote, one element for each time it was started.
func (g *Gateway) Outputs() (all []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.before {
		all = append(all, p.Output())
	}
	if g.process != nil {
		all = append(all, g.process.Output())
	}
	return all
}

func (g *Gateway) connected() (*control.Client, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.client == nil {
		return nil, fmt.Errorf("pair: %s was not started", g.Name)
	}
	return g.client, nil
}

func (g *Gateway) disconnect() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.client != nil {
		g.client.Close()
		g.client = nil
	}
}

// prefixed writes whole lines with a prefix.
type prefixed struct {
	w      io.Writer
	prefix string
	rest   []byte
}

func (p *prefixed) Write(b []byte) (int, error) {
	p.rest = append(p.rest, b...)
	for {
		line, rest, ok := bytes.Cut(p.rest, []byte{'\n'})
		if !ok {
			return len(b), nil
		}
		if _, err := fmt.Fprintf(p.w, "%s%s\n", p.prefix, line); err != nil {
			return 0, err
		}
		p.rest = rest
	}
}
