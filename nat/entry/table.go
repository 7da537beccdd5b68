package entry

import (
	"net/netip"
	"slices"
	"time"

	"understudy/health"
)

// Table says where new flows go.
type Table struct {
	// ByClient: a flow's slot is the hash of its source address; else it is the next
	// one in turn.
	ByClient bool
	// ByPort: … the hash of its source address and port.
	ByPort bool
	// Slots holds a server's number each. None: flows are refused.
	Slots []uint8
	// Live tells by number whether a client that is remembered to be there may stay.
	Live []bool
	// Stay tells by number whether flows that are there may stay. None: they stay in any
	// case, unless they are cut.
	Stay []bool
	// Remember: where a client goes is remembered.
	Remember bool
}

// Equal compares what t and o say.
func (t Table) Equal(o Table) bool {
	return t.ByClient == o.ByClient && t.ByPort == o.ByPort && t.Remember == o.Remember && slices.Equal(t.Slots, o.Slots) && slices.Equal(t.Live, o.Live) &&
		slices.Equal(t.Stay, o.Stay)
}

// Bounds of the tables.
const (
	// Slots is how many slots a consistent hash has: a prime, and more than ten for
	// each of the most servers there can be.
	Slots = 1021
	// longestCycle bounds the slots of all other tables.
	longestCycle = 256
	// leastCycle is how fine the shares of least-connections are.
	leastCycle = 64
	// leastFlows is how many flows a server they are dealt out for, at least: fewer
	// would make much of a difference of one.
	leastFlows = 4
)

// build makes the table of this moment.
func (s *Set) build(now time.Time) (t Table) {
	t = Table{ByClient: s.cfg.Steer.ByClient(), ByPort: s.cfg.ByPort, Remember: s.cfg.Persist > 0, Live: make([]bool, len(s.Addresses()))}
	weights := s.weights(now)
	if s.cfg.Direct {
		// Nothing holds a flow to its server but that the table says so.
		t.Stay = make([]bool, len(t.Live))
		for i := range t.Stay {
			t.Stay[i] = i >= len(s.servers) || s.servers[i].state != health.Down || !s.cuts(i)
		}
	}
	if s.cfg.Spare.IsValid() && (!s.quorum || !slices.ContainsFunc(weights, positive)) {
		spare := uint8(len(s.cfg.Servers))
		// Nobody is to stay there for longer than it has to be.
		t.Slots, t.Live[spare], t.Remember, t.ByClient, t.ByPort = []uint8{spare}, true, false, false, false
		return t
	}
	for i, w := range weights {
		t.Live[i] = w > 0
	}
	switch s.cfg.Steer {
	case Primary:
		if i := slices.IndexFunc(weights, positive); i >= 0 {
			t.Slots = []uint8{uint8(i)}
		}
	case LeastConnections:
		t.Slots = s.least(weights)
	case ConsistentHash:
		t.Slots = Consistent(s.names(), weights)
	default:
		t.Slots = Cycle(weights, longestCycle)
	}
	return t
}

func positive(w int) bool { return w > 0 }

// least deals out the next flows by what the servers have.
func (s *Set) least(weights []int) []uint8 {
	connections, servers := make([]int, len(weights)), 0
	for i, v := range s.servers {
		connections[i] = v.connections
		if weights[i] > 0 {
			servers++
		}
		if !v.counted {
			return Cycle(weights, leastCycle) // nobody has looked yet
		}
	}
	return Cycle(level(weights, connections, max(s.fresh, leastFlows*servers)), leastCycle)
}

// names are what the servers are told apart by in a hash: the same on every node.
func (s *Set) names() []string {
	out := make([]string, len(s.cfg.Servers))
	for i, v := range s.cfg.Servers {
		out[i] = v.Address.String()
	}
	return out
}

// Table is the one in force.
func (s *Set) Table() Table { return s.table }

// Addresses are those of the servers by number; the spare server's is behind them.
func (s *Set) Addresses() []netip.AddrPort {
	out := make([]netip.AddrPort, 0, len(s.cfg.Servers)+1)
	for _, v := range s.cfg.Servers {
		out = append(out, v.Address)
	}
	if s.cfg.Spare.IsValid() {
		out = append(out, s.cfg.Spare)
	}
	return out
}

// Cycle deals out slots by weight, each server's as far apart as can be (smooth
// weighted round-robin). There are as few as give each server its exact share, but at
// most most: then shares are rounded, and a server that weighs next to nothing has none.
func Cycle(weights []int, most int) []uint8 {
	share, sum := reduce(weights, most)
	if sum == 0 {
		return nil
	}
	out := make([]uint8, 0, sum)
	credit := make([]int, len(share))
	for len(out) < sum {
		next := -1
		for i := range share {
			if credit[i] += share[i]; share[i] > 0 && (next < 0 || credit[i] > credit[next]) {
				next = i
			}
		}
		credit[next] -= sum
		out = append(out, uint8(next))
	}
	return out
}

// reduce brings weights to a sum of at most most, as small as keeps their ratios, else
// rounded (by largest remainders).
func reduce(weights []int, most int) (share []int, sum int) {
	share = slices.Clone(weights)
	common := 0
	for _, w := range share {
		common = gcd(common, w)
	}
	if common == 0 {
		return share, 0
	}
	for i := range share {
		share[i] /= common
		sum += share[i]
	}
	if sum <= most {
		return share, sum
	}
	remainder := make([]int, len(share))
	dealt := 0
	for i, w := range share {
		share[i], remainder[i] = w*most/sum, w*most%sum
		dealt += share[i]
	}
	for ; dealt < most; dealt++ {
		i := slices.Index(remainder, slices.Max(remainder))
		share[i]++
		remainder[i] = -1
	}
	// What is left may have a common divisor again.
	return reduce(share, most)
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
