package keepalived

import "time"

// mostDelay is what keepalived counts in microseconds in 32 bits.
const mostDelay = (1<<32 - 1) * time.Microsecond

func (p *parser) delay(n *Node) Of[time.Duration] {
	if d, ok := p.seconds(n, time.Millisecond, mostDelay); ok {
		return of(d, n.At)
	}
	return Of[time.Duration]{}
}

// delays says how long the node takes no part after a start.
func (c *converter) delays() {
	g := c.file.Global
	if g.Startup.Set {
		c.doc.set("startup_delay", duration(g.Startup.V), Origin{g.Startup.At, "vrrp_startup_delay"})
	}
	if g.Boot.Set {
		c.doc.set("delay_after_boot", duration(g.Boot.V), Origin{g.Boot.At, "vrrp_delay_after_boot"})
	}
}
