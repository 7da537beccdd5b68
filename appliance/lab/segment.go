package lab

import (
	"errors"
	"fmt"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const bridgeName = "br0"

// firstPort keeps the interface indices of ports apart from those of nodes, and
// firstWire those of one end of a cable ([Node.Wire]) from those of the other. To
// the kernel an interface whose peer has its own index is no virtual one, and
// it may take a second to notice that the carrier of such a one has changed.
const (
	firstPort = 1000
	firstWire = 2000
)

// Segment is a switch: a bridge in a namespace of its own, so that nothing on
// it can be seen or reached but through its ports.
type Segment struct {
	Name string

	space  *space
	bridge int // interface index

	mu    sync.Mutex
	ports map[int]string // interface index -> name of the node behind it
	seq   int
}

func newSegment(name string) (*Segment, error) {
	sp, err := newSpace()
	if err != nil {
		return nil, err
	}
	s := &Segment{Name: name, space: sp, ports: map[int]string{}}
	if err := s.build(); err != nil {
		sp.close()
		return nil, err
	}
	return s, nil
}

func (s *Segment) build() error {
	// A switch has no opinion of its own: no IPv6 chatter, no firewall calls
	// for what it forwards (the latter only where the kernel can do it at all).
	for _, p := range []string{"ipv6/conf/all/disable_ipv6", "ipv6/conf/default/disable_ipv6"} {
		if err := s.space.sysctl(p, "1"); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	for _, p := range []string{"bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables", "bridge/bridge-nf-call-arptables"} {
		if err := s.space.sysctl(p, "0"); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	snooping := false // multicast goes to every port, as without a querier it should
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridgeName}, MulticastSnooping: &snooping}
	if err := s.space.nl.LinkAdd(br); err != nil {
		return fmt.Errorf("add bridge: %w", err)
	}
	link, err := s.space.nl.LinkByName(bridgeName)
	if err != nil {
		return fmt.Errorf("find bridge: %w", err)
	}
	s.bridge = link.Attrs().Index
	if err := s.space.nl.LinkSetUp(link); err != nil {
		return fmt.Errorf("bridge up: %w", err)
	}
	return nil
}

// Do runs fn with the calling goroutine's thread in the segment's namespace.
func (s *Segment) Do(fn func() error) error { return s.space.do(fn) }

// PortOwner names the node behind the port with this interface index. It is
// empty for the bridge itself and for a port that is gone.
func (s *Segment) PortOwner(ifindex int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ports[ifindex]
}

// attach makes a veth: one end a port of the bridge (down, so that a link
// begins unplugged), the other in the node's namespace under the given name.
func (s *Segment) attach(node *Node, ifname string, mac []byte) (port string, err error) {
	s.mu.Lock()
	s.seq++
	index := firstPort + s.seq
	s.mu.Unlock()
	port = fmt.Sprintf("p%d", index)
	veth := &netlink.Veth{
		LinkAttrs:        netlink.LinkAttrs{Name: port, Index: index, MasterIndex: s.bridge},
		PeerName:         ifname,
		PeerHardwareAddr: mac,
		PeerNamespace:    netlink.NsFd(int(node.space.ns)),
	}
	if err := s.space.nl.LinkAdd(veth); err != nil {
		return "", fmt.Errorf("add veth to segment %s: %w", s.Name, err)
	}
	link, err := s.space.nl.LinkByName(port)
	if err != nil {
		return "", fmt.Errorf("find port of segment %s: %w", s.Name, err)
	}
	s.mu.Lock()
	s.ports[link.Attrs().Index] = node.Name
	s.mu.Unlock()
	return port, nil
}

func (s *Segment) detach(port string) error {
	link, err := s.space.nl.LinkByName(port)
	if err != nil {
		return fmt.Errorf("find port of segment %s: %w", s.Name, err)
	}
	if err := s.space.nl.LinkDel(link); err != nil {
		return fmt.Errorf("remove port of segment %s: %w", s.Name, err)
	}
	s.mu.Lock()
	delete(s.ports, link.Attrs().Index)
	s.mu.Unlock()
	return nil
}

func (s *Segment) setPort(port string, change func(netlink.Link) error) error {
	link, err := s.space.nl.LinkByName(port)
	if err != nil {
		return fmt.Errorf("lab: segment %s: find port: %w", s.Name, err)
	}
	if err := change(link); err != nil {
		return fmt.Errorf("lab: segment %s: change port of %s: %w", s.Name, s.PortOwner(link.Attrs().Index), err)
	}
	return nil
}

func (s *Segment) close() { s.space.close() }
