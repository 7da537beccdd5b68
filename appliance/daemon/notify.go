package daemon

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"understudy/appliance"
	"understudy/appliance/config"
	"understudy/appliance/kernel"
	"understudy/appliance/notify"
	"understudy/vrrp"
)

// notifyDir is where it is kept what programs were told, for the next daemon.
const notifyDir = "notify"

// goodbyeBound is how long programs may take to hear of the end. The election gives
// the daemon 5 s to tidy up.
const goodbyeBound = 2500 * time.Millisecond

func newNotifier(n *node, cfg *config.Config) *notify.Notifier {
	dir, err := kernel.RuntimeDir(RunDir) // two nodes of a machine have routers of one name
	if err != nil {
		dir = RunDir
	}
	out := notify.New(notify.Config{Node: cfg.Node, Dir: filepath.Join(dir, notifyDir), Logger: n.log, Inherit: cfg.Spoken != nil})
	out.Set(notifySpecs(cfg))
	return out
}

// routersOf returns the virtual routers of one [[router]], by its name.
func routersOf(cfg *config.Config, name string) (out []config.Router) {
	for _, r := range cfg.Routers {
		if r.Name == name {
			out = append(out, r)
		}
	}
	return out
}

// notifySpecs are the programs that are told, and what does not change about whom
// they are told of.
func notifySpecs(cfg *config.Config) (specs []notify.Spec) {
	for _, g := range cfg.Groups {
		specs = append(specs, notify.Spec{Subject: notify.Subject{Kind: notify.Group, Name: g.Name}, Called: cfg.Called("vrrp_sync_group", g.Name), Commands: notifyCommands(g.Notify),
			Env: []string{"UNDERSTUDY_GROUP=" + g.Name, "UNDERSTUDY_ROUTERS=" + strings.Join(g.Routers, " ")}})
		for _, name := range g.Routers {
			var addresses []string
			both := routersOf(cfg, name)
			for _, r := range both {
				for _, a := range r.Held() {
					addresses = append(addresses, a.String())
				}
			}
			specs = append(specs, notify.Spec{Subject: notify.Subject{Kind: notify.Router, Name: name}, Called: cfg.Called("vrrp_instance", name), Commands: notifyCommands(both[0].Notify),
				Env: []string{"UNDERSTUDY_GROUP=" + g.Name, "UNDERSTUDY_ROUTER=" + name, "UNDERSTUDY_INTERFACE=" + both[0].Interface,
					fmt.Sprintf("UNDERSTUDY_VRID=%d", both[0].VRID), "UNDERSTUDY_ADDRESSES=" + strings.Join(addresses, " ")}})
		}
	}
	return append(append(specs, outranksSpecs(cfg)...), entrySpecs(cfg)...)
}

func notifyCommands(list []config.Notify) (out []notify.Command) {
	for _, n := range list {
		c := notify.Command{Argv: n.Command, User: n.User, Before: n.When == config.WhenBefore, Timeout: n.Timeout, Style: notify.Style(n.Arguments)}
		for _, s := range n.States {
			c.States = append(c.States, string(s))
		}
		out = append(out, c)
	}
	return out
}

// notifies tells whether programs are told of a group or of one of its routers, and
// how long its activation waits for some of them at most.
func notifies(cfg *config.Config, g config.Group) (told bool, prepare time.Duration) {
	lists := [][]config.Notify{g.Notify}
	for _, name := range g.Routers {
		lists = append(lists, routersOf(cfg, name)[0].Notify)
	}
	for _, list := range lists {
		var wait time.Duration // one after the other; lists beside each other
		for _, n := range list {
			told = true
			if n.When == config.WhenBefore {
				wait += n.Timeout
			}
		}
		prepare = max(prepare, wait)
	}
	return told || pipesOf(cfg) || mailedOf(cfg, g), prepare
}

// news is what is told of a group, for the group and each of its routers: they have
// one state.
func (n *node) news(a appliance.Notify) map[notify.Subject]notify.Event {
	cfg := n.settled.config()
	i := slices.IndexFunc(cfg.Groups, func(g config.Group) bool { return g.Name == a.Group })
	if i < 0 || a.State == vrrp.Initialize && a.Cause == string(vrrp.CauseReconfigure) {
		return nil // a reload has taken it away, or is about to, and with it those who were told: they hear of that
	}
	ev := notify.Event{State: a.State.String(), Term: a.Term, Cause: a.Cause, Known: a.Known}
	if a.State == vrrp.Initialize && a.Cause == appliance.CauseShutdown {
		ev.Ending = notify.Stop
	}
	out := map[notify.Subject]notify.Event{{Kind: notify.Group, Name: a.Group}: ev}
	for _, name := range cfg.Groups[i].Routers {
		ev.Priority = int(vrrp.Weighed(routersOf(cfg, name)[0].Priority, a.Weight))
		out[notify.Subject{Kind: notify.Router, Name: name}] = ev
	}
	return out
}

func (n *node) tellPrograms(a appliance.Notify) {
	news := n.news(a)
	n.tellPipes(a, news)
	n.priorities.note(a.Group, a.State)
	n.mailOf(a, news)
	for s, ev := range news {
		n.notify.Tell(s, ev)
	}
}

// beforeActivation runs what an activation waits for.
func (n *node) beforeActivation(ctx context.Context, a appliance.Notify) {
	n.notify.Before(ctx, n.news(a))
}

// sayGoodbye waits, within bounds, until programs have heard of the end.
func (n *node) sayGoodbye() {
	ctx, cancel := context.WithTimeout(context.Background(), goodbyeBound)
	defer cancel()
	n.entries.end()
	var all sync.WaitGroup
	all.Go(func() { n.notify.Finish(ctx) })
	all.Go(func() { n.pipes.end(ctx) })
	all.Go(func() { n.mail.Finish(ctx) })
	all.Wait()
}

func (n *node) notifyStatus(kind notify.Kind, name string) []appliance.NotifyStatus {
	out := []appliance.NotifyStatus{}
	for _, s := range n.notify.Status(notify.Subject{Kind: kind, Name: name}) {
		one := appliance.NotifyStatus{Command: s.Command, State: s.State, Running: s.Running, Runs: s.Runs, Failures: s.Failures, Error: s.Error}
		if s.Runs > 0 {
			at := s.At
			one.At, one.DurationSeconds, one.ExitCode = &at, s.Took.Seconds(), s.Code
		}
		out = append(out, one)
	}
	return out
}
