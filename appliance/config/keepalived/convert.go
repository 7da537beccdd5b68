package keepalived

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Options choose what a configuration becomes beside what it says.
type Options struct {
	Conntrackd *Conntrackd // what the file of conntrackd says; nil: there is none
	Peer       netip.Addr  // the other node on the link of the sessions, if no file names it
	SecretFile string      // with the cluster secret; "": /etc/understudy/secret
	Before     *Names      // what things are called by a process that goes on; nil: nothing runs
}

// defaultSecret is where the cluster secret is, if nobody says otherwise.
const defaultSecret = "/etc/understudy/secret"

// Convert says what a configuration says as a document of Understudy's. What it
// cannot say is in the messages.
func Convert(f *File, o Options, w World) (*Document, []Message) {
	c := &converter{file: f, options: o, world: w, given: map[string]string{}, taken: map[string]bool{},
		used: map[string]bool{}, memberOf: map[string]*SyncGroup{}, needs: map[string][]need{},
		bounds: map[string]bounded{}}
	c.doc = &Document{Table: newTable(Origin{Word: top})}
	c.members()
	c.keepNames()
	c.node()
	c.delays()
	c.allNetworks()
	c.statics()
	c.routers()
	c.links()
	c.groups()
	c.checks()
	c.pipes()
	c.mail()
	c.hooks()
	c.servers()
	c.sessions()
	c.doc.Names, c.doc.Called = c.names(), c.given
	return c.doc, c.list
}

// Forward has the kernel forward only where something in the document needs it: where
// servers are translated to, or connections are kept for the other node. keepalived
// leaves that to whoever sets up the machine, and one with a service behind an address
// must not become a router.
func (d *Document) Forward() {
	d.drop("forwarding")
	if d.Has("sessions") {
		return
	}
	nat, _ := d.values["nat"].(*Table)
	if nat != nil {
		list, _ := nat.values["entry"].([]*Table)
		if slices.ContainsFunc(list, func(e *Table) bool { return e.values["forward"] == nil }) {
			return
		}
	}
	d.set("forwarding", false, Origin{Word: "keepalived leaves it as it is"})
}

type converter struct {
	messages
	file    *File
	options Options
	world   World
	doc     *Document

	given    map[string]string // names by kind and name in the file
	taken    map[string]bool   // by kind and name here
	used     map[string]bool   // kind and name of what is tracked
	needs    map[string][]need // by instance
	bounds   map[string]bounded
	memberOf map[string]*SyncGroup
	networks []netip.Prefix // of all addresses
	nextRule int
	shared   map[string]string // names of checks of servers, by what they check
}

// named returns the name that something has here: the same, if it can be one and
// nothing of its kind has it.
func (c *converter) named(kind, scope, name string, at Place) string {
	key := kind + " " + name
	if n, ok := c.given[key]; ok {
		return n
	}
	n := asName(name)
	for i := 2; c.taken[scope+" "+n]; i++ {
		n = fmt.Sprintf("%.56s-%d", asName(name), i)
	}
	if n != name {
		c.say(at, Note, "%s '%s' is called %s", kind, name, n)
	}
	c.given[key], c.taken[scope+" "+n] = n, true
	return n
}

// asName makes a name of anything: letters, digits, '-', '_' and '.'.
func asName(s string) string {
	out := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		}
		return '-'
	}, s)
	out = strings.TrimLeft(out, "-_.")
	if len(out) > 63 {
		out = out[:63]
	}
	if out == "" {
		return "unnamed"
	}
	return out
}

// node names the node. With sessions that has to be a name which the other node
// can know: an address.
func (c *converter) node() {
	g := c.file.Global
	switch {
	case c.options.Before != nil && c.options.Before.Node != "":
		// It is in what others know of us: a restart changes it.
		c.doc.set("node", c.options.Before.Node, Origin{Word: "the name that this node has"})
	case c.sessionPair():
		own, _ := c.pair()
		c.doc.set("node", own.String(), c.options.Conntrackd.origin())
	case g.RouterID.Set:
		n := asName(g.RouterID.V)
		if n != g.RouterID.V {
			c.say(g.RouterID.At, Note, "router_id '%s' is called %s", g.RouterID.V, n)
		}
		c.doc.set("node", n, Origin{g.RouterID.At, "router_id"})
	default:
		c.doc.set("node", asName(c.world.Hostname), Origin{Word: "name of this machine"})
	}
}

// members finds out which instance is in which group: the first that names it.
func (c *converter) members() {
	known := map[string]bool{}
	for _, in := range c.file.Instances {
		known[in.Name] = true
	}
	for _, g := range c.file.Groups {
		if len(g.Members) == 0 {
			c.say(g.At, Fault, "Sync group %s has no virtual router(s). removing", g.Name)
		}
		for _, m := range g.Members {
			switch {
			case !known[m.V]:
				c.say(m.At, Fault, "Virtual router %s specified in sync group %s doesn't exist - ignoring", m.V, g.Name)
			case c.memberOf[m.V] != nil:
				c.say(m.At, Fault, "Virtual router %s cannot exist in more than one sync group; ignoring %s", m.V, g.Name)
			default:
				c.memberOf[m.V] = g
			}
		}
	}
}

