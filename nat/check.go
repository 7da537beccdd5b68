package nat

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Kind says which list of a [Config] a problem was found in. Its String is the
// key of that list in the configuration file.
type Kind uint8

const (
	KindSource Kind = iota
	KindStatic
	KindForward
	KindException
	KindGroup
)

func (k Kind) String() string {
	return [...]string{"source", "static", "forward", "except", "group"}[k]
}

// Problem is one mistake in a [Config]. Kind and Index place it in its list, so
// that a parser that knows lines can point at one.
type Problem struct {
	Kind    Kind
	Index   int
	Key     string // the field that is wrong, as the file spells it
	Mapping string // the mapping's name
	Reason  string // what is wrong, and the fix
}

func (p Problem) Error() string { return p.Mapping + ": " + p.Key + ": " + p.Reason }

// longestGroupName keeps a group's name within what the kernel stores beside a
// set element (128 bytes with its header).
const longestGroupName = 64

type checker struct {
	cfg      Config
	group    map[netip.Addr]int // address -> the group that holds it
	blocks   nets               // of all groups
	problems []Problem
}

// Check returns everything that is wrong with c, in the order of its lists. Nil
// means that [New] takes it.
func Check(c Config) []Problem {
	k := checker{cfg: c, group: map[netip.Addr]int{}}
	k.groups()
	k.checkBlocks()
	k.devices()
	k.refused()
	for i := range c.Sources {
		k.source(i)
	}
	k.overlaps()
	k.checkStatics()
	k.forwards()
	k.exceptions()
	k.links()
	k.problems = append(k.problems, c.Mirror.check()...)
	slices.SortStableFunc(k.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Index, b.Index))
	})
	return k.problems
}

func (k *checker) add(kind Kind, i int, key, format string, args ...any) {
	var name string
	switch kind {
	case KindSource:
		name = k.cfg.Sources[i].String()
	case KindStatic:
		name = k.cfg.Statics[i].String()
	case KindForward:
		name = k.cfg.Forwards[i].String()
	case KindException:
		name = k.cfg.Exceptions[i].String()
	case KindGroup:
		name = fmt.Sprintf("group %q", k.cfg.Groups[i].Name)
	}
	k.problems = append(k.problems, Problem{kind, i, key, name, fmt.Sprintf(format, args...)})
}

func (k *checker) groups() {
	names := map[string]int{}
	for i, g := range k.cfg.Groups {
		switch _, dup := names[g.Name]; {
		case g.Name == "" || len(g.Name) > longestGroupName:
			k.add(KindGroup, i, "name", "want 1 to %d bytes", longestGroupName)
		case dup:
			k.add(KindGroup, i, "name", "used twice; merge the two groups or rename one")
		}
		names[g.Name] = i
		for _, a := range g.Addresses {
			if why := notHeld(a); why != "" {
				k.add(KindGroup, i, "addresses", "%v %s", a, why)
				continue
			}
			if j, held := k.group[a]; held {
				k.add(KindGroup, i, "addresses", "%v is in group %q already; an address moves with one group", a, k.cfg.Groups[j].Name)
				continue
			}
			k.group[a] = i
		}
	}
}

// devices and addresses that are refused come with a group; the program names
// them, not an operator.
func (k *checker) devices() {
	seen := map[string]bool{}
	for _, d := range k.cfg.Devices {
		i := slices.IndexFunc(k.cfg.Groups, func(g Group) bool { return g.Name == d.Group })
		why := badInterface(d.Device)
		switch {
		case i < 0:
			why = fmt.Sprintf("%q is of group %q, which there is not", d.Device, d.Group)
			k.problems = append(k.problems, Problem{Kind: KindGroup, Key: "devices", Mapping: d.line(), Reason: why})
			continue
		case why == "" && seen[d.Device]:
			why = fmt.Sprintf("%q is there twice", d.Device)
		}
		if why != "" {
			k.add(KindGroup, i, "devices", "%s", why)
		}
		seen[d.Device] = true
	}
}

func (k *checker) refused() {
	for _, a := range k.cfg.Refused {
		if _, ok := k.group[a]; !ok {
			k.problems = append(k.problems, Problem{Kind: KindGroup, Key: "refused", Mapping: refusedLine(a),
				Reason: "belongs to no group"})
		}
	}
}

