package vrrp

import (
	"net/netip"
	"time"
)

// routerFacts and groupFacts count and remember; the election never reads them.
type routerFacts struct {
	sent, received                    uint64
	intervalMismatch, addressMismatch uint64
	drops                             [numReasons]uint64
	heard                             [2]bool // checksum forms, by ChecksumForm
	transitions                       uint64
	became, released                  uint64 // Active
	zeroSent, zeroReceived            uint64 // adverts of priority 0
	inferior                          uint64 // adverts heard while Active that do not outrank it
	at                                time.Time
	cause                             string
}

type groupFacts struct {
	transitions uint64
	at          time.Time
	cause       string
}

func (r *router) note(now time.Time, out Output, cause string) {
	r.facts.transitions++
	switch {
	case out.To == Active:
		r.facts.became++
	case out.From == Active:
		r.facts.released++
	}
	r.facts.at, r.facts.cause = now, cause
}

// Status is a copy of everything worth showing.
type Status struct {
	Node    string
	Routers []RouterStatus
	Groups  []GroupStatus
}

// RouterStatus is one virtual router. Times are zero where nothing happened.
type RouterStatus struct {
	Name, Interface, Group string
	VRID, Version, Family  uint8
	State                  State
	Reason                 string        // why it is in this state
	Priority               uint8         // as configured
	Effective              uint8         // as advertised: with the group's weight
	Interval, Learned      time.Duration // ours, and the Active's as last heard
	Addresses              []netip.Addr
	Source                 netip.Addr // what we send from
	Active                 netip.Addr // who is Active, as far as known: ourselves or the last one heard
	ActivePriority         uint8
	Ready                  bool // Backup, and only waiting for the rest of its group
	Form                   ChecksumForm
	HeardRFC9568           bool // an advert with this form of checksum came in
	HeardRFC5798           bool
	Rivals                 []RivalStatus // other routers of this VRID heard lately
	Findings               []Finding     // what an operator should look at
	Sent, Received         uint64
	ZeroSent, ZeroReceived uint64 // of these, with priority 0
	Became, Released       uint64 // Active
	IntervalMismatch       uint64 // adverts accepted though their interval is not ours
	AddressMismatch        uint64 // adverts accepted though their list is not ours
	Drops                  map[string]uint64
	Transitions            uint64
	LastTransition         time.Time
}

// GroupStatus is one group.
type GroupStatus struct {
	Name           string
	Members        []string
	State          State
	Leaving        bool
	Term           uint64 // of the last activation here
	HighestTerm    uint64
	Reason         string
	Ineligible     string        // why it does not preempt; "" if it may
	Weight         int           // added to the priority of every member
	Held           bool          // its takeover is put off: a peer says by heartbeat that it is Active
	HeldFor        time.Duration // so far, since an advert was last heard
	Transitions    uint64
	LastTransition time.Time
}

// Snapshot copies the status. It allocates; call it for people, not in the loop.
func (s *Set) Snapshot(now time.Time) Status {
	st := Status{Node: s.cfg.Node, Routers: []RouterStatus{}, Groups: []GroupStatus{}}
	for _, r := range s.routers {
		st.Routers = append(st.Routers, r.status(now))
	}
	for _, g := range s.groups {
		st.Groups = append(st.Groups, g.status(now))
	}
	return st
}

func (r *router) status(now time.Time) RouterStatus {
	f := &r.facts
	st := RouterStatus{
		Name: r.cfg.Name, Interface: r.cfg.Interface, Group: r.group.name,
		VRID: r.cfg.VRID, Version: r.cfg.Version, Family: r.cfg.Family,
		State: r.m.State(), Reason: f.cause, Priority: r.cfg.Priority, Effective: r.m.cfg.Priority,
		Interval: r.cfg.Interval, Learned: r.m.Learned(),
		Addresses: append([]netip.Addr{}, r.cfg.Addresses...), Source: r.m.cfg.Source,
		Ready: r.m.Ready(), Form: r.form, HeardRFC9568: f.heard[FormMessage], HeardRFC5798: f.heard[FormPseudo],
		Sent: f.sent, Received: f.received, IntervalMismatch: f.intervalMismatch, AddressMismatch: f.addressMismatch,
		Drops: make(map[string]uint64), Transitions: f.transitions, LastTransition: f.at,
		ZeroSent: f.zeroSent, ZeroReceived: f.zeroReceived, Became: f.became, Released: f.released,
		Rivals: r.known(now), Findings: r.findings(now),
	}
	for reason, n := range f.drops {
		if Reason(reason) != ReasonNone {
			st.Drops[Reason(reason).String()] = n
		}
	}
	if r.m.state == Backup && now.Before(r.m.floor) {
		st.Reason += ", waits for link " + r.cfg.Interface + " to settle"
	}
	if r.group.state == Fault {
		st.State, st.Reason = Fault, r.group.facts.cause
	}
	switch alive := r.m.cfg.down(r.m.Learned()); {
	case r.m.State() == Active:
		st.Active, st.ActivePriority = r.m.cfg.Source, r.m.cfg.Priority
	case r.rival.priority != 0 && now.Sub(r.rival.heard) <= alive:
		st.Active, st.ActivePriority = r.rival.src, r.rival.priority
	}
	return st
}

func (g *group) status(now time.Time) GroupStatus {
	st := GroupStatus{Name: g.name, Members: []string{}, State: g.state, Leaving: !g.leaveUntil.IsZero(),
		Term: g.term, HighestTerm: g.highest, Reason: g.facts.cause, Ineligible: g.ineligible, Weight: g.weight,
		Transitions: g.facts.transitions, LastTransition: g.facts.at}
	h := g.wait
	h.end(now)
	st.Held, st.HeldFor = !g.wait.since.IsZero(), h.before
	for _, r := range g.members {
		st.Members = append(st.Members, r.cfg.Name)
	}
	if st.Ineligible == "" && g.handedOver {
		st.Ineligible = "handed-over"
	}
	return st
}
