package lab

import (
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
)

// Wire lays a cable from an interface of this node straight to one of another,
// with no switch between them that would keep frames of the link itself to itself
// (link aggregation, for one). Both ends are up, and send; taking one down takes the
// carrier from the other. It is gone after a reboot of either.
func (n *Node) Wire(ifname string, other *Node, otherName string) error {
	veth := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: ifname, HardwareAddr: n.net.nextMAC(), Index: n.net.nextWire()},
		PeerName:  otherName, PeerHardwareAddr: n.net.nextMAC(), PeerNamespace: netlink.NsFd(int(other.space.ns)),
	}
	if err := n.space.nl.LinkAdd(veth); err != nil {
		return fmt.Errorf("lab: %s: wire %s to %s: %w", n.Name, ifname, other.Name, err)
	}
	ends := []end{{n, ifname}, {other, otherName}}
	for _, step := range []func(end) error{end.up, end.ready} {
		for _, e := range ends {
			if err := step(e); err != nil {
				return fmt.Errorf("lab: %s: wire %s: %w", e.node.Name, e.name, err)
			}
		}
	}
	return nil
}

// end is one end of a cable.
type end struct {
	node *Node
	name string
}

func (e end) up() error {
	link, err := e.node.space.nl.LinkByName(e.name)
	if err != nil {
		return err
	}
	return e.node.space.nl.LinkSetUp(link)
}

// readyBound is far more than the kernel needs.
const readyBound = 10 * time.Second

// ready waits until the kernel has noticed the carrier: an end that was up first drops
// what it is given to send until then.
func (e end) ready() error {
	for deadline := time.Now().Add(readyBound); ; time.Sleep(time.Millisecond) {
		link, err := e.node.space.nl.LinkByName(e.name)
		if err != nil {
			return err
		}
		state := link.Attrs().OperState
		if state == netlink.OperUp {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("its state is %v", state)
		}
	}
}
