package metrics

import (
	"maps"
	"slices"

	"understudy/appliance"
)

// families are all metrics, in the order of the documentation.
var families = slices.Concat(nodeFamilies, routerFamilies, groupFamilies, electionFamilies, sessionFamilies, natFamilies, checkFamilies, bondFamilies, mailFamilies)

var (
	routerStates = []string{"initialize", "backup", "active", "fault"}
	upDown       = []string{"unknown", "up", "down"}
	bondStates   = []string{"ok", "degraded", "failed", "unknown"}
	ladder       = []string{"calm", "sparing", "gap", "polling"}
	journaling   = []string{"off", "idle", "writing", "failing"}
)

var nodeFamilies = []family{
	{name: "understudy_info", help: "1; its labels say which node this is, and the version of its daemon and of its election.", labels: []string{"node", "version", "election_version"},
		each: func(s *appliance.Status, emit emit) { emit(1, s.Node, s.Version, s.Election.Version) }},
	{name: "understudy_uptime_seconds", help: "How long the daemon has been running.",
		each: func(s *appliance.Status, emit emit) { emit(s.UptimeSeconds) }},
	{name: "understudy_reload_refused", help: "1 after a reload that was refused: the node runs on with the configuration from before.",
		each: func(s *appliance.Status, emit emit) { emit(number(s.ReloadError != "")) }},
	{name: "understudy_alarm", help: "1 for each alarm that is up.", labels: []string{"alarm"},
		each: func(s *appliance.Status, emit emit) {
			for _, a := range s.Alarms {
				emit(1, a.Name)
			}
		}},
}

// router is a family with a sample for each virtual router.
func router(name, help string, counter bool, v func(r *appliance.RouterStatus) float64) family {
	return family{name: name, help: help, counter: counter, labels: []string{"router", "family"}, each: func(s *appliance.Status, emit emit) {
		for i := range s.Routers {
			r := &s.Routers[i]
			emit(v(r), r.Name, r.Family)
		}
	}}
}

var routerFamilies = []family{
	{name: "understudy_router_state", help: "1 for the state that the virtual router is in.", labels: []string{"router", "family", "state"},
		each: func(s *appliance.Status, emit emit) {
			for _, r := range s.Routers {
				states(emit, r.State, routerStates, r.Name, r.Family)
			}
		}},
	router("understudy_router_priority", "The priority of the file.", false, func(r *appliance.RouterStatus) float64 { return float64(r.Priority) }),
	router("understudy_router_effective_priority", "The priority that it is advertised with: what is tracked is counted in.", false, func(r *appliance.RouterStatus) float64 { return float64(r.EffectivePriority) }),
	router("understudy_router_advert_interval_seconds", "The interval of its adverts.", false, func(r *appliance.RouterStatus) float64 { return r.AdvertIntervalSeconds }),
	router("understudy_router_transitions_total", "Changes of its state.", true, func(r *appliance.RouterStatus) float64 { return float64(r.Transitions) }),
	router("understudy_router_adverts_sent_total", "Adverts sent.", true, func(r *appliance.RouterStatus) float64 { return float64(r.Adverts.Sent) }),
	router("understudy_router_adverts_received_total", "Adverts received and accepted.", true, func(r *appliance.RouterStatus) float64 { return float64(r.Adverts.Received) }),
	router("understudy_router_adverts_lost_total", "Packets on the router's interface that found no room in the socket.", true, func(r *appliance.RouterStatus) float64 { return float64(r.Adverts.Lost) }),
	{name: "understudy_router_drops_total", help: "Packets on the router's interface that were refused, by reason.", counter: true, labels: []string{"router", "family", "reason"},
		each: func(s *appliance.Status, emit emit) {
			for _, r := range s.Routers {
				counts(emit, r.Drops, r.Name, r.Family)
			}
		}},
	router("understudy_router_rivals", "Other routers of this VRID that were heard in the last day.", false, func(r *appliance.RouterStatus) float64 { return float64(len(r.Rivals)) }),
	{name: "understudy_router_last_transition_timestamp_seconds", help: "When its state last changed. Missing before the first change.", labels: []string{"router", "family"},
		each: func(s *appliance.Status, emit emit) {
			for _, r := range s.Routers {
				if r.LastTransition != nil {
					emit(float64(r.LastTransition.UnixMilli())/1e3, r.Name, r.Family)
				}
			}
		}},
}

