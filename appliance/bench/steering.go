package bench

import (
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net/netip"
	"time"

	"understudy/health"
	"understudy/nat"
	"understudy/nat/entry"
)

// SteeringOptions sets [RunSteering] up. The zero value steers 100,000 flows to ten
// servers.
type SteeringOptions struct {
	Flows   int    // each of a client of its own; 0: 100,000
	Servers int    // 0: 10
	Seed    uint64 // of the clients' addresses; 0: 1

	Progress io.Writer // nil: nobody
}

func (o SteeringOptions) withDefaults() SteeringOptions {
	if o.Flows <= 0 {
		o.Flows = 100_000
	}
	if o.Servers <= 1 {
		o.Servers = 10
	}
	o.Servers = min(o.Servers, entry.MaxServers)
	if o.Seed == 0 {
		o.Seed = 1
	}
	return o
}

// SteeringReport is what [RunSteering] found. Its JSON form is a contract: keys may be
// added, never removed.
type SteeringReport struct {
	Machine Machine       `json:"machine"`
	Flows   int           `json:"flows"`
	Servers int           `json:"servers"`
	Seed    uint64        `json:"seed"`
	Rows    []SteeringRow `json:"rows"`
}

// SteeringRow is one way to steer. Shares are in percent.
type SteeringRow struct {
	Steer string `json:"steer"`
	Slots int    `json:"slots"`
	// Least and Most are the flows of the servers that got fewest and most, of what
	// each should get.
	Least float64 `json:"least_percent"`
	Most  float64 `json:"most_percent"`
	// Gone and Came are the clients that have another server when one goes, and when it
	// is back; on average over all servers. Needed are those that have to move.
	Gone   Summary `json:"moved_gone_percent"`
	Needed float64 `json:"needed_percent"`
	// Elements are those of the kernel's maps that change when one goes.
	Elements Summary `json:"elements_changed"`
}

// RunSteering computes where flows go, with the tables that the gateway gives its kernel
// and the hash that the kernel computes.
func RunSteering(_ context.Context, o SteeringOptions) (*SteeringReport, error) {
	o = o.withDefaults()
	out := &SteeringReport{Machine: thisMachine(time.Now()), Flows: o.Flows, Servers: o.Servers, Seed: o.Seed}
	r := rand.New(rand.NewPCG(o.Seed, o.Seed))
	clients := make([]netip.Addr, o.Flows)
	for i := range clients {
		clients[i] = netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, r.Uint32())))
	}
	for _, steer := range entry.Steers() {
		out.Rows = append(out.Rows, steeringRow(steer, o.Servers, clients))
	}
	out.Machine.LoadAfter = load()
	return out, nil
}

// entryOf is an entry point with n equal servers, each with a check of its own.
func entryOf(steer entry.Steer, n int) entry.Config {
	c := entry.Config{Name: "web", Steer: steer, OnFailure: entry.Reset,
		Match: entry.Match{Address: netip.MustParseAddr("203.0.113.10"), Proto: nat.TCP, Ports: nat.Ports{First: 443, Last: 443}}}
	for i := range n {
		a := netip.AddrFrom4([4]byte{10, 0, 0, byte(20 + i)})
		c.Servers = append(c.Servers, entry.Server{Address: netip.AddrPortFrom(a, 443), Check: a.String(), Weight: 1})
	}
	return c
}

// homes are the servers of the clients, whose flows come in this order.
func homes(t entry.Table, clients []netip.Addr) []uint8 {
	out := make([]uint8, len(clients))
	for i, c := range clients {
		slot := i % len(t.Slots)
		if t.ByClient {
			slot = entry.SlotOf(c, len(t.Slots))
		}
		out[i] = t.Slots[slot]
	}
	return out
}

func steeringRow(steer entry.Steer, servers int, clients []netip.Addr) SteeringRow {
	now := time.Unix(0, 0)
	set := entry.New(now, entryOf(steer, servers))
	before := homes(set.Table(), clients)
	count := make([]int, servers)
	for _, n := range before {
		count[n]++
	}
	row := SteeringRow{Steer: string(steer), Slots: len(set.Table().Slots), Needed: round(100 / float64(servers))}
	share := float64(len(clients)) / float64(servers)
	row.Least = 100
	for _, n := range count {
		percent := round(100 * float64(n) / share)
		row.Least, row.Most = min(row.Least, percent), max(row.Most, percent)
	}
	var gone, elements []float64
	for i := range servers {
		without := set.Clone()
		without.Step(now, entry.Input{Kind: entry.InHealth, Check: set.Config().Servers[i].Check, State: health.Down})
		after := homes(without.Table(), clients)
		moved := 0
		for j := range after {
			if after[j] != before[j] {
				moved++
			}
		}
		gone = append(gone, round(100*float64(moved)/float64(len(clients))))
		elements = append(elements, float64(1+differ(set.Table().Slots, without.Table().Slots)))
	}
	row.Gone, row.Elements = summarize(gone), summarize(elements)
	return row
}

// differ counts the elements of a map of slots that go, come, or change.
func differ(a, b []uint8) (n int) {
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			n++
		}
	}
	return n
}