func (k *checker) source(i int) {
	s := k.cfg.Sources[i]
	switch {
	case !s.From.IsValid() || s.From.Addr().Is4In6():
		k.add(KindSource, i, "from", "want a network such as 10.0.0.0/24")
	case s.From != s.From.Masked():
		k.add(KindSource, i, "from", "has host bits; write %v", s.From.Masked())
	case s.From.Bits() == 0:
		// It would take in the gateway's own adverts, which must keep their source.
		k.add(KindSource, i, "from", "every address there is; name the networks behind the gateway")
	default:
		for _, to := range s.Addresses() {
			if s.From.Contains(to) {
				// The gateways' own addresses on that side are likely in it too, and their adverts.
				k.add(KindSource, i, "from", "holds %v, which it is to be translated to; name the networks behind the gateway", to)
				break
			}
		}
	}
	if s.From.Addr().Is6() && s.From.Addr().IsLinkLocalUnicast() {
		k.add(KindSource, i, "from", "%v does not leave its link; name the networks behind the gateway", s.From)
	}
	for _, to := range s.Addresses() {
		if s.From.IsValid() && to.IsValid() && s.From.Addr().Is4() != to.Is4() {
			k.add(KindSource, i, "to", "%v is of another family than %v", to, s.From)
			break
		}
	}
	if why := badInterface(s.Out); why != "" {
		k.add(KindSource, i, "out", "%s", why)
	}
	seen := map[netip.Addr]bool{}
	for _, to := range s.Addresses() {
		k.held(KindSource, i, "to", to)
		if seen[to] {
			k.add(KindSource, i, "to", "%v is there twice; name each address once", to)
		}
		seen[to] = true
	}
	if n := len(seen); n > MostAddresses {
		k.add(KindSource, i, "to", "%d addresses; use %d at most", n, MostAddresses)
	}
	if s.Keeps && len(s.Also) > 0 {
		k.add(KindSource, i, "to", "several addresses, where flows are to keep their port; name one")
	}
	for _, p := range []Ports{s.Ports, s.Pool} {
		if p != (Ports{}) && (p.First == 0 || p.First > p.Last) {
			k.add(KindSource, i, "ports", "%v is no range; write FIRST-LAST with 1 <= FIRST <= LAST", p)
		}
	}
	if p, all := s.ports(), s.pool(); p.First < all.First || p.Last > all.Last {
		k.add(KindSource, i, "ports", "%v is not within the pool %v", p, all)
	}
}

// held checks an address that flows are translated to or from.
func (k *checker) held(kind Kind, i int, key string, a netip.Addr) {
	if why := notUnicast(a); why != "" {
		k.add(kind, i, key, "%v %s", a, why)
		return
	}
	if _, ok := k.group[a]; !ok && !k.blocks.holds(netip.PrefixFrom(a, a.BitLen())) {
		// Without a gate it would attract packets of flows that are not installed yet.
		k.add(kind, i, key, "%v belongs to no group; add it to the router whose subnet holds it", a)
	}
}

// overlaps finds inside networks that share addresses on one outside interface:
// which of the two would apply, the file does not say.
func (k *checker) overlaps() {
	order := make([]int, 0, len(k.cfg.Sources))
	for i, s := range k.cfg.Sources {
		if s.From.IsValid() && s.From == s.From.Masked() {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return compareSource(k.cfg.Sources[a], k.cfg.Sources[b])
	})
	// Two networks are disjoint or nested, and a larger one sorts before those
	// inside it: comparing with the last outermost one finds every overlap.
	outer := -1
	for _, i := range order {
		s := k.cfg.Sources[i]
		if outer >= 0 {
			if o := k.cfg.Sources[outer]; o.Out == s.Out && o.From.Overlaps(s.From) {
				k.add(KindSource, i, "from", "overlaps %v on the same interface; keep one of them or split the larger", o.From)
				continue
			}
		}
		outer = i
	}
}

// service is a port that can be called.
type service struct {
	netip.Addr
	Proto
}

// span is ports of a forward.
type span struct {
	Ports
	forward int
}

func (k *checker) forwards() {
	pools := map[netip.Addr][]Ports{}
	for _, s := range k.cfg.Sources {
		for _, a := range s.Addresses() {
			pools[a] = append(pools[a], s.pool())
		}
	}
	taken := map[service][]span{}
	for i, f := range k.cfg.Forwards {
		k.held(KindForward, i, "address", f.Address)
		switch f.Proto {
		case TCP, UDP, SCTP:
		default:
			k.add(KindForward, i, "address", "protocol %v; want tcp, udp or sctp", f.Proto)
		}
		if f.Port == 0 {
			k.add(KindForward, i, "address", "port 0; want 1 to 65535")
		}
		ports := Ports{f.Port, max(f.Port, f.Last)}
		if f.Last != 0 && f.Last <= f.Port {
			k.add(KindForward, i, "address", "%d-%d is no range; write FIRST-LAST with FIRST < LAST", f.Port, f.Last)
		}
		k.server(i, f)
		at := service{f.Address, f.Proto}
		taken[at] = append(taken[at], span{ports, i})
		for _, p := range pools[f.Address] {
			if p.First <= ports.Last && ports.First <= p.Last {
				// A reply of a translated flow that is not installed yet would be
				// taken for a new flow to the server.
				k.add(KindForward, i, "address", "port %d lies in the pool %v of source NAT on this address; leave it out with ports = \"FIRST-LAST\" there, or forward another address", max(p.First, ports.First), p)
				break
			}
		}
	}
	for _, spans := range taken {
		k.forwardedTwice(spans)
	}
}