var groupFamilies = []family{
	{name: "understudy_group_state", help: "1 for the state that the group is in.", labels: []string{"group", "state"},
		each: func(s *appliance.Status, emit emit) {
			for _, g := range s.Groups {
				states(emit, g.State, routerStates, g.Name)
			}
		}},
	{name: "understudy_group_term", help: "The term of the group: one more with each change of its owner.", labels: []string{"group"},
		each: func(s *appliance.Status, emit emit) {
			for _, g := range s.Groups {
				emit(float64(g.Term), g.Name)
			}
		}},
	{name: "understudy_group_restored_total", help: "What of the group's identity others removed and was put back.", counter: true, labels: []string{"group"},
		each: func(s *appliance.Status, emit emit) {
			for _, g := range s.Groups {
				emit(float64(g.Restored), g.Name)
			}
		}},
	{name: "understudy_group_notify_failures_total", help: "Runs of notify programs that failed.", counter: true, labels: []string{"group"},
		each: func(s *appliance.Status, emit emit) {
			for _, g := range s.Groups {
				n := uint64(0)
				for _, p := range g.Notify {
					n += p.Failures
				}
				emit(float64(n), g.Name)
			}
		}},
}

var electionFamilies = []family{
	{name: "understudy_election_realtime", help: "1 if the election is in the real-time class.",
		each: func(s *appliance.Status, emit emit) { emit(number(s.Election.Realtime)) }},
	{name: "understudy_election_lateness_max_seconds", help: "How late a timer of the election was handled at worst.",
		each: func(s *appliance.Status, emit emit) { emit(s.Election.Lateness.MaxSeconds) }},
}

// plane is a family about the session plane, absent without [sessions].
func plane(name, help string, counter bool, v func(p *appliance.SessionsStatus) float64) family {
	return family{name: name, help: help, counter: counter, each: func(s *appliance.Status, emit emit) {
		if s.Sessions != nil {
			emit(v(s.Sessions))
		}
	}}
}

var sessionFamilies = []family{
	plane("understudy_sessions_local", "Sessions of groups that are active here.", false, func(p *appliance.SessionsStatus) float64 { return float64(p.Local) }),
	plane("understudy_sessions_foreign", "Sessions held for a peer.", false, func(p *appliance.SessionsStatus) float64 { return float64(p.Foreign) }),
	plane("understudy_sessions_in_sync", "1 if this node has all sessions that anybody has.", false, func(p *appliance.SessionsStatus) float64 { return number(p.InSync) }),
	plane("understudy_sessions_dirty", "Sessions that a peer does not have yet as they are.", false, func(p *appliance.SessionsStatus) float64 { return float64(p.Dirty) }),
	plane("understudy_sessions_offloaded", "Flows in flowtables: no peer learns of them.", false, func(p *appliance.SessionsStatus) float64 { return float64(p.Offloaded) }),
	{name: "understudy_sessions_lag_seconds", help: "The age of the oldest change that a peer has not applied: what a crash now would lose. Missing without a peer.", labels: []string{"peer"},
		each: func(s *appliance.Status, emit emit) {
			if s.Sessions != nil {
				for _, p := range s.Sessions.Peers {
					if p.LagSeconds != nil {
						emit(*p.LagSeconds, p.Name)
					}
				}
			}
		}},
	{name: "understudy_sessions_peer_connected", help: "1 while the peer is connected.", labels: []string{"peer"},
		each: func(s *appliance.Status, emit emit) {
			if s.Sessions != nil {
				for _, p := range s.Sessions.Peers {
					emit(number(p.Connected), p.Name)
				}
			}
		}},
	{name: "understudy_sessions_overload", help: "1 for the step of the overload ladder that the node is on.", labels: []string{"step"},
		each: func(s *appliance.Status, emit emit) {
			if s.Sessions != nil {
				states(emit, s.Sessions.Overload.Step, ladder)
			}
		}},
	plane("understudy_sessions_event_buffer_fill_ratio", "How full the buffer of the kernel's events is, 0 to 1.", false, func(p *appliance.SessionsStatus) float64 { return p.Overload.BufferFill }),
	{name: "understudy_sessions_total", help: "What the session plane has done, by the names of its counters in status.", counter: true, labels: []string{"what"},
		each: func(s *appliance.Status, emit emit) {
			if s.Sessions != nil {
				counts(emit, s.Sessions.Counters)
			}
		}},
	{name: "understudy_sessions_journal", help: "1 for the state of the journal on this node's disk.", labels: []string{"state"},
		each: func(s *appliance.Status, emit emit) {
			if s.Sessions != nil && s.Sessions.Journal != nil {
				states(emit, s.Sessions.Journal.State, journaling)
			}
		}},
	{name: "understudy_sessions_journal_bytes", help: "What the journal takes on the disk.",
		each: func(s *appliance.Status, emit emit) {
			if s.Sessions != nil && s.Sessions.Journal != nil {
				emit(float64(s.Sessions.Journal.Bytes))
			}
		}},
}

