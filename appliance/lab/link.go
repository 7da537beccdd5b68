package lab

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Link is one interface of a node and the cable to a segment. It remembers
// what it was set up with, so that a reboot brings the same machine back.
type Link struct {
	Name string           // of the interface inside the node
	MAC  net.HardwareAddr // constant over reboots

	node   *Node
	seg    *Segment
	port   string // name of the cable's other end, in the segment
	static []netip.Prefix
}

// Segment returns the switch that the cable leads to.
func (l *Link) Segment() *Segment { return l.seg }

// Static returns the addresses that the link was made with.
func (l *Link) Static() []netip.Prefix { return append([]netip.Prefix(nil), l.static...) }

// create makes the veth, brings the node's end up, adds the static addresses
// and plugs the cable in. Plugged last: nothing passes before the node has
// its addresses.
func (l *Link) create() error {
	port, err := l.seg.attach(l.node, l.Name, l.MAC)
	if err != nil {
		return err
	}
	l.port = port
	for _, p := range l.static {
		if err := l.AddAddr(p); err != nil {
			return err
		}
	}
	if err := l.Up(); err != nil {
		return err
	}
	return l.Plug()
}

// AddAddr adds an address as an administrator would, without duplicate
// address detection. It does not survive a reboot.
func (l *Link) AddAddr(p netip.Prefix) error {
	link, err := l.node.space.nl.LinkByName(l.Name)
	if err != nil {
		return fmt.Errorf("lab: %s: find %s: %w", l.node.Name, l.Name, err)
	}
	addr := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	if err := l.node.space.nl.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("lab: %s: add %s to %s: %w", l.node.Name, p, l.Name, err)
	}
	return nil
}

// AddStatic adds an address as [Node.Join] would have: it is there again after a
// reboot.
func (l *Link) AddStatic(p netip.Prefix) error {
	if err := l.AddAddr(p); err != nil {
		return err
	}
	l.static = append(l.static, p)
	return nil
}

// DelAddr removes an address, whoever added it.
func (l *Link) DelAddr(p netip.Prefix) error {
	link, err := l.node.space.nl.LinkByName(l.Name)
	if err != nil {
		return fmt.Errorf("lab: %s: find %s: %w", l.node.Name, l.Name, err)
	}
	if err := l.node.space.nl.AddrDel(link, &netlink.Addr{IPNet: ipNet(p)}); err != nil {
		return fmt.Errorf("lab: %s: remove %s from %s: %w", l.node.Name, p, l.Name, err)
	}
	return nil
}

// Addrs reads the interface's addresses from the kernel.
func (l *Link) Addrs() ([]netip.Prefix, error) {
	link, err := l.node.space.nl.LinkByName(l.Name)
	if err != nil {
		return nil, fmt.Errorf("lab: %s: find %s: %w", l.node.Name, l.Name, err)
	}
	list, err := l.node.space.nl.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("lab: %s: addresses of %s: %w", l.node.Name, l.Name, err)
	}
	var out []netip.Prefix
	for _, a := range list {
		ip, ok := netip.AddrFromSlice(a.IP)
		if !ok {
			continue
		}
		ones, _ := a.Mask.Size()
		out = append(out, netip.PrefixFrom(ip.Unmap(), ones))
	}
	return out, nil
}

// Up is `ip link set up` inside the node.
func (l *Link) Up() error { return l.admin(l.node.space.nl.LinkSetUp) }

// Down is `ip link set down` inside the node. The kernel forgets the routes
// through the interface and its IPv6 addresses; to break the cable instead,
// use [Link.Unplug].
func (l *Link) Down() error { return l.admin(l.node.space.nl.LinkSetDown) }

func (l *Link) admin(change func(netlink.Link) error) error {
	link, err := l.node.space.nl.LinkByName(l.Name)
	if err != nil {
		return fmt.Errorf("lab: %s: find %s: %w", l.node.Name, l.Name, err)
	}
	if err := change(link); err != nil {
		return fmt.Errorf("lab: %s: change %s: %w", l.node.Name, l.Name, err)
	}
	return nil
}

// Unplug breaks the cable: the node loses carrier, its own settings stay.
func (l *Link) Unplug() error { return l.seg.setPort(l.port, l.seg.space.nl.LinkSetDown) }

// Plug joins the cable again. When it returns, what is sent on it arrives: the kernel finds out
// about a carrier in its own time, and drops until then what both ends send, without an error.
func (l *Link) Plug() error {
	if err := l.seg.setPort(l.port, l.seg.space.nl.LinkSetUp); err != nil {
		return err
	}
	return l.operational()
}

// plugPatience bounds the wait for a carrier. A link that has none by then may have been taken down
// meanwhile, which is no error of whoever plugs it in.
const plugPatience = 5 * time.Second

// operational waits until both ends of the cable are, if the node's is up at all.
func (l *Link) operational() error {
	for end := time.Now().Add(plugPatience); ; time.Sleep(time.Millisecond) {
		node, err := l.node.space.nl.LinkByName(l.Name)
		if err != nil {
			return nil // renamed, or gone: whoever did that knows
		}
		port, err := l.seg.space.nl.LinkByName(l.port)
		if err != nil {
			return fmt.Errorf("lab: segment %s: find port: %w", l.seg.Name, err)
		}
		if node.Attrs().Flags&net.FlagUp == 0 || time.Now().After(end) ||
			node.Attrs().OperState == netlink.OperUp && port.Attrs().OperState == netlink.OperUp {
			return nil
		}
	}
}

// Silence lets nothing through while the carrier stays, as a switch with a
// fault in its configuration does. [Link.Unsilence] ends it.
func (l *Link) Silence() error {
	return l.seg.setPort(l.port, l.seg.space.nl.LinkSetNoMaster)
}

// Unsilence ends [Link.Silence].
func (l *Link) Unsilence() error {
	return l.seg.setPort(l.port, func(port netlink.Link) error {
		return l.seg.space.nl.LinkSetMasterByIndex(port, l.seg.bridge)
	})
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{
		IP:   net.IP(p.Addr().AsSlice()),
		Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
	}
}
