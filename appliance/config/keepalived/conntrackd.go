package keepalived

import (
	"net/netip"
	"path/filepath"
	"strings"
)

// Conntrackd is what a conntrackd.conf says about who tells whom about which flows.
type Conntrackd struct {
	Name  string // of the file
	Word  string // that it stands for; "": the block Sync
	At    Place  // of the block Sync, or the file's first line
	Mode  Of[string]
	Links []SyncLink // the one to use first is the first
	Flows []FlowRule
}

// SyncLink is a channel between the nodes: UDP, TCP or Multicast.
type SyncLink struct {
	Kind    string
	At      Place
	Default bool
	Own     Of[netip.Addr]
	Peer    Of[netip.Addr]
	Dev     string
}

// FlowRule says that flows of some protocols are kept, all others not, or that they
// are not kept.
type FlowRule struct {
	Protocols []Of[string]
	Ignore    bool
	At        Place
}

// ParseConntrackd reads the text of a conntrackd.conf.
func ParseConntrackd(name string, src []byte) (*Conntrackd, []Message) {
	d := &conntrackdParser{out: &Conntrackd{Name: name, At: Place{name, 1}}}
	var lines []line
	n := 0
	for l := range strings.SplitSeq(string(src), "\n") {
		n++
		if l, _, _ = strings.Cut(l, "#"); strings.TrimSpace(l) != "" {
			lines = append(lines, line{strings.TrimSpace(l), Place{name, n}})
		}
	}
	d.block("", treeOf(lines, d.say))
	first := d.out.Links
	for i, l := range first {
		if l.Default {
			d.out.Links = append([]SyncLink{l}, append(append([]SyncLink{}, first[:i]...), first[i+1:]...)...)
		}
	}
	return d.out, d.list
}

type conntrackdParser struct {
	messages
	out *Conntrackd
}

// conntrackdNotes are the keywords for which nothing has to be done, and why.
var conntrackdNotes = map[string]string{
	"resendqueuesize": "changes are kept in the table itself", "ackwindowsize": "changes are kept in the table itself",
	"purgetimeout": "what is stale is found by comparing", "committimeout": "timeouts are those of the flows",
	"cachetimeout": "a flow lives as long as its owner says", "refreshtime": "tables are compared each minute",
	"disableexternalcache": "sessions.install is hot", "disableinternalcache": "there is one table",
	"startupresync": "a node that starts gets everything", "systemd": "the unit of understudy", "nice": "the unit of understudy",
	"scheduler": "the election runs in a process of its own", "hashsize": "the table grows", "hashlimit": "the table grows",
	"logfile": "the log is on standard error", "syslog": "the log is on standard error", "lockfile": "understudy locks by itself",
	"netlinkbuffersize": "buffers are sized by the kernel's table", "netlinkbuffersizemaxgrowth": "buffers are sized by the kernel's table",
	"netlinkoverrunresync": "a gap is closed by a dump", "netlinkeventsreliable": "a gap is closed by a dump", "pollsecs": "events are read",
	"eventiterationlimit": "events are drained each millisecond", "expectationsync": "expectations go with their flow", "tcpwindowtracking": "windows go with the flow",
	"sndsocketbuffer": "the link is TCP", "rcvsocketbuffer": "the link is TCP", "checksum": "the link is TLS", "unix": "the control socket of understudy",
	"backlog": "the control socket of understudy", "path": "the control socket of understudy",
}

// block reads a block by its keyword; words of conntrackd know no case.
func (d *conntrackdParser) block(word string, n *Node) {
	for _, c := range n.Children {
		w := strings.ToLower(c.Word)
		switch {
		case w == "":
		case w == "sync":
			d.out.At = c.At
			d.block(w, c)
		case w == "general" || w == "options" || w == "filter":
			d.block(w, c)
		case w == "stats":
			d.say(c.At, Warning, "Stats: not carried over: status and sessions show what there is")
		case w == "mode":
			d.out.Mode = of(strings.ToUpper(c.arg(0)), c.At)
			d.block(w, c)
		case w == "udp" || w == "tcp" || w == "multicast":
			d.link(c)
		case word == "filter" && w == "protocol":
			d.protocols(c)
		case word == "filter" && w == "address":
			d.addresses(c)
		case word == "filter" && w == "state":
			d.say(c.At, Note, "State: nothing to carry over: established flows are kept, and what they were before is sent as it changes")
		case w == "helper":
			d.say(c.At, Warning, "Helper: not carried over: flows keep their helpers, but those in user space are conntrackd's")
		default:
			why, known := conntrackdNotes[w]
			switch {
			case !known:
				d.say(c.At, Warning, "%s: not carried over: unknown keyword", c.Word)
			default:
				d.say(c.At, Note, "%s: nothing to carry over: %s", c.Word, why)
			}
		}
	}
}

