package config

import (
	"fmt"
	"net/netip"
)

// translatable refuses an address that nothing can be translated to or from.
func (c *checker) translatable(path string, a netip.Addr) bool {
	switch {
	case c.mapped(path, a):
		return false
	case a.Is6() && a.IsLinkLocalUnicast():
		c.add(path, a.String()+" counts on one link only", "use an address that is routed")
		return false
	}
	if why := notHost(a); why != "" {
		c.add(path, fmt.Sprintf("%s is %s", a, why), "use an address that a host can have")
		return false
	}
	return true
}

// alike refuses a mapping from one family to the other.
func (c *checker) alike(path string, a, other netip.Addr) {
	if familyOf(a) != familyOf(other) {
		c.add(path, fmt.Sprintf("%s is IPv%d, %s is IPv%d", a, familyOf(a), other, familyOf(other)), "map each family to itself")
	}
}
