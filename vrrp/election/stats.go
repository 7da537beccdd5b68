package election

import (
	"time"

	"understudy/vrrp"
	"understudy/vrrp/witness"
)

// Stats is everything worth showing of an election.
type Stats struct {
	Status vrrp.Status // what was dropped by the parser is in its routers' drops, what was for none of them in each on that port
	Ports  []PortStats
	Fence  FenceStats
	Daemon DaemonStats
	// Version is of the election's program; after an upgrade the daemon's is newer.
	Version string

	Turns       uint64   // of the loop
	Late        Lateness // of its timers
	Realtime    string   // why it is not in the real-time class; "": it is
	Undelivered uint64   // messages to the daemon that found a full socket
	Guard       witness.Status
	Dogs        []DogStats
	Watch       uint64 // times that link notices were lost and asked for again
}

// PortStats is one interface and family.
type PortStats struct {
	Interface  string
	Family     uint8
	Index      int // 0: closed
	Up         bool
	Primary    string            // the address adverts come from
	Drops      map[string]uint64 // of no router of ours
	Estimated  uint64            // drops, of routers and of none, that were not looked at: taken to be like those that were
	Lost       uint64            // received by the kernel, but not by us
	SendErrors uint64
	Reopened   uint64
}

// DaemonStats is the daemon as its parent sees it.
type DaemonStats struct {
	PID      int // 0: none
	Ready    bool
	Restarts uint64
	Killed   uint64 // by the watchdog
	LastExit string `json:",omitempty"`
}

// drops counts refused packets by vrrp.Reason.
type drops [32]uint64

func (d *drops) count(r vrrp.Reason, times uint64) {
	if int(r) < len(d) {
		d[r] += times
	}
}

func (d *drops) into(m map[string]uint64) {
	for _, r := range vrrp.Reasons() {
		m[r.String()] += d[r]
	}
}

func (l *loop) snapshot(now time.Time) Stats {
	for _, p := range l.ports {
		l.sample(p)
	}
	s := Stats{Version: l.opt.Version, Status: l.set.Snapshot(now), Fence: l.fences.stats, Daemon: l.daemonStats, Ports: []PortStats{},
		Turns: l.turns, Late: l.late, Undelivered: l.undelivered, Watch: l.watcher.Lost(),
		Guard: l.guard.Snapshot(now), Dogs: l.kennel.stats()}
	for i := range s.Status.Routers {
		// What came in for no router at all has no other place to be seen.
		l.routes[i].port.drops.into(s.Status.Routers[i].Drops)
	}
	if l.realtime != nil {
		s.Realtime = l.realtime.Error()
	}
	if d := l.daemon; d != nil {
		s.Daemon.PID, s.Daemon.Ready = d.pid, d.ready
	}
	for _, p := range l.ports {
		st := PortStats{Interface: p.name, Family: p.family, Up: p.link.Up, Drops: map[string]uint64{},
			SendErrors: p.sendErrors, Reopened: p.reopened, Lost: p.lost, Estimated: p.estimated}
		if p.port != nil {
			st.Index = p.port.Index
			st.Lost += p.port.Lost()
		}
		if a := p.primary(); a.IsValid() {
			st.Primary = a.String()
		}
		p.drops.into(st.Drops)
		s.Ports = append(s.Ports, st)
	}
	return s
}
