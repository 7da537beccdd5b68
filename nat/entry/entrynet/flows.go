package entrynet

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"understudy/nat"
	"understudy/nat/conntrack"
	"understudy/nat/entry"
	"understudy/nat/session"
)

// Flows is the kernel's table of connections, and a way to speak in the name of entry
// points, in the network namespace of the thread that opened it.
type Flows struct {
	kernel *conntrack.Kernel
	waker  waker
}

// Open opens it. dumping is as in [conntrack.Kernel].
func Open(dumping func(on bool)) (*Flows, error) {
	k, err := conntrack.OpenKernel()
	if err != nil {
		return nil, err
	}
	k.Dumping = dumping
	w, err := openWaker()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("entrynet: %w", err), k.Close())
	}
	return &Flows{kernel: k, waker: w}, nil
}

// Close closes it. Flows stay.
func (f *Flows) Close() error { return errors.Join(f.kernel.Close(), f.waker.close()) }

// tries bounds how often the table is read while it changes under the reader.
const tries = 3

// translated calls fn for each flow whose destination is translated. Of a table that
// changes meanwhile it may see a flow twice, or not.
func (f *Flows) translated(filter conntrack.Filter, fn func(*session.Record)) (err error) {
	filter.Status, filter.StatusMask = session.StatusDstNAT, session.StatusDstNAT
	for range tries {
		err = f.kernel.Dump(filter, func(ev *conntrack.Event) {
			if ev.Rec.Status&session.StatusDstNAT != 0 { // a kernel before 5.15 has not looked
				fn(&ev.Rec)
			}
		})
		if !errors.Is(err, conntrack.ErrDumpInterrupted) {
			break
		}
	}
	return err
}

// ends are a flow's client, whom it called, and the server that answers.
func ends(r *session.Record) (client, to, server netip.AddrPort) {
	return netip.AddrPortFrom(r.Src.Netip(r.Family), r.SrcPort), netip.AddrPortFrom(r.Dst.Netip(r.Family), r.DstPort),
		netip.AddrPortFrom(r.ReplySrc.Netip(r.Family), r.ReplySrcPort)
}

// index finds out whose a flow is.
type index struct {
	points  []entry.Point
	servers map[netip.AddrPort][]Server // port 0: whatever was called
}

func newIndex(points []entry.Point) index {
	x := index{points: points, servers: map[netip.AddrPort][]Server{}}
	for i, p := range points {
		for n, a := range p.Servers {
			x.servers[a] = append(x.servers[a], Server{i, n})
		}
	}
	return x
}

// find returns the entry point of a flow, and the number of its server. A flow that came
// by a mark is told by its server alone, if it called no entry point's address.
func (x index) find(r *session.Record) (Server, bool) {
	_, to, server := ends(r)
	best, found := Server{}, false
	for _, key := range [...]netip.AddrPort{server, netip.AddrPortFrom(server.Addr(), 0)} {
		if key.Port() == 0 && server.Port() != to.Port() {
			continue // it has not kept the port
		}
		for _, at := range x.servers[key] {
			switch m := x.points[at.Point].Match; {
			case m.Takes(nat.Proto(r.Proto), to):
				return at, true
			case !m.Address.IsValid() && !found:
				best, found = at, true
			}
		}
	}
	return best, found
}

// Count returns for each entry point how many connections its servers have, by number.
// Those that are at their end do not count.
func (f *Flows) Count(points []entry.Point) ([][]int, error) {
	x := newIndex(points)
	out := make([][]int, len(points))
	for i, p := range points {
		out[i] = make([]int, len(p.Servers))
	}
	err := f.translated(conntrack.Filter{}, func(r *session.Record) {
		if at, ok := x.find(r); ok && lasting(r) {
			out[at.Point][at.Number]++
		}
	})
	return out, err
}

// lasting tells whether a connection is being set up, or in use.
func lasting(r *session.Record) bool {
	return r.Proto != uint8(nat.TCP) || r.TCP.State < session.TCPFinWait
}

// Client is where a client goes: to a server of an entry point.
type Client struct {
	Address netip.Addr
	Server  int // its number
}

// Clients returns for each entry point where its clients are, by their flows: each where
// most of its flows are.
func (f *Flows) Clients(points []entry.Point) ([][]Client, error) {
	x := newIndex(points)
	flows := make([]map[Client]int, len(points))
	for i := range flows {
		flows[i] = map[Client]int{}
	}
	err := f.translated(conntrack.Filter{}, func(r *session.Record) {
		if at, ok := x.find(r); ok && lasting(r) {
			client, _, _ := ends(r)
			flows[at.Point][Client{client.Addr(), at.Number}]++
		}
	})
	out := make([][]Client, len(points))
	for i := range out {
		out[i] = mostly(flows[i])
	}
	return out, err
}

// mostly keeps of each client the server that has most of its flows.
func mostly(flows map[Client]int) []Client {
	best := map[netip.Addr]Client{}
	for c, n := range flows {
		was, ok := best[c.Address]
		if m := flows[was]; !ok || n > m || n == m && c.Server < was.Server {
			best[c.Address] = c
		}
	}
	return slices.SortedFunc(maps.Values(best), func(a, b Client) int { return a.Address.Compare(b.Address) })
}
