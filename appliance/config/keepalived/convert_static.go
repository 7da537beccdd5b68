package keepalived

import (
	"slices"
)

// static owns what does not move.
var static = owner{name: "static", word: "static"}

// statics make the table of what does not move, and find out which instances need
// what of it.
func (c *converter) statics() {
	s := c.file.Static
	if s.At.Line == 0 {
		return
	}
	own := static
	own.iface = c.file.Global.DefaultInterface.or(defaultInterface)
	t := newTable(Origin{s.At, "static_ipaddress, static_routes, static_rules"})
	for _, a := range s.Addresses {
		dev := a.Dev
		if dev == "" {
			dev = own.iface
		}
		text := a.Prefix.String() + " dev " + dev + a.As
		if alone := a.Prefix.Addr().Is6() && a.Prefix.IsSingleIP(); alone && !a.preferred() {
			text += " preferred 0" // what keepalived does with one alone
		}
		t.add("addresses", text, Origin{a.At, "static_ipaddress"})
		if a.Group != "" {
			c.inGroup(a.At, a.Group, dev)
		}
	}
	for _, n := range s.Routes {
		c.route(own, t, n)
	}
	for _, n := range s.Rules {
		c.rule(own, t, n)
	}
	if len(t.keys) > 0 {
		c.doc.set("static", t, t.Origin)
	}
}

// inGroup has the instances of a track_group depend on the interfaces that something
// needs. That it is removed is no fault: it is put back.
func (c *converter) inGroup(at Place, group string, interfaces ...string) {
	i := slices.IndexFunc(c.file.Static.Groups, func(g TrackGroup) bool { return g.Name == group })
	if i < 0 {
		c.say(at, Fault, "track_group %s not found", group)
		return
	}
	for _, m := range c.file.Static.Groups[i].Members {
		for _, name := range interfaces {
			c.needs[m.V] = append(c.needs[m.V], need{name, Origin{at, "track_group " + group}})
		}
	}
}

// need is an interface that an instance depends on by a track_group.
type need struct {
	iface string
	from  Origin
}

// leads are the interfaces by which a route leads.
func leads(t *Table) (list []string) {
	hops, _ := t.values["nexthops"].([]*Table)
	for _, h := range append([]*Table{t}, hops...) {
		if dev, ok := h.values["dev"].(string); ok && !slices.Contains(list, dev) {
			list = append(list, dev)
		}
	}
	return list
}
