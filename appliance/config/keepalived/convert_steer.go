package keepalived

import (
	"cmp"
	"strings"
)

// steering is how servers are chosen.
type steering struct {
	name     string
	weighs   bool
	byWeight bool // servers in the order of their weights
	overflow bool // each until it has as many connections as it weighs
}

// algorithms are those of IPVS.
var algorithms = map[string]steering{
	"rr": {name: "round-robin"}, "wrr": {name: "weighted", weighs: true},
	"lc": {name: "least-connections"}, "wlc": {name: "least-connections", weighs: true},
	"sed": {name: "least-connections", weighs: true}, "nq": {name: "least-connections", weighs: true}, "twos": {name: "least-connections", weighs: true},
	"sh": {name: "source-hash", weighs: true}, "mh": {name: "consistent-hash", weighs: true},
	"dh": {name: "primary"}, "fo": {name: "primary", byWeight: true}, "ovf": {name: "primary", byWeight: true, overflow: true},
}

func (c *converter) steer(v *VirtualServer, refuse func(Place, Level, string, ...any)) (steering, bool) {
	o := optionOf(v.Options, "lb_algo", "lvs_sched")
	name := strings.ToLower(cmp.Or(o.arg(0), "wlc"))
	s, ok := algorithms[name]
	switch {
	case name == "lblc" || name == "lblcr":
		refuse(o.At, Fatal, "%s: it goes by where a client wants to go, which is of use to caches that are no servers; use sh or wlc", name)
		return s, false
	case name == "dh" && (v.Mark != 0 || v.Group != ""):
		refuse(o.At, Fatal, "dh: it goes by where a client wants to go; use sh")
		return s, false
	case !ok:
		c.say(o.At, Fault, "Invalid lvs_scheduler '%s' - ignoring", name)
		return algorithms["wlc"], true
	case name == "sed" || name == "nq" || name == "twos":
		c.say(o.At, Note, "%s is carried over as least-connections", name)
	case name == "dh":
		c.say(o.At, Note, "dh: to one address everything goes to one server: the first that is there")
	}
	return s, true
}

// byPort has the client's port count.
func (c *converter) byPort(t *Table, v *VirtualServer, steer steering) {
	for _, flag := range []struct{ word, scheduler string }{{"sh-port", "sh"}, {"mh-port", "mh"}} {
		switch o := optionOf(v.Options, flag.word); {
		case !o.set():
		case steer != algorithms[flag.scheduler]:
			level := Fault
			if steer == algorithms["sh"] || steer == algorithms["mh"] {
				level = Warning // keepalived says nothing
			}
			c.say(o.At, level, "%s only applies to %s scheduler - ignoring", flag.word, flag.scheduler)
		default:
			t.set("by_port", true, o.origin())
		}
	}
}
