package config

import "fmt"

// ownerPriority says that the addresses are the interface's own (RFC 9568 section
// 5.2.4).
const ownerPriority = 255

// owner refuses what contradicts the owner's priority. Whether the interface has
// the addresses is not for a file to know.
func (c *checker) owner(path string, raw *rawRouter, r Router) {
	if r.Priority != ownerPriority {
		return
	}
	if r.MAC == MACVirtual {
		c.add(join(path, "mac"), "priority 255: the addresses are the interface's own, and answer with its MAC", `use "interface", or a priority up to 254`)
	}
	if raw.Preempt != nil && !*raw.Preempt {
		c.add(join(path, "preempt"), "priority 255: the owner of the addresses always takes over", "remove it, or use a priority up to 254")
	} else if r.PreemptDelay != 0 {
		c.add(join(path, "preempt_delay"), "priority 255: the owner of the addresses takes over at once", "remove it, or use a priority up to 254")
	}
	if !r.Accept {
		c.add(join(path, "accept"), "priority 255: the addresses are the interface's own, and the node is to be reached by them", "remove it, or use a priority up to 254")
	}
}

// ownersAlike refuses a group of owners and others: the owner is to be active at
// once, and a group is as slow as its slowest.
func (c *checker) ownersAlike(path string, g Group) {
	var owner, other string
	for _, name := range g.Routers {
		for _, r := range c.routers {
			switch {
			case r.Name != name || r.Priority == 0:
			case r.Priority == ownerPriority:
				owner = name
			default:
				other = name
			}
		}
	}
	if owner != "" && other != "" {
		c.add(path, fmt.Sprintf("router %s owns its addresses (priority 255), router %s does not", quote(owner), quote(other)),
			"give all of a group the priority 255, or none")
	}
}
