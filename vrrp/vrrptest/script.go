package vrrptest

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"understudy/vrrp"
)

// Script runs a network by commands, one a line:
//
//	node NAME [routers=lan/51,wan/52] [priority=100] [interval=1s] [preempt=true] [delay=0s] [settle=0s] [track=IF]
//	          [version=3] [begin=0s] [link_down=0s] [link_up=0s] [down]
//	                          a node, started at once unless down; begin: with such a start-up delay; link_down, link_up: with such
//	                          delays of its links. Its router X is on segment X. A priority of its
//	                          own goes behind the VRID: lan/51/120. More than one router: one group "gw".
//	                          The first segment is 10.0.1.0/24, the n-th node has .n there, the address is .100.
//	advance 4s                let time pass
//	stop A · start A [REASON] [begin=0s] · crash A           REASON: not eligible when it starts
//	freeze A · thaw A [lost]                                 lost: its sockets had overflowed
//	cut A B [SEGMENT] [oneway] · heal A B [SEGMENT]          oneway: what A sends is lost, what B sends is not
//	lose A B COUNT [SEGMENT]  the next packets from A to B
//	delay A B 5ms [SEGMENT]   both ways
//	link A SEGMENT up|down
//	handover A · reclaim A · eligible A · ineligible A REASON · fault A REASON [fence] · clear A · weight A N · term A N [raise]
//	overlap A yes|no          it may serve for a moment beside a better Active
//	resume A TERM             the election process of A is restarted and goes on
//	set A KEY=VALUE…          reconfigure: priority, interval, preempt
//	status                    a line for each node
type Script struct {
	net *Network
	tr  transcript
}

// NewScript returns a Script with an empty network.
func NewScript() *Script {
	s := &Script{net: New(1)}
	s.tr = transcript{net: s.net, beats: make(map[string]int)}
	s.net.OnStep, s.net.OnNotice = s.tr.onStep, s.tr.onNotice
	return s
}

// Run performs the commands and returns all that happened. An error names the line.
func (s *Script) Run(lines ...string) (string, error) {
	for _, line := range lines {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		if err := s.command(f[0], f[1:]); err != nil {
			return "", fmt.Errorf("%q: %w", line, err)
		}
		s.net.Settle()
	}
	return s.tr.flush(), nil
}

func (s *Script) command(verb string, args []string) error {
	switch verb {
	case "advance":
		d, err := time.ParseDuration(arg(args, 0))
		s.net.Advance(d)
		return err
	case "node":
		return s.addNode(arg(args, 0), args[1:])
	case "cut", "heal", "lose", "delay":
		return s.path(verb, args)
	case "status":
		s.status()
		return nil
	}
	n := s.net.Node(arg(args, 0))
	if n == nil {
		return fmt.Errorf("no node %q", arg(args, 0))
	}
	return s.drive(n, verb, args[1:])
}

func arg(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}

func (s *Script) drive(n *Node, verb string, args []string) error {
	switch verb {
	case "start":
		if err := n.Boot(); err != nil {
			return err
		}
		if reason := arg(args, 0); reason != "" && !strings.Contains(reason, "=") {
			n.Step(vrrp.SetInput{Kind: vrrp.InEligible, Reason: reason})
		}
		return s.start(n, args)
	case "stop":
		n.Step(vrrp.SetInput{Kind: vrrp.InStop})
	case "crash":
		s.tr.printf("%s: crash", n.Name)
		n.Crash()
	case "freeze":
		s.tr.printf("%s: freeze", n.Name)
		n.Freeze()
	case "thaw":
		s.tr.printf("%s: thaw", n.Name)
		n.Thaw(arg(args, 0) != "lost")
	case "link":
		n.SetLink(arg(args, 0), arg(args, 1) == "up")
	case "handover":
		n.Step(vrrp.SetInput{Kind: vrrp.InHandOver})
	case "reclaim":
		n.Step(vrrp.SetInput{Kind: vrrp.InReclaim})
	case "eligible", "ineligible":
		n.Step(vrrp.SetInput{Kind: vrrp.InEligible, OK: verb == "eligible", Reason: arg(args, 0)})
	case "fault", "clear":
		n.Step(vrrp.SetInput{Kind: vrrp.InFault, On: verb == "fault", Reason: arg(args, 0), Fence: arg(args, 1) == "fence"})
	case "weight":
		weight, err := strconv.Atoi(arg(args, 0))
		n.Step(vrrp.SetInput{Kind: vrrp.InWeight, Weight: weight})
		return err
	case "overlap":
		n.Step(vrrp.SetInput{Kind: vrrp.InOverlap, OK: arg(args, 0) == "yes"})
	case "term", "resume":
		term, err := strconv.ParseUint(arg(args, 0), 10, 64)
		if err != nil {
			return err
		}
		if verb == "term" {
			n.Step(vrrp.SetInput{Kind: vrrp.InTerm, Term: term, Raise: arg(args, 1) == "raise"})
			return nil
		}
		if err := n.Boot(); err != nil {
			return err
		}
		n.Step(vrrp.SetInput{Kind: vrrp.InResume, Term: term})
		n.Step(vrrp.SetInput{Kind: vrrp.InStart})
	case "set":
		cfg := n.Config()
		cfg.Routers = slices.Clone(cfg.Routers)
		for i := range cfg.Routers {
			if err := configure(&cfg.Routers[i], args); err != nil {
				return err
			}
		}
		moves := n.Moves()
		err := n.Reconfigure(cfg)
		s.tr.printf("%s: reconfigured, %d transitions", n.Name, n.Moves()-moves)
		return err
	default:
		return fmt.Errorf("no command %q", verb)
	}
	return nil
}

