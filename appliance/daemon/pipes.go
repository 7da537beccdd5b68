package daemon

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"

	"understudy/appliance"
	"understudy/appliance/config"
	"understudy/appliance/notify"
	"understudy/nat/entry"
)

// pipes are the FIFOs that are told of events.
type pipes struct {
	log     *slog.Logger
	inherit bool // who reads them has our environment: the node's file is keepalived's

	mu   sync.Mutex
	list []openPipe
}

type openPipe struct {
	*notify.Pipe
	cfg config.Pipe
}

// samePipe tells whether a reload leaves a pipe as it is.
func samePipe(a, b config.Pipe) bool {
	return a.Path == b.Path && a.User == b.User && slices.Equal(a.Command, b.Command)
}

// set goes over to the pipes of a configuration. One that stays goes on, and so does
// whoever reads it.
func (p *pipes) set(ctx context.Context, list []config.Pipe) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var next []openPipe
	var gone sync.WaitGroup
	for _, o := range p.list {
		i := slices.IndexFunc(list, func(c config.Pipe) bool { return samePipe(c, o.cfg) })
		if i < 0 {
			gone.Go(func() { o.Close(ctx) })
			continue
		}
		o.cfg = list[i]
		next = append(next, o)
	}
	gone.Wait() // the next one may have the same path
	for _, c := range list {
		if slices.ContainsFunc(next, func(o openPipe) bool { return o.cfg.Path == c.Path }) {
			continue
		}
		one, err := notify.OpenPipe(notify.PipeConfig{Path: c.Path, User: c.User, Command: c.Command, Inherit: p.inherit, Logger: p.log})
		if err != nil {
			p.log.Error("events are not written", "err", err)
			continue
		}
		next = append(next, openPipe{one, c})
	}
	p.list = next
}

// say writes a line into each pipe that is told of such news. Repeat: it is nothing new.
func (p *pipes) say(news config.PipeNews, repeat bool, line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.list {
		if o.cfg.Tells(news) && (!repeat || o.cfg.Repeat) {
			o.Say(line)
		}
	}
}

// setPipes goes over to the pipes of a new configuration, and says in them what is gone.
func (n *node) setPipes(ctx context.Context, old, now *config.Config) {
	ctx, cancel := context.WithTimeout(ctx, goodbyeBound)
	defer cancel()
	n.pipes.set(ctx, now.Pipes)
	n.tellPipesOfEnd(old, now)
	n.mailOfEnd(old, now)
}

// end closes them all.
func (p *pipes) end(ctx context.Context) { p.set(ctx, nil) }

// pipesOf tells whether events of routers are written anywhere.
func pipesOf(cfg *config.Config) bool {
	return slices.ContainsFunc(cfg.Pipes, func(p config.Pipe) bool { return p.Tells(config.PipeRouters) })
}

// tellPipes says how a group and its routers are: the routers first. A group that has
// been made for one router alone is not a word.
func (n *node) tellPipes(a appliance.Notify, news map[notify.Subject]notify.Event) {
	cfg := n.settled.config()
	if !pipesOf(cfg) {
		return
	}
	repeat := a.Known && a.Cause == appliance.CauseReload
	specs := notifySpecs(cfg)
	say := func(s notify.Subject) {
		i := slices.IndexFunc(specs, func(spec notify.Spec) bool { return spec.Subject == s })
		if ev, ok := news[s]; ok && i >= 0 {
			n.pipes.say(config.PipeRouters, repeat, specs[i].Line(ev))
		}
	}
	i := slices.IndexFunc(cfg.Groups, func(g config.Group) bool { return g.Name == a.Group })
	if i < 0 {
		return
	}
	for _, name := range cfg.Groups[i].Routers {
		say(notify.Subject{Kind: notify.Router, Name: name})
	}
	if wordOfItsOwn(cfg, cfg.Groups[i]) {
		say(notify.Subject{Kind: notify.Group, Name: a.Group})
	}
}

// wordOfItsOwn tells whether a group is in the file, and not only made for a router.
func wordOfItsOwn(cfg *config.Config, g config.Group) bool {
	if cfg.Spoken != nil {
		return syncGroup(cfg, g.Name) != nil
	}
	return len(g.Routers) != 1 || g.Routers[0] != g.Name
}

// tellPipesOfEnd says what a reload has taken out of the file.
func (n *node) tellPipesOfEnd(old, now *config.Config) {
	if !pipesOf(now) {
		return
	}
	kept := notifySpecs(now)
	for _, s := range notifySpecs(old) {
		if s.Kind != notify.Router && s.Kind != notify.Group || slices.ContainsFunc(kept, func(k notify.Spec) bool { return k.Subject == s.Subject }) {
			continue
		}
		ev := notify.Event{State: "initialize", Ending: notify.Deleted}
		if s.Kind == notify.Router {
			ev.Priority = int(routersOf(old, s.Name)[0].Priority)
		} else if i := slices.IndexFunc(old.Groups, func(g config.Group) bool { return g.Name == s.Name }); i < 0 || !wordOfItsOwn(old, old.Groups[i]) {
			continue
		}
		n.pipes.say(config.PipeRouters, false, s.Line(ev))
	}
}

// serverWords are what pipes are told of entry points.
var serverWords = map[config.EntryEvent]string{config.EntryUp: "UP", config.EntryDown: "DOWN"}

// tellPipesOfEntry says that a server, or an entry point, is there or not. With the node it is
// not, where anybody is told of that.
func (n *node) tellPipesOfEntry(t entryTold) {
	cfg := n.settled.config()
	if cfg.Mappings == nil {
		return
	}
	i := slices.IndexFunc(cfg.Mappings.Entries, func(e config.Entry) bool { return e.Name == t.name })
	if i < 0 {
		return
	}
	e := &cfg.Mappings.Entries[i]
	word, ok := serverWords[t.event]
	if t.event == config.EntryEnd {
		word, ok = serverWords[config.EntryDown], slices.ContainsFunc(e.Notify, func(n config.EntryNotify) bool { return slices.Contains(n.On, config.EntryEnd) })
	}
	if ok {
		n.pipes.say(config.PipeServers, false, serverLine(cfg.ServerGroup(e.Name), e.Match, t.server, word))
	}
}

func serverLine(group string, m entry.Match, server netip.AddrPort, word string) string {
	vs := serviceName(group, m)
	if !server.IsValid() {
		return "VS " + vs + " " + word
	}
	return "RS " + serverName(m, server) + " " + vs + " " + word
}
