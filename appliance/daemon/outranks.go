package daemon

import (
	"fmt"
	"slices"

	"understudy/appliance/config"
	"understudy/appliance/notify"
	"understudy/vrrp/election"
)

// outranksSpecs are the programs that are told of adverts of a lower priority. They have
// lanes of their own: what they are told is no state, and follows none.
func outranksSpecs(cfg *config.Config) (specs []notify.Spec) {
	var seen []string
	for _, r := range cfg.Routers {
		if slices.Contains(seen, r.Name) {
			continue // of two families
		}
		seen = append(seen, r.Name)
		list := slices.DeleteFunc(slices.Clone(r.Notify), func(n config.Notify) bool { return !slices.Contains(n.States, config.NotifyInferior) })
		if len(list) == 0 {
			continue
		}
		specs = append(specs, notify.Spec{Subject: notify.Subject{Kind: notify.Outranks, Name: r.Name}, Called: cfg.Called("vrrp_instance", r.Name),
			Commands: ofInferior(list), Env: []string{"UNDERSTUDY_ROUTER=" + r.Name, "UNDERSTUDY_INTERFACE=" + r.Interface, fmt.Sprintf("UNDERSTUDY_VRID=%d", r.VRID)}})
	}
	return specs
}

// ofInferior has them told of that alone.
func ofInferior(list []config.Notify) []notify.Command {
	out := notifyCommands(list)
	for i := range out {
		out[i].States = []string{string(config.NotifyInferior)}
	}
	return out
}

// outranks tells that a router has heard an advert that does not outrank it.
func (n *node) outranks(m election.Inferior) {
	cfg := n.settled.config()
	if n.speaks(cfg) {
		n.log.Info(fmt.Sprintf("(%s) Received advert from %v with lower priority %d, forcing new election", cfg.Called("vrrp_instance", m.Router), m.Source, m.Priority))
	}
	specs := outranksSpecs(cfg)
	i := slices.IndexFunc(specs, func(s notify.Spec) bool { return s.Name == m.Router })
	if i < 0 {
		return
	}
	priority := 0
	for _, r := range routersOf(cfg, m.Router) {
		if r.Family == m.Family {
			priority = int(r.Priority)
		}
	}
	ev := notify.Event{State: string(config.NotifyInferior), Priority: priority, Cause: fmt.Sprintf("%v advertises with priority %d", m.Source, m.Priority)}
	n.pipes.say(config.PipeRouters, false, specs[i].Line(ev))
	n.notify.Tell(specs[i].Subject, ev)
}