func (d *conntrackdParser) link(n *Node) {
	l := SyncLink{Kind: n.Word, At: n.At}
	for _, a := range n.Args {
		l.Default = l.Default || strings.EqualFold(a, "default")
	}
	addr := func(c *Node) Of[netip.Addr] {
		a, err := netip.ParseAddr(c.arg(0))
		if err != nil || a.Is4In6() {
			d.say(c.At, Warning, "%s: '%s' is not an address", c.Word, c.arg(0))
			return Of[netip.Addr]{}
		}
		return of(a, c.At)
	}
	for _, c := range n.Children {
		switch strings.ToLower(c.Word) {
		case "ipv4_address", "ipv6_address":
			if a := addr(c); a.Set && strings.EqualFold(l.Kind, "multicast") {
				d.say(c.At, Note, "%s: nothing to carry over: the link is not multicast", c.Word)
			} else {
				l.Own = a
			}
		case "ipv4_destination_address", "ipv6_destination_address":
			l.Peer = addr(c)
		case "ipv4_interface", "ipv6_interface":
			if a, err := netip.ParseAddr(c.arg(0)); err == nil && !a.Is4In6() {
				l.Own = of(a, c.At)
			}
		case "interface":
			l.Dev = c.arg(0)
		case "port", "group":
			d.say(c.At, Note, "%s: nothing to carry over: the link of the sessions is TCP and UDP port %d", c.Word, sessionPort)
		default:
			if why, ok := conntrackdNotes[strings.ToLower(c.Word)]; ok {
				d.say(c.At, Note, "%s: nothing to carry over: %s", c.Word, why)
			} else {
				d.say(c.At, Warning, "%s: not carried over: unknown keyword", c.Word)
			}
		}
	}
	d.out.Links = append(d.out.Links, l)
}

func (d *conntrackdParser) protocols(n *Node) {
	r := FlowRule{At: n.At, Ignore: strings.EqualFold(n.arg(0), "ignore")}
	for _, c := range n.Children {
		for _, w := range c.all() {
			r.Protocols = append(r.Protocols, of(strings.ToLower(w), c.At))
		}
	}
	d.out.Flows = append(d.out.Flows, r)
}

func (d *conntrackdParser) addresses(n *Node) {
	for _, c := range n.Children {
		switch a := strings.TrimSpace(c.arg(0)); {
		case strings.EqualFold(n.arg(0), "ignore"):
			d.say(c.At, Note, "Address Ignore %s: nothing to carry over if it is the node's own or a router's: flows of the node itself are never kept", a)
		default:
			d.say(c.At, Warning, "Address %s %s: not carried over yet; see sessions.networks", n.arg(0), a)
		}
	}
}

// gluesConntrackd tells whether a program is one that moves conntrackd's state about
// when the role changes: conntrackd itself, its sample script, or one of those that
// distributions have made of it.
func gluesConntrackd(argv []string) bool {
	for _, a := range argv {
		for _, w := range strings.Fields(a) {
			base := strings.ToLower(filepath.Base(w))
			for _, known := range []string{"conntrackd", "primary-backup", "conntrack-sync", "conntracksync", "conntrack_sync"} {
				if strings.HasPrefix(base, known) || strings.HasSuffix(strings.TrimSuffix(base, ".sh"), known) {
					return true
				}
			}
		}
	}
	return false
}

// Glued tells whether some notify program of the configuration moves conntrackd's
// state about.
func (f *File) Glued() bool {
	glued := func(list []Notified) bool {
		for _, n := range list {
			if gluesConntrackd(n.Command) {
				return true
			}
		}
		return false
	}
	for _, in := range f.Instances {
		if glued(in.Notify) {
			return true
		}
	}
	for _, g := range f.Groups {
		if glued(g.Notify) {
			return true
		}
	}
	return false
}
