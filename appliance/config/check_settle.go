package config

import "time"

// maxSettle covers a switch port that goes through all of spanning tree's states
// (twice 15 s), and then some.
const maxSettle = 5 * time.Minute

// settle reads how long a link that has come up is not trusted.
func (c *checker) settle(router string, raw *rawRouter, priority uint8) time.Duration {
	path := join(router, "settle")
	d := c.duration(path, raw.Settle, "2s")
	switch {
	case d == nil:
		return c.defaults.Router.Settle
	case *d < 0 || *d > maxSettle:
		c.add(path, *raw.Settle+" is out of range", "use 0s to 5m")
	case priority == ownerPriority:
		c.add(path, "priority 255: the owner of the addresses is active at once", "remove it, or use a priority up to 254")
	}
	return *d
}
