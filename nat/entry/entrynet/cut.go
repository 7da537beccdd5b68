package entrynet

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"understudy/nat"
	"understudy/nat/conntrack"
	"understudy/nat/entry"
	"understudy/nat/session"
)

// Server is a server of an entry point: the number of either, in the list of points that
// goes with it.
type Server struct{ Point, Number int }

// Flow is a connection of TCP, or an association of SCTP, from its client to an entry point.
type Flow struct {
	Proto      nat.Proto
	Client, To netip.AddrPort
	Tag        uint32 // SCTP: the client's verification tag
}

// Outcome is what became of flows.
type Outcome struct {
	Deleted int // flows that the kernel has forgotten
	Woken   int // clients that were sent a segment, or an ABORT
}

// Cut ends the flows of servers that have died: the kernel forgets them, and the clients
// of TCP connections are woken, those of SCTP associations told. Before that, mark is called
// with these connections, so that whatever a client of TCP says is answered with a reset; if
// it fails, nothing is done.
//
// Datagrams of a flow that was forgotten are steered anew, as are segments that open a
// connection.
func (f *Flows) Cut(points []entry.Point, dead []Server, mark func([]Flow) error) (out Outcome, err error) {
	found, err := f.Assigned(points, dead)
	if err != nil {
		return out, err
	}
	records := make([]session.Record, 0, len(found))
	for _, a := range found {
		records = append(records, a.Record)
	}
	return f.End(records, mark)
}

// End ends flows, as Cut does.
func (f *Flows) End(records []session.Record, mark func([]Flow) error) (out Outcome, err error) {
	keys, flows := make([]session.Key, 0, len(records)), make([]Flow, 0, len(records))
	for i := range records {
		r := &records[i]
		k := r.Key
		keys = append(keys, k)
		client, to, _ := ends(r)
		switch nat.Proto(k.Proto) {
		case nat.TCP:
			if r.TCP.State >= session.TCPSynRecv && r.TCP.State <= session.TCPLastAck {
				flows = append(flows, Flow{Proto: nat.TCP, Client: client, To: to})
			}
		case nat.SCTP:
			if r.SCTP.State > session.SCTPClosed && r.SCTP.VTagReply != 0 {
				flows = append(flows, Flow{Proto: nat.SCTP, Client: client, To: to, Tag: r.SCTP.VTagReply})
			}
		}
	}
	if len(flows) > 0 {
		if err := mark(flows); err != nil {
			return out, err
		}
	}
	results := make([]error, len(keys))
	if err := f.kernel.Delete(keys, results); err != nil {
		return out, fmt.Errorf("entrynet: flows of a server: %w", err)
	}
	for _, err := range results {
		if err == nil {
			out.Deleted++
		}
	}
	out.Woken, err = f.waker.wake(flows)
	return out, err
}

// Assigned is a flow, and the server that it was assigned to.
type Assigned struct {
	Server Server
	Record session.Record
}

// Assigned returns the flows of servers. Of a table that changes meanwhile it may miss some.
func (f *Flows) Assigned(points []entry.Point, servers []Server) (map[session.Key]Assigned, error) {
	x := newIndex(points)
	found := map[session.Key]Assigned{}
	take := func(r *session.Record) {
		if at, ok := x.find(r); ok && slices.Contains(servers, at) {
			found[r.Key] = Assigned{at, *r}
		}
	}
	if err := f.translated(filterOf(points, servers), take); err != nil && !errors.Is(err, conntrack.ErrDumpInterrupted) {
		return nil, fmt.Errorf("entrynet: flows of a server: %w", err)
	}
	return found, nil
}

// filterOf has the kernel look for the flows of a single server.
func filterOf(points []entry.Point, dead []Server) (f conntrack.Filter) {
	for i, s := range dead {
		a := points[s.Point].Servers[s.Number].Addr()
		if i > 0 && a != f.ReplySrc {
			return conntrack.Filter{}
		}
		f.Family, f.ReplySrc = 4, a
		if a.Is6() {
			f.Family = 6
		}
	}
	return f
}

// Wake sends the clients of flows another segment: the first may have been lost.
func (f *Flows) Wake(flows []Flow) (int, error) { return f.waker.wake(flows) }
