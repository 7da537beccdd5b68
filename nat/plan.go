package nat

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"strings"
)

// Plan is a valid configuration in canonical form: lists sorted, defaults
// filled in. Two plans that ask the same of a kernel have the same [Plan.String].
// Its slices are shared and must not be changed.
type Plan struct {
	Sources    []Source
	Statics    []Static
	Forwards   []Forward
	Exceptions []Exception
	Links      []netip.Prefix // disjoint
	Gates      []Gate
	Blocks     []Block
	Devices    []DeviceGate // among them a [BlockGate] for each group that has blocks
	Refused    []netip.Addr
	Sessions   bool
	Events     *Events
	Mirror     *Mirror
}

// Gate is an address that is shut while its group is not Active here.
type Gate struct {
	Address netip.Addr
	Group   string
}

// New makes the plan for c. The error joins every [Problem] that [Check] finds.
func New(c Config) (Plan, error) {
	if problems := Check(c); len(problems) > 0 {
		errs := make([]error, len(problems))
		for i, p := range problems {
			errs[i] = p
		}
		return Plan{}, errors.Join(errs...)
	}
	p := Plan{
		Sources: slices.Clone(c.Sources), Statics: slices.Clone(c.Statics), Forwards: slices.Clone(c.Forwards),
		Exceptions: needed(c.Exceptions), Links: outermost(c.Links),
		Sessions: c.Sessions, Events: c.Events.canonical(), Mirror: c.Mirror.canonical(),
	}
	for i := range p.Sources {
		s := &p.Sources[i]
		s.Ports, s.Pool = c.Sources[i].ports(), c.Sources[i].pool()
		if len(s.Also) > 0 { // sorted, To the first: a host gets the same one, however the file has them
			all := s.Addresses()
			slices.SortFunc(all, netip.Addr.Compare)
			s.To, s.Also = all[0], all[1:]
		}
	}
	p.Devices, p.Refused = slices.Clone(c.Devices), slices.Clone(c.Refused)
	for _, g := range c.Groups {
		for _, a := range g.Addresses {
			p.Gates = append(p.Gates, Gate{a, g.Name})
		}
		for _, b := range g.Blocks {
			p.Blocks = append(p.Blocks, Block{b, g.Name})
		}
		if len(g.Blocks) > 0 {
			p.Devices = append(p.Devices, DeviceGate{BlockGate(g.Name), g.Name})
		}
	}
	slices.SortFunc(p.Blocks, compareBlock)
	p.Blocks = slices.Compact(p.Blocks)
	slices.SortFunc(p.Sources, compareSource)
	slices.SortFunc(p.Statics, compareStatic)
	slices.SortFunc(p.Forwards, compareForward)
	slices.SortFunc(p.Gates, compareGate)
	slices.SortFunc(p.Devices, compareDevice)
	slices.SortFunc(p.Refused, netip.Addr.Compare)
	return p, nil
}

// Guard tells whether the plan has a leak guard: only where something is mapped.
func (p Plan) Guard() bool { return len(p.Sources)+len(p.Statics)+len(p.Forwards) > 0 }

// Hairpins tells whether a host can call at a mapped address one of its own network.
func (p Plan) Hairpins() bool { return len(p.Links) > 0 && len(p.Statics)+len(p.Forwards) > 0 }

// Group returns the addresses that move with the named group, sorted: those
// whose gates open and close together.
func (p Plan) Group(name string) []netip.Addr {
	var out []netip.Addr
	for _, g := range p.Gates {
		if g.Group == name {
			out = append(out, g.Address)
		}
	}
	return out
}

// GroupDevices returns the devices that are behind the same gate, and the [BlockGate] of
// its blocks.
func (p Plan) GroupDevices(name string) []string {
	var out []string
	for _, d := range p.Devices {
		if d.Group == name {
			out = append(out, d.Device)
		}
	}
	return out
}

// String is the plan as text, a line an entry, in a fixed order: for golden
// files, logs and comparison.
func (p Plan) String() string {
	var b strings.Builder
	for _, s := range p.Sources {
		b.WriteString(s.line() + "\n")
	}
	for _, t := range p.Statics {
		b.WriteString(t.line() + "\n")
	}
	for _, f := range p.Forwards {
		b.WriteString(f.line() + "\n")
	}
	for _, e := range p.Exceptions {
		b.WriteString(e.String() + "\n")
	}
	for _, l := range p.Links {
		b.WriteString(linkLine(l) + "\n")
	}
	for _, g := range p.Gates {
		b.WriteString(g.line() + "\n")
	}
	for _, k := range p.Blocks {
		b.WriteString(k.line() + "\n")
	}
	for _, d := range p.Devices {
		b.WriteString(d.line() + "\n")
	}
	for _, a := range p.Refused {
		b.WriteString(refusedLine(a) + "\n")
	}
	b.WriteString(p.modes())
	return b.String()
}

