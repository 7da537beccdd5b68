package lab

import (
	"errors"
	"fmt"
	"sync"
)

// Net is one laboratory: its nodes and segments live and end together.
type Net struct {
	mu       sync.Mutex
	nodes    []*Node
	segments []*Segment
	macs     uint16
	wires    int
	closed   bool
}

// New returns an empty laboratory. It needs root; [Require] says so in a test.
func New() *Net { return &Net{} }

// Node adds a machine without links.
func (n *Net) Node(name string) (*Node, error) {
	node := &Node{Name: name, net: n}
	if err := node.boot(); err != nil {
		return nil, fmt.Errorf("lab: node %s: %w", name, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodes = append(n.nodes, node)
	return node, nil
}

// Segment adds a switch without ports.
func (n *Net) Segment(name string) (*Segment, error) {
	seg, err := newSegment(name)
	if err != nil {
		return nil, fmt.Errorf("lab: segment %s: %w", name, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.segments = append(n.segments, seg)
	return seg, nil
}

// Nodes returns every machine in the order of creation.
func (n *Net) Nodes() []*Node {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]*Node(nil), n.nodes...)
}

// nextMAC hands out locally administered addresses that stay the same over a
// reboot of their node.
func (n *Net) nextMAC() []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.macs++
	return []byte{0x02, 0x1a, 0xb0, 0x00, byte(n.macs >> 8), byte(n.macs)}
}

// nextWire hands out interface indices for one end of a cable: see firstPort.
func (n *Net) nextWire() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wires++
	return firstWire + n.wires
}

// Close ends every process of every node and gives the namespaces back. Once
// it has returned no process is left; the kernel unmakes empty namespaces a
// moment later. Close may be called more than once.
func (n *Net) Close() error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return nil
	}
	n.closed = true
	nodes, segments := n.nodes, n.segments
	n.mu.Unlock()
	var errs []error
	for _, node := range nodes {
		errs = append(errs, node.close())
	}
	for _, seg := range segments {
		seg.close()
	}
	return errors.Join(errs...)
}
