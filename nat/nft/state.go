package nft

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"

	"understudy/nat"
)

// state is what the kernel holds of our table.
type state struct {
	exists   bool
	dormant  bool // someone switched the table off
	chains   map[string]*nftables.Chain
	rules    map[string][]string // chain -> a fingerprint a rule; of entry points, its comment
	sets     map[string]*nftables.Set
	elements map[string]map[string]element // set -> id -> element
	counters map[string]expr.Counter
}

// reading says how a table is read: one of ours, or that of entry points.
type reading struct {
	table *nftables.Table
	words func(chain string) bool      // the rules of the chain are told by their comments
	blind func(set *nftables.Set) bool // the kernel fills the set: its elements are nobody's business
}

// read dumps a table. Reading is several requests, so it may mix two states if
// someone writes meanwhile; whoever acts on it reads again afterwards.
func (r reading) read(c *nftables.Conn, nl *netlink.Conn) (*state, error) {
	s := &state{
		chains: map[string]*nftables.Chain{}, rules: map[string][]string{},
		sets: map[string]*nftables.Set{}, elements: map[string]map[string]element{},
	}
	tables, err := c.ListTablesOfFamily(r.table.Family)
	if err != nil {
		return nil, fmt.Errorf("read tables: %w", err)
	}
	for _, t := range tables {
		if t.Name == r.table.Name {
			s.exists, s.dormant = true, t.Flags != 0
		}
	}
	if !s.exists {
		return s, nil
	}
	if err := r.chains(s, c, nl); err != nil {
		return nil, err
	}
	if err := r.sets(s, c); err != nil {
		return nil, err
	}
	s.counters, err = readCounters(c, r.table)
	return s, err
}

func (r reading) chains(s *state, c *nftables.Conn, nl *netlink.Conn) error {
	all, err := c.ListChainsOfTableFamily(r.table.Family)
	if err != nil {
		return fmt.Errorf("read chains: %w", err)
	}
	for _, ch := range all {
		if ch.Table.Name != r.table.Name {
			continue
		}
		s.chains[ch.Name] = ch
		if r.words(ch.Name) {
			if s.rules[ch.Name], err = readWords(nl, r.table, ch.Name); err != nil {
				return err
			}
			continue
		}
		rules, err := c.GetRules(r.table, ch)
		if err != nil {
			return fmt.Errorf("read chain %s: %w", ch.Name, err)
		}
		for _, rule := range rules {
			s.rules[ch.Name] = append(s.rules[ch.Name], fingerprint(rule.Exprs, rule.UserData))
		}
	}
	return nil
}

func (r reading) sets(s *state, c *nftables.Conn) error {
	all, err := c.GetSets(r.table)
	if err != nil {
		return fmt.Errorf("read sets: %w", err)
	}
	for _, set := range all {
		s.sets[set.Name] = set
		if r.blind(set) {
			continue
		}
		elements, err := c.GetSetElements(set)
		if err != nil {
			return fmt.Errorf("read set %s: %w", set.Name, err)
		}
		byID := make(map[string]element, len(elements))
		for _, k := range elements {
			e := fromKernel(k)
			byID[e.id()] = e
		}
		s.elements[set.Name] = byID
	}
	return nil
}

func readCounters(c *nftables.Conn, table *nftables.Table) (map[string]expr.Counter, error) {
	objects, err := c.GetNamedObjects(table)
	if err != nil {
		return nil, fmt.Errorf("read counters: %w", err)
	}
	out := map[string]expr.Counter{}
	for _, o := range objects {
		if n, ok := o.(*nftables.NamedObj); ok {
			if v, ok := n.Obj.(*expr.Counter); ok {
				out[n.Name] = *v
			}
		}
	}
	return out, nil
}

// fingerprint is equal for rules that say the same: what the kernel adds on its
// own, a flag that follows from the registers, is left out.
func fingerprint(exprs []expr.Any, userData []byte) string {
	var b strings.Builder
	for _, e := range exprs {
		switch x := e.(type) {
		case *expr.NAT:
			bare := *x
			bare.Specified = false
			e = &bare
		case *expr.Ct:
			if x.Key == expr.CtKeyEVENTMASK { // what it is set to stands before it; the library does not read from where
				e = &expr.Ct{Key: x.Key}
			}
		}
		data, err := expr.Marshal(byte(nftables.TableFamilyINet), e)
		if err != nil {
			data = fmt.Appendf(nil, "%T", e) // an expression we never write: differs from all of ours
		}
		b.Write(data)
	}
	b.Write(userData)
	return b.String()
}

// GateState is a group and whether its addresses are let in.
type GateState struct {
	Group string
	Open  bool
}

// open tells for each group the kernel knows whether its gate is open. A group
// of which some address or device is shut counts as shut: half open is no state to keep.
// If the gate's sets are not what they should be, no group is known.
func (s *state) open() map[string]bool {
	pairs := []gatePair{{deviceSet(setDevices), deviceSet(setClosedDevices)}}
	for _, k := range kinds() {
		pairs = append(pairs, gatePair{k.set(k.all), k.set(k.closed)})
	}
	out := map[string]bool{}
	for _, p := range pairs {
		if p.absent(s) {
			continue
		}
		if !sameSet(s.sets[p.all.Name], p.all) || !sameSet(s.sets[p.closed.Name], p.closed) {
			return map[string]bool{}
		}
		for id, e := range s.elements[p.all.Name] {
			_, shut := s.elements[p.closed.Name][id]
			was, known := out[e.comment]
			out[e.comment] = !shut && (was || !known)
		}
	}
	return out
}

// gatePair is all there is of a kind, and what of it is shut.
type gatePair struct{ all, closed *nftables.Set }

// absent tells that there is neither of the two sets for IPv6, as in the table of
// a version that knew only IPv4. A table with one of them is not ours any more.
func (p gatePair) absent(s *state) bool {
	newer := p.all.Name == setAddresses6 || p.all.Name == setAddressesLocal
	return newer && s.sets[p.all.Name] == nil && s.sets[p.closed.Name] == nil
}

// shut is what gates keep out.
type shut struct {
	addresses []netip.Addr
	devices   []string
}

// shut returns what must be shut: everything, except the groups whose gate is
// open now.
func (s *state) shut(plan nat.Plan) (out shut) {
	open := s.open()
	for _, g := range plan.Gates {
		if !open[g.Group] {
			out.addresses = append(out.addresses, g.Address)
		}
	}
	for _, d := range plan.Devices {
		if !open[d.Group] {
			out.devices = append(out.devices, d.Device)
		}
	}
	return out
}
