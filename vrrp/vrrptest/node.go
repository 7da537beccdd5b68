package vrrptest

import (
	"net/netip"
	"time"

	"understudy/vrrp"
)

// Node is one box: a Set, its links, and the state its kernel would be in.
type Node struct {
	Name string
	Late time.Duration // every timer fires so much after its deadline

	net     *Network
	cfg     vrrp.SetConfig
	set     *vrrp.Set // nil: crashed
	links   map[string]nodeLink
	order   []string // of links
	frozen  bool
	inbox   []packet // while frozen
	serving map[string]bool
	terms   map[string]uint64
	leaving map[string]bool
	moves   int
}

type nodeLink struct {
	up   bool
	addr netip.Addr
}

// Link attaches a node to a segment.
type Link struct {
	Segment string
	Address netip.Addr
}

// Add makes a node; it does nothing before Start.
func (w *Network) Add(cfg vrrp.SetConfig, links ...Link) *Node {
	n := &Node{Name: cfg.Node, net: w, cfg: cfg, links: make(map[string]nodeLink)}
	for _, l := range links {
		n.links[l.Segment] = nodeLink{up: true, addr: l.Address}
		n.order = append(n.order, l.Segment)
	}
	w.nodes = append(w.nodes, n)
	return n
}

// Set is the election of the node; nil after a crash.
func (n *Node) Set() *vrrp.Set { return n.set }

// Serving says whether the node's kernel would answer for a group: from the activation to the closing of the gate.
func (n *Node) Serving(group string) bool { return n.serving[group] }

// Term is that of the group's last transition.
func (n *Node) Term(group string) uint64 { return n.terms[group] }

// Moves counts the transitions of all groups.
func (n *Node) Moves() int { return n.moves }

// Boot makes a fresh Set that knows its links, as a process does that was just started.
func (n *Node) Boot() error {
	set, err := vrrp.NewSet(n.cfg)
	if err != nil {
		return err
	}
	n.set, n.frozen, n.inbox = set, false, nil
	n.serving, n.terms, n.leaving = make(map[string]bool), make(map[string]uint64), make(map[string]bool)
	for _, segment := range n.order {
		n.link(segment)
	}
	return nil
}

// Start boots and starts. The configuration must be valid.
func (n *Node) Start() {
	if err := n.Boot(); err != nil {
		panic(err)
	}
	n.Step(vrrp.SetInput{Kind: vrrp.InStart})
}

// Crash ends the node without a word.
func (n *Node) Crash() {
	n.set, n.frozen, n.inbox = nil, false, nil
	n.serving = make(map[string]bool)
}

// Freeze stops the process but not its kernel: it serves on, and what arrives waits in its sockets.
func (n *Node) Freeze() { n.frozen = true }

// Thaw goes on: first the sockets, then the clock. A socket that overflowed has nothing to say: drain is false.
func (n *Node) Thaw(drain bool) {
	inbox := n.inbox
	n.frozen, n.inbox = false, nil
	for _, p := range inbox {
		if drain && n.set != nil {
			n.hear(p.iface, p.payload, p.at)
		}
	}
}

// SetLink takes a link down or up.
func (n *Node) SetLink(segment string, up bool) {
	l := n.links[segment]
	l.up = up
	n.links[segment] = l
	if n.set != nil {
		n.link(segment)
	}
}

func (n *Node) link(segment string) {
	l := n.links[segment]
	n.Step(vrrp.SetInput{Kind: vrrp.InLink, Interface: segment, Up: l.up, Primary: l.addr})
}

// Config is what the node boots with.
func (n *Node) Config() vrrp.SetConfig { return n.cfg }

// Reconfigure changes the running configuration, and what the node boots with next.
func (n *Node) Reconfigure(cfg vrrp.SetConfig) error {
	n.cfg = cfg
	if n.set == nil {
		return nil
	}
	out, err := n.set.Reconfigure(n.net.now, cfg)
	if err != nil {
		return err
	}
	n.do(out.Ops)
	return nil
}

// Step gives the Set an input and does what it asks for.
func (n *Node) Step(in vrrp.SetInput) {
	if n.set == nil {
		return
	}
	out := n.set.Step(n.net.now, in)
	n.do(out.Ops)
	if n.net.OnNotice != nil {
		for _, what := range out.Notices {
			n.net.OnNotice(n, what)
		}
	}
	if n.net.OnStep != nil {
		n.net.OnStep(n, in, out.Ops)
	}
}

func (n *Node) do(ops []vrrp.Op) {
	for _, op := range ops {
		switch op.Kind {
		case vrrp.OpSend:
			n.net.transmit(n, n.set.Interface(op), n.set.AppendPacket(nil, op))
		case vrrp.OpGateClose, vrrp.OpFence:
			n.serving[op.Group] = false
		case vrrp.OpTransition:
			n.moves++
			n.terms[op.Group], n.leaving[op.Group] = op.Term, op.Leaving
			if op.To == vrrp.Active && op.From != vrrp.Active {
				n.serving[op.Group] = true
			}
		}
	}
}

func (n *Node) receive(iface string, payload []byte) {
	switch {
	case n.set == nil || !n.links[iface].up:
	case n.frozen:
		n.inbox = append(n.inbox, packet{at: n.net.now, iface: iface, payload: payload})
	default:
		n.hear(iface, payload, n.net.now)
	}
}

// hear is the receive path of a real node: parse, find the router, step.
func (n *Node) hear(iface string, payload []byte, at time.Time) {
	d, reason := vrrp.ParseDatagram(payload)
	if reason != vrrp.ReasonNone {
		return
	}
	var a vrrp.Advert
	reason = vrrp.ParseAdvert(d, &a)
	for i, r := range n.set.Config().Routers {
		if r.Interface != iface || r.VRID != a.VRID || (r.Family == 4) != d.Src.Is4() {
			continue
		}
		if reason != vrrp.ReasonNone {
			n.Step(vrrp.SetInput{Kind: vrrp.InRefused, Router: i, Interface: iface, Src: d.Src, Refused: reason})
			return
		}
		n.Step(vrrp.SetInput{Kind: vrrp.InAdvert, Router: i, Src: d.Src, Advert: &a, Rx: at})
		return
	}
	if reason == vrrp.ReasonNone {
		reason = vrrp.ReasonVRID
	}
	n.Step(vrrp.SetInput{Kind: vrrp.InRefused, Router: -1, Interface: iface, Src: d.Src, Refused: reason})
}