func (c *converter) groups() {
	made := map[string]bool{}
	for _, t := range c.routersMade() {
		made[t] = true
	}
	for _, g := range c.file.Groups {
		o := Origin{g.At, "vrrp_sync_group " + g.Name}
		var names []Of[string]
		for _, m := range g.Members {
			if c.memberOf[m.V] != g || slices.ContainsFunc(names, func(o Of[string]) bool { return o.V == m.V }) {
				continue
			}
			if n, ok := c.given["vrrp_instance "+m.V]; ok && made[n] {
				names = append(names, m)
			}
		}
		if len(names) == 0 {
			continue
		}
		t := c.doc.table("group", o)
		t.set("name", c.named("vrrp_sync_group", "group", g.Name, g.At), o)
		for _, m := range names {
			t.add("routers", c.given["vrrp_instance "+m.V], Origin{m.At, "group"})
		}
		c.notify(t, g.Notify, o.Word)
		c.alert(t, g.Alert, "groups")
	}
	for _, in := range c.file.Instances {
		own := c.given["vrrp_instance "+in.Name]
		if name := c.given["alone "+own]; name != "" && made[own] {
			o := Origin{in.At, "vrrp_instance " + in.Name}
			t := c.doc.table("group", o)
			t.set("name", name, o)
			t.add("routers", own, o)
			if on, _ := c.alertsOf("groups"); on && c.mails() {
				t.set("mail", false, o) // nobody has heard of it
			}
		}
	}
}

// routersMade are the names of the routers in the document.
func (c *converter) routersMade() (names []string) {
	list, _ := c.doc.values["router"].([]*Table)
	for _, t := range list {
		if n, ok := t.values["name"].(string); ok {
			names = append(names, n)
		}
	}
	return names
}

// states are the words for keepalived's.
var states = map[string]string{"master": "active", "backup": "backup", "fault": "fault", "stop": "stop", "deleted": "deleted", "master_rx_lower_pri": "inferior"}

// patience is how long a program may run: as long as it can be, because keepalived
// never ends one.
const patience = "10m"

// notify says which programs are told of states. One program that is told of
// several is there once. What is told of one state comes before what is told of all, as
// keepalived has it; and without a notify_deleted, to be deleted is a fault.
func (c *converter) notify(t *Table, list []Notified, whose string) {
	type key struct {
		command, user string
		all, deleted  bool
	}
	made := map[key]*Table{}
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b Notified) int {
		switch {
		case a.State != "" && b.State == "":
			return -1
		case a.State == "" && b.State != "":
			return 1
		}
		return 0
	})
	saysDeleted := slices.ContainsFunc(list, func(n Notified) bool { return n.State == "deleted" })
	for _, n := range list {
		if c.sessionPair() && gluesConntrackd(n.Command) {
			c.say(n.At, Note, "%s: %s: nothing to carry over: [sessions] hands connections over by itself", whose, n.Command[0])
			continue
		}
		k := key{strings.Join(n.Command, "\x00"), n.User, n.State == "", n.State == "deleted"}
		word := "notify"
		if n.State != "" {
			word += "_" + n.State
		}
		o := Origin{n.At, word}
		told := func(one *Table) {
			one.add("states", states[n.State], o)
			if n.State == "fault" && !saysDeleted {
				one.add("states", states["deleted"], o)
			}
		}
		if one := made[k]; one != nil {
			told(one)
			continue
		}
		one := t.table("notify", o)
		made[k] = one
		for _, a := range n.Command {
			one.add("command", a, o)
		}
		if n.State != "" {
			told(one)
		} else {
			one.set("arguments", "keepalived", o)
		}
		one.set("timeout", patience, o)
		if n.User != "" {
			one.set("user", n.User, o)
		}
	}
}

// tellPriority says whether pipes hear of changes of an instance's priority: if it says so itself, or its group, or all.
func (c *converter) tellPriority(in *Instance, t *Table) {
	own, word := in.TellPriority, "notify_priority_changes"
	if g := c.memberOf[in.Name]; !own.Set && g != nil {
		own = g.TellPriority
	}
	if !own.Set {
		own, word = c.file.Global.TellPriority, "vrrp_notify_priority_changes"
	}
	if own.V {
		t.set("tell_priority", true, Origin{own.At, word})
	}
}

// pipes says into which FIFOs events are written.
func (c *converter) pipes() {
	g := c.file.Global
	for i, p := range g.Pipes {
		word := pipeWords[i]
		switch {
		case !p.Path.Set && p.Script.Set:
			c.say(p.Script.At, Fault, "%s_script without %s - ignoring", word, word)
			continue
		case !p.Path.Set:
			continue
		}
		o := Origin{p.Path.At, word}
		t := c.doc.table("pipe", o)
		t.set("path", p.Path.V, o)
		switch word {
		case "vrrp_notify_fifo":
			t.add("tell", "routers", o)
		case "lvs_notify_fifo":
			t.add("tell", "servers", o)
		}
		for _, a := range p.Script.V {
			t.add("command", a, Origin{p.Script.At, word + "_script"})
		}
		if p.User != "" {
			t.set("user", p.User, o)
		}
		if g.Repeat.V {
			t.set("repeat", true, Origin{g.Repeat.At, "fifo_write_vrrp_states_on_reload"})
		}
	}
}

// duration writes a duration as the file has it.
func duration(d time.Duration) string { return d.String() }
