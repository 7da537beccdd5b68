package witness

import (
	"net/netip"
	"time"

	"understudy/vrrp"
)

// Mode is what follows from what the peers say.
type Mode string

// The modes.
const (
	ModeAlarm Mode = "alarm" // findings
	ModeHold  Mode = "hold"  // and takeovers are put off: see [vrrp.SetConfig.HoldLimit]
	ModeOff   Mode = "off"   // nothing is sent, heard or found
)

// Config is who sends heartbeats to whom. It is plain data: it crosses a socket pair as JSON.
type Config struct {
	Node   string
	Mode   Mode
	Listen netip.AddrPort // where heartbeats come from and go to, UDP; the zero value: there are none
	Also   []netip.AddrPort
	Key    Key
	Peers  []Peer
}

// Peer is another node.
type Peer struct {
	Name    string
	Address netip.AddrPort
	Also    []netip.AddrPort // it is sent each heartbeat at all of its addresses, and one that arrives is enough
	Keys    []Key            // any of them proves that a heartbeat is its own; two while the cluster secret is being changed
}

const (
	// shortest is the least pause between two heartbeats.
	shortest = 10 * time.Millisecond
	// proofs is how many of our sequence numbers a heartbeat may repeat, proofAge how old they may be: more than two
	// networks' delays, and less than what holding one back could be good for.
	proofs   = 128
	proofAge = time.Second
	// remembered is how long what a peer said counts for findings, at least.
	remembered = 3 * time.Second
)

// Guard knows what the peers say and what was heard of them beside. It is not safe for concurrent use, never reads the
// clock, and allocates nothing in steady state.
type Guard struct {
	cfg         Config
	incarnation uint64
	code        *coder
	peers       []*peer
	neighbour   Neighbour

	groups  []group
	routers []router
	byName  map[string]int // groups
	byID    map[uint64]int // routers

	every time.Duration
	next  time.Time // when to send
	beat  Beat      // as last read
	said  []int     // groups of it, by their index; -1: none of ours
	claim []vrrp.Claim
	drops [numReasons]uint64 // of nobody

	judging
}

// peer is what is known of another node.
type peer struct {
	Peer
	codes []*coder

	sequence    uint64
	sent        [proofs]time.Time // by sequence
	group, from int               // where the next heartbeat begins

	incarnation, last    uint64 // of its accepted heartbeats
	candidate, candidacy uint64 // of a life that has yet to prove that it is one
	heard                time.Time
	interval             time.Duration
	neighbour            Neighbour
	received, unproven   uint64
	drops                [numReasons]uint64
	since                time.Time // we wait for its heartbeats
	silent               contest   // none come

	groups  []word
	routers []claim
}

// word is what a peer last said of a group of ours.
type word struct {
	at       time.Time // zero: nothing
	state    vrrp.State
	leaving  bool
	term     uint64
	answered bool   // it knew then that we are Active
	asActive uint64 // sequence of our first heartbeat that said so; 0: we have not
	both     contest
	above    uint64 // its term, when that was last seen to be above ours
}

// claim is what a peer last said of a router of ours.
type claim struct {
	at       time.Time
	source   netip.Addr
	priority uint8
	hears    bool
	refuses  vrrp.Reason
	form     vrrp.ChecksumForm
	iface    [maxIfName]byte
	ifLen    uint8
	unheard  contest // its adverts are not heard here
	deaf     contest // ours are not heard there
	refusing contest // ours are refused there
}

// group is one of ours.
type group struct {
	name    string
	members []int   // as in the Set: the anchor first
	contest contest // it is, or was a moment ago, Active elsewhere as well
	told    time.Time
	owed    bool // its addresses are to be announced again
}

// router is one of ours.
type router struct {
	id            uint64
	name, iface   string
	group         int
	version, vrid uint8
	family        uint8
	interval      time.Duration
	auto          bool // it follows the form of checksum that it hears
	rivals        [4]rival
	refused       refusal
	lower, forms  contest
	incompatible  contest
}

// NewGuard returns a Guard of an election process. incarnation is a random number, not 0.
func NewGuard(cfg Config, incarnation uint64) *Guard {
	g := &Guard{incarnation: incarnation, every: time.Second, byName: map[string]int{}, byID: map[uint64]int{}}
	g.Configure(cfg)
	return g
}

// Configure goes over to cfg. What is known of peers that stay is kept.
func (g *Guard) Configure(cfg Config) {
	g.cfg = cfg
	g.code = newCoder(cfg.Key)
	old := g.peers
	g.peers = nil
	for _, p := range cfg.Peers {
		next := &peer{}
		for _, o := range old {
			if o.Name == p.Name {
				next = o
			}
		}
		next.Peer, next.codes = p, nil
		for _, k := range p.Keys {
			next.codes = append(next.codes, newCoder(k))
		}
		next.groups, next.routers = resize(next.groups, len(g.groups)), resize(next.routers, len(g.routers))
		g.peers = append(g.peers, next)
	}
	g.stale = true
}

// Config is what the Guard runs with.
func (g *Guard) Config() Config { return g.cfg }

// Layout goes over to another configuration of the election, that of set. What was said and heard
// before comes again soon enough.
func (g *Guard) Layout(set *vrrp.Set) {
	cfg := set.Config()
	g.groups, g.routers = nil, nil
	clear(g.byName)
	clear(g.byID)
	for i, gc := range cfg.Groups {
		g.groups = append(g.groups, group{name: gc.Name})
		g.byName[gc.Name] = i
	}
	g.every = 0
	for i, rc := range cfg.Routers {
		r := router{id: RouterID(rc.Family, rc.VRID, rc.Addresses), name: rc.Name, iface: rc.Interface, version: rc.Version,
			vrid: rc.VRID, family: rc.Family, interval: rc.Interval, auto: rc.Checksum == vrrp.ChecksumAuto}
		g.byID[r.id] = i
		g.routers = append(g.routers, r)
		if g.every == 0 || rc.Interval < g.every {
			g.every = rc.Interval
		}
	}
	g.every = max(g.every, shortest)
	for i := range g.groups {
		g.groups[i].members = set.Members(i)
		for _, r := range g.groups[i].members {
			g.routers[r].group = i
		}
	}
	for _, p := range g.peers {
		p.groups, p.routers = resize(p.groups[:0], len(g.groups)), resize(p.routers[:0], len(g.routers))
		p.group, p.from = 0, 0
	}
	g.stale = true
}

// resize returns s with n elements, new ones zero.
func resize[T any](s []T, n int) []T {
	if len(s) == n {
		return s
	}
	return append(s, make([]T, n-len(s))...)
}

// SetNeighbour is what our own heartbeats say of the neighbour from now on.
func (g *Guard) SetNeighbour(n Neighbour) { g.neighbour = n }

// Interval is that of our heartbeats: the shortest of all adverts.
func (g *Guard) Interval() time.Duration { return g.every }

// Peers is how many there are, Address where one listens.
func (g *Guard) Peers() int { return len(g.peers) }

// Address is where a peer listens.
func (g *Guard) Address(peer int) netip.AddrPort { return g.peers[peer].Peer.Address }

// sends tells whether there are heartbeats.
func (g *Guard) sends() bool {
	return g.cfg.Mode != ModeOff && g.cfg.Listen.IsValid() && len(g.peers) > 0
}

// Deadline is when to send, or to judge; zero: neither.
func (g *Guard) Deadline() time.Time {
	if !g.sends() {
		return g.judgeAt
	}
	if !g.judgeAt.IsZero() && g.judgeAt.Before(g.next) {
		return g.judgeAt
	}
	return g.next
}
