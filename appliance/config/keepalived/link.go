package keepalived

import (
	"slices"
	"time"
)

// LinkDelay is a line of interface_up_down_delays: how long an interface has to be down, or
// up, before that counts.
type LinkDelay struct {
	Interface string
	Down, Up  time.Duration
	At        Place
}

// mostLinkDelay is what keepalived takes.
const mostLinkDelay = 255 * time.Second

// linkDelays reads "IF DOWN [UP]" of each line. The last of an interface counts.
func (p *parser) linkDelays(block *Node) {
	for _, n := range block.Children {
		d := LinkDelay{Interface: n.Word, At: n.At}
		ok := len(n.Args) > 0 // else keepalived says so, and nothing follows
		for i, to := range []*time.Duration{&d.Down, &d.Up} {
			if ok && i < len(n.Args) {
				*to, ok = p.seconds(&Node{Word: n.Word, Args: n.Args[i:], At: n.At}, 0, mostLinkDelay)
			}
		}
		if !ok {
			continue
		}
		if i := slices.IndexFunc(p.file.Delays, func(o LinkDelay) bool { return o.Interface == d.Interface }); i >= 0 {
			p.file.Delays = slices.Delete(p.file.Delays, i, i+1)
		}
		p.file.Delays = append(p.file.Delays, d)
	}
}

// lessThan is by how much keepalived keeps delays below their bound.
const lessThan = 4 * time.Millisecond

// heed notes how long an instance leaves for delays of its own interface.
func (c *converter) heed(in *Instance, interval time.Duration) {
	bound := time.Duration(c.downAdverts(in).or(3)-1) * interval
	if old, ok := c.bounds[in.Interface.V]; !ok || bound < old.time {
		c.bounds[in.Interface.V] = bounded{bound, in.Name}
	}
}

// bounded is a bound, and the instance that it comes of.
type bounded struct {
	time time.Duration
	name string
}

// links makes a [[link]] of each line, with delays that leave its instances the time to know
// that their link is down before they take silence for a dead master.
func (c *converter) links() {
	for _, d := range c.file.Delays {
		if b, ok := c.bounds[d.Interface]; ok {
			most := max(0, b.time-lessThan)
			if d.Down > most || d.Up > most {
				c.say(d.At, Warning, "%s: delays of interface %s have to be less than %v: they are cut to %v", b.name, d.Interface, b.time, most)
				d.Down, d.Up = min(d.Down, most), min(d.Up, most)
			}
		}
		if d.Down == 0 && d.Up == 0 {
			continue
		}
		o := Origin{d.At, "interface_up_down_delays"}
		t := c.doc.table("link", o)
		t.set("interface", d.Interface, o)
		if d.Down > 0 {
			t.set("down_delay", duration(d.Down), o)
		}
		if d.Up > 0 {
			t.set("up_delay", duration(d.Up), o)
		}
	}
}
