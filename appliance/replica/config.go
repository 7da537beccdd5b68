package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"understudy/nat/session"
)

// Config is what an [Engine] is made of. Times of 0 take the default.
type Config struct {
	Node    string
	Listen  netip.AddrPort
	Also    []netip.AddrPort // more to listen on, which need not be there yet
	Peers   []Peer
	Secrets [][]byte // 32 bytes each; the first is used, all are accepted
	Groups  []Group
	// Inside lists the networks whose sources are translated and the servers
	// that are forwarded to. Records of other hosts are refused. Empty: any.
	Inside []netip.Prefix
	// Routed: flows are replicated too that no address of a group translates. They
	// belong to a group by its networks; with Bound, what is in none of them does
	// not count, and else is of whichever group is Active.
	Routed, Bound bool
	// Knobs say how peers are told; the zero value is incremental, see session.Mode.
	Knobs session.Knobs
	// Cold: peers' sessions are in the table alone until Activate.
	Cold bool
	// Classes say which flows are replicated, and when; see session.Policy.
	Classes session.Policy
	// Hash is a hash of what must be the same on all nodes; 0: not compared.
	Hash uint64
	// Journal is what is kept on disk.
	Journal JournalConfig
	Logger  *slog.Logger // nil: discard

	Limit     int           // sessions at most; 0: the table's own limit
	Hold      time.Duration // timeout of a standby's kernel entries: session.Hold
	Renew     time.Duration // how often they are renewed, at most half of Hold: session.HoldRenew
	Reconcile time.Duration // how often the owner compares with a dump: 60 s
	Harvest   time.Duration // how often events are read while there are some: 1 ms
	Strict    time.Duration // when installed flows get their window check back after an activation: 30 s
	Late      time.Duration // how long after an activation the last owner's new flows are taken: 2 s
	Salvage   time.Duration // how long a peer may take to tell what it kept of a group, see salvage.go: 10 s
	Tunnel    time.Duration // how long a GRE tunnel that was taken over may be silent: 180 s, as the kernel gives it
	RcvBuf    int           // event buffer in bytes: conntrack.RcvBufFor this kernel's table
	Ladder    session.Ladder
	Return    time.Duration // how long an address of a peer that failed is not tried again while another one works: 10 s

	// TableMax is taken for nf_conntrack_max, which is one for all of a kernel's
	// network namespaces; 0: what it is.
	TableMax int

	// NATHooks tells for which families this kernel has a NAT chain; nil: not asked.
	NATHooks func() (ipv4, ipv6 bool, err error)

	// View is how this node stands, for peers to show: at most session.MaxView bytes,
	// which nobody changes any more. nil: they are told nothing.
	View func(context.Context) ([]byte, error)

	// Dumping, if it is set, is told of dumps of the connection table, as in
	// [conntrack.Kernel].
	Dumping func(on bool)

	// Namespace runs a function in the network namespace to work in; nil: that
	// of the process. Every socket is made within it.
	Namespace func(func() error) error
}

// Peer is another node.
type Peer struct {
	Name string
	Addr netip.AddrPort
	// Also are more addresses of it, in the order of preference behind Addr. The
	// n-th of a peer's is dialled from the n-th that we listen on, if there is one
	// and it is of the same family.
	Also []netip.AddrPort
}

// addresses are all of the peer's, the preferred one first.
func (p *Peer) addresses() []netip.AddrPort { return append([]netip.AddrPort{p.Addr}, p.Also...) }

// Group is a set of addresses that move together. A session belongs to the
// group that holds the address it is translated to, or was called at; if there is
// no such address, to one whose networks it comes from or goes to.
type Group struct {
	Name      string
	Addresses []netip.Addr
	Blocks    []netip.Prefix // more addresses, which are on no interface
	Networks  []netip.Prefix
}

func (c *Config) defaults() {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&c.Hold, session.Hold)
	set(&c.Renew, min(session.HoldRenew, c.Hold/2))
	set(&c.Reconcile, 60*time.Second)
	set(&c.Harvest, time.Millisecond)
	set(&c.Strict, 30*time.Second)
	set(&c.Late, 2*time.Second)
	set(&c.Salvage, 10*time.Second)
	set(&c.Tunnel, 180*time.Second)
	set(&c.Return, 10*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Namespace == nil {
		c.Namespace = func(fn func() error) error { return fn() }
	}
}

func (c *Config) check() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf("replica: "+format, a...)) }
	if c.Node == "" || len(c.Node) > 255 {
		bad("node name %q", c.Node)
	}
	if len(c.Peers) > session.MaxPeers {
		bad("%d peers, at most %d", len(c.Peers), session.MaxPeers)
	}
	names := map[string]bool{c.Node: true}
	for _, p := range c.Peers {
		if p.Name == "" || names[p.Name] {
			bad("peer name %q is empty or used twice", p.Name)
		}
		names[p.Name] = true
	}
	if len(c.Groups) == 0 || len(c.Groups) > session.MaxGroups {
		bad("%d groups, want 1 to %d", len(c.Groups), session.MaxGroups)
	}
	errs = append(errs, checkSecrets(c.Secrets))
	if c.Renew > c.Hold/2 {
		bad("sessions held for %v must be renewed within %v, not %v", c.Hold, c.Hold/2, c.Renew)
	}
	return errors.Join(errs...)
}
