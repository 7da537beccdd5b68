package lab

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// Wire lays a cable from an interface of this node straight to one of another,
// with no switch between them that would keep frames of the link itself to itself
// (link aggregation, for one). Both ends are up; taking one down takes the carrier
// from the other. It is gone after a reboot of either.
func (n *Node) Wire(ifname string, other *Node, otherName string) error {
	veth := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: ifname, HardwareAddr: n.net.nextMAC()},
		PeerName:  otherName, PeerHardwareAddr: n.net.nextMAC(), PeerNamespace: netlink.NsFd(int(other.space.ns)),
	}
	if err := n.space.nl.LinkAdd(veth); err != nil {
		return fmt.Errorf("lab: %s: wire %s to %s: %w", n.Name, ifname, other.Name, err)
	}
	for _, end := range []struct {
		node *Node
		name string
	}{{n, ifname}, {other, otherName}} {
		link, err := end.node.space.nl.LinkByName(end.name)
		if err == nil {
			err = end.node.space.nl.LinkSetUp(link)
		}
		if err != nil {
			return fmt.Errorf("lab: %s: wire %s: %w", end.node.Name, end.name, err)
		}
	}
	return nil
}