func (s Source) line() string {
	line := s.String() + " to " + s.To.String()
	for _, a := range s.Also {
		line += "," + a.String()
	}
	line += ":" + s.ports().String()
	if s.Keeps {
		line += " kept"
	}
	if s.ports() != s.pool() {
		line += " of " + s.pool().String()
	}
	return line
}

// pool is what flows of s have, ports what new ones get of it.
func (s Source) pool() Ports  { return cmp.Or(s.Pool, s.Ports, DefaultPorts()) }
func (s Source) ports() Ports { return cmp.Or(s.Ports, s.pool()) }

func (f Forward) line() string { return f.String() + " to " + f.To.String() + upTo(f.ToLast) }

func linkLine(p netip.Prefix) string { return "link " + p.String() }

func (g Gate) line() string { return "gate " + g.Address.String() + " group " + g.Group }

func (d DeviceGate) line() string     { return "gate device " + d.Device + " group " + d.Group }
func refusedLine(a netip.Addr) string { return "refuse " + a.String() }

func (p Plan) modes() string {
	onOff := map[bool]string{true: "on", false: "off"}
	return "guard " + onOff[p.Guard()] + "\nsessions " + onOff[p.Sessions] + "\n" + p.Events.lines() + p.Mirror.line()
}

// Pool is a part of the ports that translated flows can come back to.
type Pool struct {
	Address netip.Addr
	Ports   Ports
}

// Pools returns the union of the sources' pools per address, sorted, as ranges
// that neither overlap nor touch.
func (p Plan) Pools() []Pool {
	all := make([]Pool, 0, len(p.Sources))
	for _, s := range p.Sources {
		for _, a := range s.Addresses() {
			all = append(all, Pool{a, s.pool()})
		}
	}
	slices.SortFunc(all, func(a, b Pool) int {
		return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Ports.First, b.Ports.First))
	})
	var out []Pool
	for _, q := range all {
		if n := len(out); n > 0 && out[n-1].Address == q.Address && int(q.Ports.First) <= int(out[n-1].Ports.Last)+1 {
			out[n-1].Ports.Last = max(out[n-1].Ports.Last, q.Ports.Last)
			continue
		}
		out = append(out, q)
	}
	return out
}

func compareSource(a, b Source) int {
	return cmp.Or(
		cmp.Compare(a.Out, b.Out), a.From.Addr().Compare(b.From.Addr()), cmp.Compare(a.From.Bits(), b.From.Bits()),
		a.To.Compare(b.To), cmp.Compare(a.Ports.First, b.Ports.First), cmp.Compare(a.Ports.Last, b.Ports.Last),
		cmp.Compare(a.Pool.First, b.Pool.First), cmp.Compare(a.Pool.Last, b.Pool.Last), compareBool(a.Keeps, b.Keeps),
		slices.CompareFunc(a.Also, b.Also, netip.Addr.Compare))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func compareForward(a, b Forward) int {
	return cmp.Or(
		a.Address.Compare(b.Address), cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.Port, b.Port),
		a.To.Compare(b.To), cmp.Compare(a.Last, b.Last), cmp.Compare(a.ToLast, b.ToLast))
}

func compareException(a, b Exception) int {
	return cmp.Or(cmp.Compare(a.Out, b.Out), comparePrefix(a.From, b.From), comparePrefix(a.To, b.To))
}

// needed is the exceptions that no other one makes needless, sorted.
func needed(all []Exception) (out []Exception) {
	all = slices.Clone(all)
	slices.SortFunc(all, compareException)
	all = slices.Compact(all)
	within := func(p, q netip.Prefix) bool { return q.Bits() <= p.Bits() && q.Overlaps(p) }
	for i, e := range all {
		covered := slices.ContainsFunc(all, func(o Exception) bool {
			return o != all[i] && o.Out == e.Out && within(e.From, o.From) && within(e.To, o.To)
		})
		if !covered {
			out = append(out, e)
		}
	}
	return out
}

// outermost is the networks that are in no other one, sorted.
func outermost(all []netip.Prefix) (out []netip.Prefix) {
	all = slices.Clone(all)
	slices.SortFunc(all, comparePrefix)
	for _, p := range all {
		if n := len(out); n == 0 || !out[n-1].Overlaps(p) {
			out = append(out, p)
		}
	}
	return out
}

func compareGate(a, b Gate) int {
	return cmp.Or(cmp.Compare(a.Group, b.Group), a.Address.Compare(b.Address))
}

func compareDevice(a, b DeviceGate) int {
	return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Device, b.Device))
}
