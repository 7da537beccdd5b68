package daemon

import (
	"slices"

	"understudy/appliance/config"
	"understudy/appliance/notify"
	"understudy/vrrp"
)

// priorities has pipes told of changes of priorities, of those routers whose file asks for it. It is the runner's
// loop's alone.
type priorities struct {
	states map[string]vrrp.State // by group, as they were told last
}

// priorityWords are what a change of priority is called in a state; in others it is not a word, as with keepalived.
var priorityWords = map[vrrp.State]string{vrrp.Active: notify.ActivePriority, vrrp.Backup: notify.BackupPriority}

// note remembers what pipes have been told of a group.
func (p *priorities) note(group string, s vrrp.State) {
	if p.states == nil {
		p.states = map[string]vrrp.State{}
	}
	p.states[group] = s
}

// lines say that a group's routers have another priority now, since what is added to it is weight instead of was.
func (p *priorities) lines(cfg *config.Config, group string, was, weight int) (lines []string) {
	word, ok := priorityWords[p.states[group]]
	i := slices.IndexFunc(cfg.Groups, func(g config.Group) bool { return g.Name == group })
	if !ok || i < 0 {
		return nil
	}
	for _, name := range cfg.Groups[i].Routers {
		r := cfg.Router(name)
		now := vrrp.Weighed(r.Priority, weight)
		if !r.TellPriority || now == vrrp.Weighed(r.Priority, was) {
			continue
		}
		s := notify.Spec{Subject: notify.Subject{Kind: notify.Router, Name: name}, Called: cfg.Called("vrrp_instance", name)}
		lines = append(lines, s.Line(notify.Event{State: word, Priority: int(now)}))
	}
	return lines
}

// weighed hears that something else is added to a group's priorities.
func (n *node) weighed(group string, was, weight int) {
	n.saysWeight(group, was, weight)
	for _, l := range n.priorities.lines(n.settled.config(), group, was, weight) {
		n.pipes.say(config.PipeRouters, false, l)
	}
}
