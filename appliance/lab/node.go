package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"

	"github.com/vishvananda/netlink"
)

// Node is one machine: a network namespace with interfaces and, once
// [Node.Start] was called, processes.
type Node struct {
	Name string

	net     *Net
	space   *space
	links   []*Link
	routes  []route
	sysctls [][2]string

	mu    sync.Mutex
	cell  *cell // nil until the first process
	procs []*Process
}

type route struct {
	dst netip.Prefix
	via netip.Addr
}

// boot gives the node an empty kernel and applies what it was set up with.
func (n *Node) boot() error {
	sp, err := newSpace()
	if err != nil {
		return err
	}
	n.space = sp
	lo, err := sp.nl.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := sp.nl.LinkSetUp(lo); err != nil {
		return fmt.Errorf("lo up: %w", err)
	}
	// Defaults count for links made after them, and a link's own value can be
	// set only once it is there.
	var later [][2]string
	for _, s := range n.sysctls {
		switch err := sp.sysctl(s[0], s[1]); {
		case errors.Is(err, os.ErrNotExist):
			later = append(later, s)
		case err != nil:
			return err
		}
	}
	for _, l := range n.links {
		if err := l.create(); err != nil {
			return err
		}
	}
	for _, s := range later {
		if err := sp.sysctl(s[0], s[1]); err != nil {
			return err
		}
	}
	for _, r := range n.routes {
		if err := n.addRoute(r); err != nil {
			return err
		}
	}
	return nil
}

// Do runs fn with the calling goroutine's thread in the node's namespace:
// sockets made by fn itself stay there for good. It nests. A goroutine started
// by fn is elsewhere.
func (n *Node) Do(fn func() error) error { return n.space.do(fn) }

// Netlink returns a handle into the node's namespace. A reboot replaces it.
func (n *Node) Netlink() *netlink.Handle { return n.space.nl }

// Join lays a cable to a segment: a new interface with these static addresses,
// up and plugged in.
func (n *Node) Join(seg *Segment, ifname string, addrs ...string) (*Link, error) {
	l := &Link{Name: ifname, MAC: n.net.nextMAC(), node: n, seg: seg}
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a)
		if err != nil {
			return nil, fmt.Errorf("lab: %s: join %s: %w", n.Name, seg.Name, err)
		}
		l.static = append(l.static, p)
	}
	if err := l.create(); err != nil {
		return nil, fmt.Errorf("lab: %s: join %s: %w", n.Name, seg.Name, err)
	}
	n.links = append(n.links, l)
	return l, nil
}

// Link returns the interface of that name, or nil.
func (n *Node) Link(name string) *Link {
	for _, l := range n.links {
		if l.Name == name {
			return l
		}
	}
	return nil
}

// Links returns the interfaces in the order of [Node.Join].
func (n *Node) Links() []*Link { return append([]*Link(nil), n.links...) }

// Route adds a static route; dst "default" is 0.0.0.0/0. via may have an interface
// as its zone, and must if it is link-local.
func (n *Node) Route(dst, via string) error {
	r := route{dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0)}
	var err error
	if dst != "default" {
		if r.dst, err = netip.ParsePrefix(dst); err != nil {
			return fmt.Errorf("lab: %s: route: %w", n.Name, err)
		}
	}
	if r.via, err = netip.ParseAddr(via); err != nil {
		return fmt.Errorf("lab: %s: route: %w", n.Name, err)
	}
	if err := n.addRoute(r); err != nil {
		return err
	}
	n.routes = append(n.routes, r)
	return nil
}

func (n *Node) addRoute(r route) error {
	rt := &netlink.Route{Dst: ipNet(r.dst), Gw: r.via.AsSlice()}
	if zone := r.via.Zone(); zone != "" {
		link, err := n.space.nl.LinkByName(zone)
		if err != nil {
			return fmt.Errorf("lab: %s: route %s via %s: %w", n.Name, r.dst, r.via, err)
		}
		rt.LinkIndex = link.Attrs().Index
	}
	if err := n.space.nl.RouteReplace(rt); err != nil {
		return fmt.Errorf("lab: %s: route %s via %s: %w", n.Name, r.dst, r.via, err)
	}
	return nil
}

// Sysctl sets a value below /proc/sys/net, such as "ipv4/ip_forward", now and
// after each reboot.
func (n *Node) Sysctl(path, value string) error {
	if err := n.space.sysctl(path, value); err != nil {
		return fmt.Errorf("lab: %s: %w", n.Name, err)
	}
	n.sysctls = append(n.sysctls, [2]string{path, value})
	return nil
}

// UnplugAll takes the carrier from every link, in the order of [Node.Join].
func (n *Node) UnplugAll() error { return n.each((*Link).Unplug) }

// PlugAll joins every cable again. After a [Node.Crash] this alone is the
// return of a machine that kept its tables.
func (n *Node) PlugAll() error { return n.each((*Link).Plug) }

func (n *Node) each(change func(*Link) error) error {
	var errs []error
	for _, l := range n.links {
		errs = append(errs, change(l))
	}
	return errors.Join(errs...)
}

// Reboot ends the node's processes and gives it a fresh kernel: the links of
// [Node.Join] with their MAC and static addresses, the routes and sysctls set
// on the node, and nothing else (no connection, firewall or /run of before).
// All cables are plugged in when it returns. Sockets opened earlier inside
// the node are dead.
func (n *Node) Reboot() error {
	if err := n.endCell(); err != nil {
		return err
	}
	for _, l := range n.links {
		if err := l.seg.detach(l.port); err != nil {
			return fmt.Errorf("lab: reboot %s: %w", n.Name, err)
		}
	}
	n.space.close()
	if err := n.boot(); err != nil {
		return fmt.Errorf("lab: reboot %s: %w", n.Name, err)
	}
	return nil
}

func (n *Node) close() error {
	err := n.endCell()
	n.space.close()
	return err
}