// shadowed calls f where connections are replayed all along.
func shadowed(s *appliance.Status, f func(*appliance.ShadowStatus)) {
	if s.NAT.Log != nil && s.NAT.Log.Shadows != nil {
		f(s.NAT.Log.Shadows)
	}
}

// logged calls f where connections are logged.
func logged(s *appliance.Status, f func(*appliance.LogStatus)) {
	if s.NAT.Log != nil {
		f(s.NAT.Log)
	}
}

var natFamilies = []family{
	{name: "understudy_nat_mappings", help: "Mappings of the file, by kind.", labels: []string{"kind"},
		each: func(s *appliance.Status, emit emit) {
			emit(float64(s.NAT.Static), "static")
			emit(float64(s.NAT.Source), "source")
			emit(float64(s.NAT.Forwards), "forward")
		}},
	{name: "understudy_nat_drops_total", help: "Packets refused by the gate and the leak guard, by name.", counter: true, labels: []string{"reason"},
		each: func(s *appliance.Status, emit emit) { counts(emit, s.NAT.Drops) }},
	{name: "understudy_entry_server_up", help: "1 if the server of the entry point is up.", labels: []string{"entry", "server"},
		each: func(s *appliance.Status, emit emit) {
			for _, e := range s.NAT.Entries {
				for _, v := range e.Servers {
					emit(number(v.State == "up"), e.Name, v.Address)
				}
			}
		}},
	{name: "understudy_entry_moves_total", help: "Connections of servers that died: moved to another server, or why not.", counter: true, labels: []string{"entry", "outcome"},
		each: func(s *appliance.Status, emit emit) {
			for _, e := range s.NAT.Entries {
				if e.OnFailure == "move" {
					emit(float64(e.Moved), e.Name, "moved")
				}
				for reason, n := range e.NotMoved {
					emit(float64(n), e.Name, reason)
				}
			}
		}},
	{name: "understudy_entry_takeover_connections", help: "Connections of which gateways have told each other how they stand: known, those that a takeover could move, or why not.", labels: []string{"entry", "outcome"},
		each: func(s *appliance.Status, emit emit) {
			for _, e := range s.NAT.Entries {
				if e.Takeover == nil {
					continue
				}
				emit(float64(e.Takeover.Known), e.Name, "known")
				for reason, n := range e.Takeover.Lost {
					emit(float64(n), e.Name, reason)
				}
			}
		}},
	{name: "understudy_move_log_connections", help: "Connections that are logged to be replayed.",
		each: func(s *appliance.Status, emit emit) {
			logged(s, func(l *appliance.LogStatus) { emit(float64(l.Connections)) })
		}},
	{name: "understudy_move_log_memory_bytes", help: "Memory of that log.",
		each: func(s *appliance.Status, emit emit) {
			logged(s, func(l *appliance.LogStatus) { emit(float64(l.MemoryBytes)) })
		}},
	{name: "understudy_move_log_bytes_total", help: "Bytes of clients that were logged.", counter: true,
		each: func(s *appliance.Status, emit emit) {
			logged(s, func(l *appliance.LogStatus) { emit(float64(l.Bytes)) })
		}},
	{name: "understudy_move_log_packets_total", help: "Packets on their way to the log: taken, or lost because it was behind.", counter: true, labels: []string{"outcome"},
		each: func(s *appliance.Status, emit emit) {
			logged(s, func(l *appliance.LogStatus) { emit(float64(l.Packets), "taken"); emit(float64(l.Lost), "lost") })
		}},
	{name: "understudy_move_log_refused_total", help: "Connections that cannot be replayed, and why.", counter: true, labels: []string{"reason"},
		each: func(s *appliance.Status, emit emit) {
			logged(s, func(l *appliance.LogStatus) { counts(emit, l.Refused) })
		}},
	{name: "understudy_move_log_left_total", help: "Segments that are not logged, and why.", counter: true, labels: []string{"reason"},
		each: func(s *appliance.Status, emit emit) { logged(s, func(l *appliance.LogStatus) { counts(emit, l.Left) }) }},
	{name: "understudy_shadows", help: "Connections that are replayed all along at another server.",
		each: func(s *appliance.Status, emit emit) {
			shadowed(s, func(h *appliance.ShadowStatus) { emit(float64(h.Connections)) })
		}},
	{name: "understudy_shadows_begun_total", help: "How often that was begun.", counter: true,
		each: func(s *appliance.Status, emit emit) {
			shadowed(s, func(h *appliance.ShadowStatus) { emit(float64(h.Begun)) })
		}},
	{name: "understudy_shadows_dropped_total", help: "How often that ended before the connection, and why.", counter: true, labels: []string{"reason"},
		each: func(s *appliance.Status, emit emit) {
			shadowed(s, func(h *appliance.ShadowStatus) { counts(emit, h.Dropped) })
		}},
	{name: "understudy_shadows_without", help: "Connections that were to be replayed all along and are not, and why.", labels: []string{"reason"},
		each: func(s *appliance.Status, emit emit) {
			shadowed(s, func(h *appliance.ShadowStatus) {
				for _, why := range slices.Sorted(maps.Keys(h.Without)) {
					emit(float64(h.Without[why]), why)
				}
			})
		}},
	{name: "understudy_entry_replayed_bytes_total", help: "Bytes of clients that were said again to another server.", counter: true, labels: []string{"entry"},
		each: func(s *appliance.Status, emit emit) {
			moving(s, func(e *appliance.EntryStatus) { emit(float64(e.ReplayedBytes), e.Name) })
		}},
	{name: "understudy_entry_longest_move_seconds", help: "How long a connection that was moved stood still, at most.", labels: []string{"entry"},
		each: func(s *appliance.Status, emit emit) {
			moving(s, func(e *appliance.EntryStatus) { emit(e.LongestMove, e.Name) })
		}},
	{name: "understudy_entry_server_weight", help: "The weight that it has now.", labels: []string{"entry", "server"},
		each: func(s *appliance.Status, emit emit) {
			for _, e := range s.NAT.Entries {
				for _, v := range e.Servers {
					emit(float64(v.Weight), e.Name, v.Address)
				}
			}
		}},
}

