package entry

import (
	"net/netip"
	"strconv"
	"time"

	"understudy/nat"
)

// Config is one entry point as the configuration file asks for it. It may be wrong:
// see [Check].
type Config struct {
	Name  string
	Match Match
	Steer Steer
	// ByPort: where the client decides, its port counts too: its flows go to several servers.
	ByPort  bool
	Servers []Server
	// Spare gets what no server can: while there is none, or less than the quorum.
	// Invalid: there is none. Port 0: the port that was called.
	Spare netip.AddrPort
	// OnFailure is what becomes of the flows of a server that has died.
	OnFailure Policy
	How       How // how, with Move; empty: Lazy
	// Persist: a client's new flows go to the server of its last one, until there has
	// been none for so long. 0: each flow is steered anew.
	Persist time.Duration
	// PersistPrefix is the length of the prefix whose clients count as one for Persist. 0:
	// each client by itself.
	PersistPrefix int
	// Quorum is the weight of the servers that are there from which on they count as
	// enough: it is lost below Quorum-Hysteresis, and there again at Quorum+Hysteresis.
	// 0: one server is enough.
	Quorum, Hysteresis int
	// SlowStart is how long a server that comes back takes to its full share. 0: none.
	SlowStart time.Duration
	// Direct: packets are handed to a server as they are, by its MAC or in a tunnel, and it
	// answers the client past the gateway; else they are translated.
	Direct bool
	// Tunnel is that tunnel, with Direct; zero: by MAC.
	Tunnel Tunnel
	// Links are networks that the gateway is in: a client and a server that are in one
	// would talk past it.
	Links []netip.Prefix
}

// Match says which packets are offered to the entry point: those to an address, or
// those that rules of the operator's have given a mark.
type Match struct {
	Address netip.Addr // invalid: by Mark
	Proto   nat.Proto
	Ports   nat.Ports
	Mark    uint32
}

// Server is one that flows are assigned to.
type Server struct {
	Address netip.AddrPort // port 0: the port that was called
	Check   string         // name of the check that says whether it is there; "": it always is
	Weight  int            // its share; 0: gets no new flows
	Weigh   string         // name of the check whose word, if not 0, takes the place of Weight: 2 more than that; "": none
	// WeighBy: what Weigh says is added to Weight, so many times. 0: it takes its place.
	WeighBy int
	Max     int // connections from which on it gets no new ones; 0: any number
	Resume  int // … until it has fewer than so many; 0: than Max
	// OnFailure is what becomes of its flows when it has died; "": as the entry point says.
	OnFailure Policy
	// Doubted: it counts as dead until its check has said a word.
	Doubted bool
}

// Steer is how a server is chosen for a new flow.
type Steer string

// The ways to steer.
const (
	Primary          Steer = "primary"
	RoundRobin       Steer = "round-robin"
	Weighted         Steer = "weighted"
	LeastConnections Steer = "least-connections"
	SourceHash       Steer = "source-hash"
	ConsistentHash   Steer = "consistent-hash"
)

// Steers are all of them.
func Steers() []Steer {
	return []Steer{Primary, RoundRobin, Weighted, LeastConnections, SourceHash, ConsistentHash}
}

// Weighs tells whether weights other than 0 and 1 make a difference.
func (s Steer) Weighs() bool { return s != Primary && s != RoundRobin }

// ByClient tells whether a client's flows go to one server as long as the servers stay
// the same.
func (s Steer) ByClient() bool { return s == SourceHash || s == ConsistentHash }

// Policy is what becomes of established flows when their server dies.
type Policy string

// The policies.
const (
	// Reset cuts them: a client's TCP is told, so that it connects anew at once.
	Reset Policy = "reset"
	// Keep leaves them alone.
	Keep Policy = "keep"
	// Move has connections of TCP go on at another server, and resets those that cannot.
	Move Policy = "move"
)

// How is how connections go on at another server, with [Move].
type How string

// The ways to go on.
const (
	// Lazy keeps nothing of what is said.
	Lazy How = "lazy"
	// Replay says to the next server all that the client had said.
	Replay How = "replay"
	// Warm does so all along.
	Warm How = "warm"
)

// Logged tells whether what is said on connections has to be logged.
func (h How) Logged() bool { return h == Replay || h == Warm }

// MaxServers is how many servers an entry point can have.
const MaxServers = 64

// moves tells whether connections of the server go on at another one when it dies.
func (c *Config) moves(i int) bool { return c.OnFailure == Move && c.Servers[i].OnFailure == "" }

// Six tells whether the entry point is of IPv6.
func (c *Config) Six() bool {
	if c.Match.Address.IsValid() {
		return c.Match.Address.Is6()
	}
	return len(c.Servers) > 0 && c.Servers[0].Address.Addr().Is6()
}

// Counted tells whether the connections of its servers have to be counted.
func (c *Config) Counted() bool {
	if c.Steer == LeastConnections {
		return true
	}
	for _, s := range c.Servers {
		if s.Max > 0 {
			return true
		}
	}
	return false
}

// String is the match as the file spells it: "203.0.113.10:443/tcp",
// "[2001:db8::10]:8000-8099/udp" or "mark 0x10".
func (m Match) String() string {
	if !m.Address.IsValid() {
		return "mark 0x" + strconv.FormatUint(uint64(m.Mark), 16)
	}
	ports := netip.AddrPortFrom(m.Address, m.Ports.First).String()
	if m.Ports.Last != m.Ports.First {
		ports += "-" + strconv.Itoa(int(m.Ports.Last))
	}
	return ports + "/" + m.Proto.String()
}

// Takes tells whether a flow of the protocol to an address and port is the entry
// point's. By a mark nobody can tell: the flow does not say what its packets had.
func (m Match) Takes(proto nat.Proto, to netip.AddrPort) bool {
	return m.Address.IsValid() && to.Addr() == m.Address && proto == m.Proto && m.Ports.Contains(to.Port())
}

// Overlaps tells whether one packet could be offered to both.
func (m Match) Overlaps(o Match) bool {
	if !m.Address.IsValid() || !o.Address.IsValid() {
		return !m.Address.IsValid() && !o.Address.IsValid() && m.Mark == o.Mark
	}
	return m.Address == o.Address && m.Proto == o.Proto && m.Ports.First <= o.Ports.Last && o.Ports.First <= m.Ports.Last
}

// AddressText is a server's address as the file spells it.
func AddressText(a netip.AddrPort) string {
	if a.Port() == 0 {
		return a.Addr().String()
	}
	return a.String()
}
