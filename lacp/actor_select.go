package lacp

// Selected says whether a port belongs to its aggregator (802.1AX-2008, 5.4.8).
type Selected uint8

// The values.
const (
	Unselected   Selected = iota
	SelectedPort          // SELECTED
	StandbyPort           // STANDBY: it would belong to it, and is not to be used
)

var selectedNames = [...]string{"unselected", "selected", "standby"}

// String is one lower-case word.
func (s Selected) String() string {
	if int(s) < len(selectedNames) {
		return selectedNames[s]
	}
	return "unknown"
}

// MarshalText makes a Selected its word in JSON.
func (s Selected) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// group identifies a link aggregation group (5.3.6). An individual link is one of
// its own.
type group struct {
	partner         MAC
	partnerPriority uint16
	partnerKey, key uint16
	individual      int // 1 + index of the port
}

func (a *Actor) group(i int) group {
	p := &a.ports[i]
	g := group{partner: p.partner.System, partnerPriority: p.partner.SystemPriority, partnerKey: p.partner.Key, key: p.actor.Key}
	if !p.actor.State.Has(Aggregation) || !p.partner.State.Has(Aggregation) || p.partner.System == (MAC{}) {
		g.individual = i + 1
	}
	return g
}

// selectPorts is the Selection Logic (5.4.14). It reports whether anything changed.
func (a *Actor) selectPorts() (changed bool) {
	for i := range a.ports {
		p := &a.ports[i]
		switch r := p.receiver.state; {
		case !p.speaks(), r == PartnerDefaulted && !a.cfg.Fallback:
			changed = changed || p.selected != Unselected
			p.selected = Unselected
		case p.selected == Unselected && p.mux == Detached && (r == PartnerCurrent || r == PartnerDefaulted):
			p.agg, p.selected, changed = a.aggregatorFor(i), SelectedPort, true
		}
	}
	a.choose()
	for j := range a.ports {
		changed = a.limit(j) || changed
	}
	return changed
}

// aggregatorFor finds the one of the port's group, else a free one: its own if that
// is free.
func (a *Actor) aggregatorFor(i int) int {
	g := a.group(i)
	free := -1
	for j := range a.ports {
		first, taken := a.occupant(j)
		switch {
		case first >= 0 && a.group(first) == g:
			return j
		case !taken && (free < 0 || j == i):
			free = j
		}
	}
	return free // there are as many as ports, and this port is in none
}

// occupant is the first port that has selected an aggregator, -1 if none has. One
// that is about to leave it takes it, too.
func (a *Actor) occupant(j int) (first int, taken bool) {
	first = -1
	for i := range a.ports {
		switch p := &a.ports[i]; {
		case p.agg != j:
		case p.selected != Unselected:
			return i, true
		case p.mux != Detached:
			taken = true
		}
	}
	return first, taken
}

// choose keeps the aggregator that is used while it has ports, and then takes the
// one that has most.
func (a *Actor) choose() {
	if !a.cfg.Single || a.chosen >= 0 && a.size(a.chosen) > 0 {
		return
	}
	a.chosen = -1
	for j := range a.ports {
		if n := a.size(j); n > 0 && (a.chosen < 0 || n > a.size(a.chosen)) {
			a.chosen = j
		}
	}
}

func (a *Actor) size(j int) (n int) {
	for i := range a.ports {
		if p := &a.ports[i]; p.agg == j && p.selected != Unselected {
			n++
		}
	}
	return n
}

// limit lets as many ports of an aggregator be used as may be, the first ones by
// priority and number.
func (a *Actor) limit(j int) (changed bool) {
	for i := range a.ports {
		p := &a.ports[i]
		if p.agg != j || p.selected == Unselected {
			continue
		}
		before := 0
		for k := range a.ports {
			q := &a.ports[k]
			if k != i && q.agg == j && q.selected != Unselected && q.before(p) {
				before++
			}
		}
		want := SelectedPort
		if a.cfg.MaxLinks > 0 && before >= a.cfg.MaxLinks || a.cfg.Single && j != a.chosen {
			want = StandbyPort
		}
		changed = changed || p.selected != want
		p.selected = want
	}
	return changed
}

func (p *port) before(q *port) bool {
	if p.actor.PortPriority != q.actor.PortPriority {
		return p.actor.PortPriority < q.actor.PortPriority
	}
	return p.actor.Port < q.actor.Port
}