// moving calls f with entry points whose connections go on at other servers.
func moving(s *appliance.Status, f func(*appliance.EntryStatus)) {
	for i := range s.NAT.Entries {
		if e := &s.NAT.Entries[i]; e.OnFailure == "move" {
			f(e)
		}
	}
}

var checkFamilies = []family{
	{name: "understudy_check_state", help: "1 for the state that the check is in.", labels: []string{"check", "kind", "state"},
		each: func(s *appliance.Status, emit emit) {
			for _, c := range s.Checks {
				states(emit, c.State, upDown, c.Name, c.Kind)
			}
		}},
}

var bondFamilies = []family{
	{name: "understudy_bond_state", help: "1 for the state that the link aggregate is in.", labels: []string{"bond", "state"},
		each: func(s *appliance.Status, emit emit) {
			for _, b := range s.Bonds {
				states(emit, b.State, bondStates, b.Name)
			}
		}},
	{name: "understudy_bond_findings", help: "What is wrong with the link aggregate, by severity.", labels: []string{"bond", "severity"},
		each: func(s *appliance.Status, emit emit) {
			for _, b := range s.Bonds {
				n := map[string]float64{"info": 0, "warning": 0, "critical": 0}
				for _, f := range b.Findings {
					n[f.Severity]++
				}
				for severity, v := range n {
					emit(v, b.Name, severity)
				}
			}
		}},
	{name: "understudy_bond_member_frames_total", help: "Frames of link aggregation on a member; each is counted once.", counter: true,
		labels: []string{"bond", "member", "kind"},
		each: func(s *appliance.Status, emit emit) {
			for _, b := range s.Bonds {
				for _, m := range b.Members {
					for kind, n := range map[string]uint64{"received": m.Received, "sent": m.Sent, "marker": m.Markers, "looped": m.Looped, "refused": m.Refused, "lost": m.Lost} {
						emit(float64(n), b.Name, m.Interface, kind)
					}
				}
			}
		}},
}
