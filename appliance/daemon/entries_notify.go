package daemon

import (
	"net/netip"
	"slices"

	"understudy/appliance/config"
	"understudy/appliance/notify"
	"understudy/nat/entry"
)

// entrySpecs are the programs that are told of entry points and their servers.
func entrySpecs(cfg *config.Config) (specs []notify.Spec) {
	if cfg.Mappings == nil {
		return nil
	}
	for _, e := range cfg.Mappings.Entries {
		all := []netip.AddrPort{{}}
		for _, s := range e.Servers {
			all = append(all, s.Address)
		}
		for _, server := range all {
			spec := notify.Spec{Subject: entrySubject(e.Name, server), Env: []string{"UNDERSTUDY_ENTRY=" + e.Name, "UNDERSTUDY_ADDRESS=" + e.Match.String()}}
			if server.IsValid() {
				spec.Env = append(spec.Env, "UNDERSTUDY_SERVER="+entry.AddressText(server))
			}
			for _, n := range e.Notify {
				if n.Server != server {
					continue
				}
				c := notify.Command{Argv: n.Command, User: n.User, Timeout: n.Timeout, Style: notify.Plain}
				for _, on := range n.On {
					c.States = append(c.States, string(on))
				}
				spec.Commands = append(spec.Commands, c)
			}
			specs = append(specs, spec)
		}
	}
	return specs
}

// entrySubject is an entry point, or one of its servers.
func entrySubject(name string, server netip.AddrPort) notify.Subject {
	if !server.IsValid() {
		return notify.Subject{Kind: notify.Entry, Name: name}
	}
	return notify.Subject{Kind: notify.Server, Name: name + " " + entry.AddressText(server)}
}

// entryTold is something that has happened to an entry point, or to a server of it.
type entryTold struct {
	name   string
	server netip.AddrPort // invalid: to the entry point
	event  config.EntryEvent
	first  bool // the first word on it: it may have been so for a while
	begins bool // it is there from the beginning: nothing has happened
	weight int  // of all servers of the entry point that are there
	why    string
}

// tellOfEntries passes on to programs what happens to entry points.
func (n *node) tellOfEntries(t entryTold) {
	cfg := n.settled.config()
	if anotherTells(cfg, t) {
		return
	}
	n.tellPipesOfEntry(t)
	if t.begins && cfg.Spoken == nil {
		return // keepalived has programs told of the beginning, and nobody else has asked for it
	}
	n.mailOfEntry(t)
	n.notify.Tell(entrySubject(t.name, t.server), notify.Event{State: string(t.event), Known: t.first})
}

// anotherTells: of a virtual_server_group the same happens to each line at once, and the first
// one tells of it; of a server, the first one that has it.
func anotherTells(cfg *config.Config, t entryTold) bool {
	group := cfg.ServerGroup(t.name)
	if group == "" || cfg.Mappings == nil {
		return false
	}
	for _, e := range cfg.Mappings.Entries {
		switch {
		case e.Name == t.name:
			return false
		case cfg.ServerGroup(e.Name) != group:
		case !t.server.IsValid() || slices.ContainsFunc(e.Servers, func(s entry.Server) bool { return s.Address == t.server }):
			return true
		}
	}
	return false
}

// turned tells of what has come of an event. It is called with the lock held.
func (e *entries) turned(p *steered, out entry.Output, first bool) {
	if e.tell == nil {
		return
	}
	event := func(there bool) config.EntryEvent {
		if there {
			return config.EntryUp
		}
		return config.EntryDown
	}
	cfg := p.set.Config()
	told := entryTold{name: cfg.Name, first: first, why: e.why}
	for i, s := range cfg.Servers {
		if p.set.There(i) {
			told.weight += s.Weight
		}
	}
	for _, i := range out.Turned {
		told.server, told.event = cfg.Servers[i].Address, event(p.set.There(i))
		e.tell(told)
	}
	if out.Quorum {
		told.server, told.event = netip.AddrPort{}, event(p.set.Quorate())
		e.tell(told)
	}
}

// begin tells of the entry points that have enough servers from the beginning: all, but for
// those that there were before.
func (e *entries) begin(before *config.Config) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.tell == nil {
		return
	}
	var old []entry.Config
	if before != nil {
		old = before.Entries()
	}
	for _, p := range e.points {
		name := p.set.Config().Name
		if p.set.Quorate() && !slices.ContainsFunc(old, func(c entry.Config) bool { return c.Name == name }) {
			e.tell(entryTold{name: name, event: config.EntryUp, first: true, begins: true})
		}
	}
}

// end tells that the node stops, of all that is there.
func (e *entries) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.tell == nil {
		return
	}
	for _, p := range e.points {
		cfg := p.set.Config()
		for i, s := range cfg.Servers {
			if p.set.There(i) {
				e.tell(entryTold{name: cfg.Name, server: s.Address, event: config.EntryEnd})
			}
		}
		if p.set.Quorate() {
			e.tell(entryTold{name: cfg.Name, event: config.EntryEnd})
		}
	}
}
