package config

import (
	"fmt"
	"net/netip"
)

// reachable refuses what no packet can do: to go from one family to the other, or to
// a link-local address without saying on which link.
func (c *checker) reachable(path string, raw *rawCheck, k *Check) {
	target, source := k.Target.Addr(), k.Source
	if target.IsValid() && source.IsValid() && target.Is4() != source.Is4() {
		c.add(join(path, "source"), fmt.Sprintf("%s is of another family than the target %s", source, target), "use an address of the same family")
		return
	}
	switch zone := target.Zone(); {
	case !target.IsValid() || raw.Interface != nil && k.Interface == "": // said already
	case zone != "" && k.Interface != "" && zone != k.Interface:
		c.add(join(path, "target"), fmt.Sprintf("%s is on another interface than %s", target, k.Interface), "name one of the two")
	case zone == "" && k.Interface == "" && onLinkOnly(target):
		c.add(join(path, "target"), fmt.Sprintf("%s is link-local: every interface may have a neighbour of that address", target),
			`name the interface, like interface = "eth0"`)
	}
}

// routed refuses an address that no route leads to.
func (c *checker) routed(path string, a netip.Addr) {
	if onLinkOnly(a) {
		c.add(path, fmt.Sprintf("%s is link-local: no route leads to it", a), "use an address beyond the link")
	}
}