func configure(r *vrrp.RouterConfig, args []string) error {
	for _, a := range args {
		key, value, _ := strings.Cut(a, "=")
		var err error
		var n uint64
		switch key {
		case "priority", "version":
			n, err = strconv.ParseUint(value, 10, 8)
			if key == "version" {
				r.Version = uint8(n)
			} else {
				r.Priority = uint8(n)
			}
		case "interval":
			r.Interval, err = time.ParseDuration(value)
		case "delay":
			r.PreemptDelay, err = time.ParseDuration(value)
		case "settle":
			r.Settle, err = time.ParseDuration(value)
		case "track":
			r.Track = []string{value}
		case "preempt":
			r.Preempt = value == "true"
		case "routers", "down", "begin", "link_down", "link_up":
		default:
			err = fmt.Errorf("no key %q", key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// delays gives all links of a node the delays that its arguments name.
func delays(cfg *vrrp.SetConfig, args []string) error {
	var all vrrp.LinkDelay
	for _, a := range args {
		key, value, _ := strings.Cut(a, "=")
		var err error
		switch key {
		case "link_down":
			all.Down, err = time.ParseDuration(value)
		case "link_up":
			all.Up, err = time.ParseDuration(value)
		}
		if err != nil {
			return err
		}
	}
	if all == (vrrp.LinkDelay{}) {
		return nil
	}
	for _, r := range cfg.Routers {
		for _, name := range append([]string{r.Interface}, r.Track...) {
			if !slices.ContainsFunc(cfg.Delays, func(d vrrp.LinkDelay) bool { return d.Interface == name }) {
				all.Interface = name
				cfg.Delays = append(cfg.Delays, all)
			}
		}
	}
	return nil
}

func (s *Script) addNode(name string, args []string) error {
	routers := "lan/7"
	for _, a := range args {
		if list, ok := strings.CutPrefix(a, "routers="); ok {
			routers = list
		}
	}
	cfg := vrrp.SetConfig{Node: name}
	group := vrrp.GroupConfig{Name: "gw"}
	var links []Link
	host := byte(len(s.net.nodes) + 1)
	for i, item := range strings.Split(routers, ",") {
		part := strings.Split(item, "/")
		r := vrrp.RouterConfig{Name: part[0], Interface: part[0], Priority: 100, Preempt: true,
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(i + 1), 100})}}
		if err := configure(&r, args); err != nil {
			return err
		}
		if len(part) > 2 {
			if err := configure(&r, []string{"priority=" + part[2]}); err != nil {
				return err
			}
		}
		vrid, err := strconv.ParseUint(arg(part, 1), 10, 8)
		if err != nil {
			return err
		}
		r.VRID = uint8(vrid)
		cfg.Routers = append(cfg.Routers, r)
		group.Routers = append(group.Routers, r.Name)
		links = append(links, Link{Segment: part[0], Address: netip.AddrFrom4([4]byte{10, 0, byte(i + 1), host})})
	}
	if err := delays(&cfg, args); err != nil {
		return err
	}
	if len(cfg.Routers) > 1 {
		cfg.Groups = []vrrp.GroupConfig{group}
	}
	n := s.net.Add(cfg, links...)
	if slices.Contains(args, "down") {
		return nil
	}
	if err := n.Boot(); err != nil {
		return err
	}
	return s.start(n, args)
}

// start has a node that was booted begin, by what its arguments say of a start-up delay.
func (s *Script) start(n *Node, args []string) error {
	in := vrrp.SetInput{Kind: vrrp.InStart}
	for _, a := range args {
		if v, ok := strings.CutPrefix(a, "begin="); ok {
			d, err := time.ParseDuration(v)
			if err != nil {
				return err
			}
			in.Begin = s.net.now.Add(d)
		}
	}
	n.Step(in)
	return nil
}

func (s *Script) path(verb string, args []string) error {
	a, b := s.net.Node(arg(args, 0)), s.net.Node(arg(args, 1))
	if a == nil || b == nil {
		return fmt.Errorf("%s needs two nodes", verb)
	}
	rest := args[2:]
	var count int
	var wait time.Duration
	var err error
	switch verb {
	case "lose":
		count, err = strconv.Atoi(arg(rest, 0))
		rest = rest[1:]
	case "delay":
		wait, err = time.ParseDuration(arg(rest, 0))
		rest = rest[1:]
	}
	oneway := slices.Contains(rest, "oneway")
	for _, segment := range a.order {
		if only := arg(rest, 0); only != "" && only != "oneway" && only != segment {
			continue
		}
		for i, d := range [][2]string{{a.Name, b.Name}, {b.Name, a.Name}} {
			p := s.net.Path(d[0], d[1], segment)
			switch {
			case verb == "lose" && i == 0:
				p.DropNext = count
			case verb == "delay":
				p.Delay = wait
			case verb == "heal":
				p.Cut = false
			case verb == "cut" && (i == 0 || !oneway):
				p.Cut = true
			}
			s.net.SetPath(d[0], d[1], segment, p)
		}
	}
	return err
}

func (s *Script) status() {
	for _, n := range s.net.nodes {
		if n.set == nil {
			s.tr.printf("%s: down", n.Name)
			continue
		}
		for _, g := range n.set.Snapshot(s.net.now).Groups {
			s.tr.printf("%s: %s %v (%s) term %d%s%s", n.Name, g.Name, g.State, g.Reason, g.HighestTerm,
				word(n.Serving(g.Name), " serving", ""), word(g.Ineligible != "", " held: "+g.Ineligible, ""))
		}
	}
}
