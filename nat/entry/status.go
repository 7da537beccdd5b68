package entry

import "understudy/health"

// ServerState is a server as it is now.
type ServerState struct {
	Server
	State       health.State
	Drained     bool
	Full        bool // it has as many connections as it may
	Unreachable bool // it is called by its MAC, and nobody answers for that
	Share       int  // of the slots, in thousandths: what part of the new flows it gets
	Connections int  // when they were last counted
	Spare       bool
}

// States are the servers by number, the spare server last.
func (s *Set) States() []ServerState {
	slots := make([]int, len(s.servers)+1)
	for _, n := range s.table.Slots {
		slots[n]++
	}
	share := func(i int) int {
		if len(s.table.Slots) == 0 {
			return 0
		}
		return (1000*slots[i] + len(s.table.Slots)/2) / len(s.table.Slots)
	}
	out := make([]ServerState, 0, len(slots))
	for i, v := range s.servers {
		c := s.cfg.Servers[i]
		c.Weight = s.weight(i)
		out = append(out, ServerState{Server: c, State: v.state, Drained: v.drained, Full: v.full, Unreachable: v.unreachable,
			Share: share(i), Connections: v.connections})
	}
	if s.cfg.Spare.IsValid() {
		out = append(out, ServerState{Server: Server{Address: s.cfg.Spare, Weight: 1}, Share: share(len(s.servers)), Spare: true})
	}
	return out
}

// There tells whether the server with that number counts as alive.
func (s *Set) There(i int) bool { return s.there(i) }

// Quorate tells whether there are enough servers.
func (s *Set) Quorate() bool { return s.quorum }

// Active tells whether the entry point's group is Active here, as last told.
func (s *Set) Active() bool { return s.active }
