package replica

import (
	"maps"
	"net/netip"
	"time"

	"understudy/nat/session"
)

// Standing is a connection that outlives its server, and how it stands.
type Standing struct {
	session.Key
	Server netip.AddrPort // that it is assigned to
	session.Stand
	// Old: it is from before another node's turn. Whatever that has told is better.
	Old bool
}

// SetStands tells peers how connections stand, those of groups that are Active here. One that is
// not known, or is assigned to another server by now, is left out.
func (e *Engine) SetStands(all []Standing) {
	now := time.Now()
	for len(all) > 0 {
		n := min(len(all), standsAtOnce)
		e.setStands(now, all[:n])
		all = all[n:]
	}
}

// standsAtOnce is how many are set while others wait.
const standsAtOnce = 256

func (e *Engine) setStands(now time.Time, some []Standing) {
	e.mu.Lock()
	defer e.mu.Unlock()
	active := e.groups.Active()
	var r session.Record
	for i := range some {
		s, ok := e.table.Lookup(&some[i].Key)
		if !ok || !active.Has(e.table.Group(s)) {
			continue
		}
		if e.table.Record(s, &r); serverOf(&r) != some[i].Server {
			continue
		}
		if some[i].Old && e.table.Stand(s).Mode != 0 {
			continue
		}
		if e.table.SetStand(s, some[i].Stand) && !e.table.Young(s) {
			e.table.Mark(s, e.peerSinks()&^session.Sink(session.SinkDisk), now)
		}
	}
	e.kickSenders()
}

// Stands returns the connections of a group that outlive their servers.
func (e *Engine) Stands(group string) (out []Standing) {
	e.mu.Lock()
	defer e.mu.Unlock()
	g := e.groups.Index(group)
	var r session.Record
	e.table.EachStanding(func(s session.Slot, st session.Stand) {
		if e.table.Group(s) == g {
			e.table.Record(s, &r)
			out = append(out, Standing{Key: r.Key, Server: serverOf(&r), Stand: st})
		}
	})
	return out
}

// Standing counts connections that outlive their servers, by what a takeover would do with them.
func (e *Engine) Standing() map[session.StandClass]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.table.Standing())
}

func serverOf(r *session.Record) netip.AddrPort {
	return netip.AddrPortFrom(r.ReplySrc.Netip(r.Family), r.ReplySrcPort)
}
