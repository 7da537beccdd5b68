package keepalived

import (
	"fmt"
	"net/netip"
	"strings"
)

// Names is what things of a configuration are called here. To keepalived an instance is
// the same after a reload if it is the same on the wire, whatever its name is; so names
// of before are kept for what is, and a process goes on by them.
type Names struct {
	Node      string
	Instances map[string]string // by what an instance is on the wire
	Groups    map[string]string // by their names in the file
	Of        map[string]string // the group of an instance, both as they are called here
}

// wire is what an instance is to keepalived: by what it is found again after a reload.
func (in *Instance) wire() string {
	family := 4
	if len(in.Addresses) > 0 && in.Addresses[0].Prefix.Addr().Is6() {
		family = 6
	}
	source := in.SourceMcast.V
	if in.Unicast {
		source = in.Source.V
	}
	if source == (netip.Addr{}) {
		return fmt.Sprintf("%s v%d vrid %d unicast %t vmac %t", in.Interface.V, family, in.VRID.V, in.Unicast, in.VMAC.Set)
	}
	return fmt.Sprintf("%s v%d vrid %d unicast %t vmac %t from %v", in.Interface.V, family, in.VRID.V, in.Unicast, in.VMAC.Set, source)
}

// keepNames gives what was there before the names that it had.
func (c *converter) keepNames() {
	before := c.options.Before
	if before == nil {
		return
	}
	take := func(key, name string) bool {
		if name == "" || c.taken["group "+name] || c.given[key] != "" {
			return false
		}
		c.given[key], c.taken["group "+name] = name, true
		return true
	}
	for _, in := range c.file.Instances {
		take("vrrp_instance "+in.Name, before.Instances[in.wire()])
	}
	// A group that has its name still has it here; else it is that of its first member,
	// if that one has left no group behind.
	for _, g := range c.file.Groups {
		take("vrrp_sync_group "+g.Name, before.Groups[g.Name])
	}
	for _, g := range c.file.Groups {
		for _, m := range g.Members {
			if name := before.Of[c.given["vrrp_instance "+m.V]]; name != "" {
				c.inherit("vrrp_sync_group "+g.Name, name)
				break
			}
		}
	}
	// One that has left its group, which is gone, goes on as that.
	for _, in := range c.file.Instances {
		own := c.given["vrrp_instance "+in.Name]
		if name := before.Of[own]; name != "" && name != own && c.memberOf[in.Name] == nil {
			c.inherit("alone "+own, name)
		}
	}
}

// inherit gives a group the name of one that is gone, which may be an instance's own.
func (c *converter) inherit(key, name string) {
	if c.given[key] != "" {
		return
	}
	for k, n := range c.given {
		if n == name && !strings.HasPrefix(k, "vrrp_instance ") && !strings.HasPrefix(k, groupOf) {
			return
		}
	}
	c.given[key], c.taken["group "+name] = name, true
}

// names are those that everything has now.
func (c *converter) names() Names {
	out := Names{Instances: map[string]string{}, Groups: map[string]string{}, Of: map[string]string{}}
	out.Node, _ = c.doc.values["node"].(string)
	for _, in := range c.file.Instances {
		name, ok := c.given["vrrp_instance "+in.Name]
		if !ok {
			continue
		}
		if w := in.wire(); out.Instances[w] == "" {
			out.Instances[w] = name
		}
		out.Of[name] = name
		if g := c.given["alone "+name]; g != "" {
			out.Of[name] = g
		}
	}
	for _, g := range c.file.Groups {
		name, ok := c.given["vrrp_sync_group "+g.Name]
		if !ok {
			continue
		}
		out.Groups[g.Name] = name
		for _, m := range g.Members {
			if n, ok := c.given["vrrp_instance "+m.V]; ok && c.memberOf[m.V] == g {
				out.Of[n] = name
			}
		}
	}
	return out
}