// server checks where a forward leads to.
func (k *checker) server(i int, f Forward) {
	switch why := notUnicast(f.To.Addr()); {
	case why != "" || f.To.Port() == 0:
		k.add(KindForward, i, "to", "%v is no server; want ADDRESS:PORT", f.To)
		return
	case f.Address.IsValid() && f.Address.Is4() != f.To.Addr().Is4():
		k.add(KindForward, i, "to", "%v is of another family than %v", f.To.Addr(), f.Address)
	case f.ToLast != 0 && int(f.ToLast)-int(f.To.Port())+1 != f.Size():
		k.add(KindForward, i, "to", "%d-%d is not as large as the range that is forwarded (%d ports); name as many ports, or one", f.To.Port(), f.ToLast, f.Size())
	}
	if _, ours := k.group[f.To.Addr()]; ours {
		k.add(KindForward, i, "to", "%v is an address of the gateways; name the server behind them", f.To.Addr())
	}
}

// forwardedTwice refuses ports of one address and protocol that two forwards have.
func (k *checker) forwardedTwice(spans []span) {
	slices.SortStableFunc(spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.forward, b.forward))
	})
	for n := 1; n < len(spans); n++ {
		a, b := spans[n-1], spans[n]
		if b.First > a.Last {
			continue
		}
		i, j := max(a.forward, b.forward), min(a.forward, b.forward)
		k.add(KindForward, i, "address", "already forwarded to %v; keep one of the two", k.cfg.Forwards[j].To)
		if a.Last > b.Last {
			spans[n].Last = a.Last // what comes next may be in it too
			spans[n].forward = a.forward
		}
	}
}

func (k *checker) exceptions() {
	for i, e := range k.cfg.Exceptions {
		for _, p := range []netip.Prefix{e.From, e.To} {
			if !p.IsValid() || p.Addr().Is4In6() || p != p.Masked() {
				k.add(KindException, i, "except", "%v is no network; write it like 10.8.0.0/16", p)
			}
		}
		switch {
		case e.From.IsValid() && e.To.IsValid() && e.From.Addr().Is4() != e.To.Addr().Is4():
			k.add(KindException, i, "except", "%v is of another family than %v", e.To, e.From)
		case e.To.IsValid() && e.To.Bits() == 0:
			k.add(KindException, i, "except", "every destination there is; remove the mapping")
		}
		if why := badInterface(e.Out); why != "" {
			k.add(KindException, i, "out", "%s", why)
		}
	}
}

// links come from the routers' addresses; the program names them, not an operator.
func (k *checker) links() {
	for _, p := range k.cfg.Links {
		if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() || p.Bits() == 0 {
			k.problems = append(k.problems, Problem{Kind: KindGroup, Key: "links", Mapping: linkLine(p), Reason: "is no network"})
		}
	}
}

// notHeld says why no group can hold a, of either family.
func notHeld(a netip.Addr) string {
	switch local := a.Is6() && a.IsLinkLocalUnicast(); {
	case !a.Is6() || a.Is4In6():
		return notUnicast(a)
	case local != (a.Zone() != ""):
		return "needs its interface as the zone if it is link-local, and else has none"
	case a.IsUnspecified() || a.IsMulticast() || a.IsLoopback():
		return "cannot be held by a gateway; want a unicast address"
	}
	return ""
}

func notUnicast(a netip.Addr) string {
	switch {
	case !a.IsValid():
		return "is missing"
	case a.Is4In6() || a.Zone() != "" || a.Is6() && a.IsLinkLocalUnicast():
		return "is no address that is translated; write it as IPv4, or name a global one"
	case a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "cannot be held by a gateway; want a unicast address"
	}
	return ""
}

// badInterface applies the kernel's rules for a name (15 bytes, no slash, no space).
func badInterface(name string) string {
	switch {
	case name == "":
		return "missing; name the outside interface"
	case len(name) > 15:
		return fmt.Sprintf("%q is longer than the 15 bytes an interface name can have", name)
	case name == "." || name == ".." || strings.ContainsAny(name, "/: \t\n\x00"):
		return fmt.Sprintf("%q cannot be an interface name", name)
	}
	return ""
}
