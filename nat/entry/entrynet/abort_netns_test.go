package entrynet_test

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
	"understudy/nat"
	"understudy/nat/entry"
	"understudy/nat/entry/entrynet"
)

// sctpEnd is an end of associations, of packets made by hand: not every kernel has SCTP.
type sctpEnd struct {
	n    *network
	conn net.PacketConn
}

func (n *network) sctp(node *lab.Node, at netip.Addr) sctpEnd {
	n.t.Helper()
	network := "ip4:132"
	if at.Is6() {
		network = "ip6:132"
	}
	e := sctpEnd{n: n}
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) { // a fresh address takes a moment
		err := node.Do(func() (err error) { e.conn, err = net.ListenPacket(network, at.String()); return err })
		if err == nil {
			break
		}
		if time.Now().After(end) {
			n.t.Fatal(err)
		}
	}
	n.t.Cleanup(func() { e.conn.Close() })
	return e
}

// chunk is an SCTP packet with one of them (RFC 9260 section 3).
type chunk struct {
	sport, dport uint16
	tag          uint32
	kind         byte
	body         []byte
}

func (e sctpEnd) send(to netip.Addr, c chunk) {
	e.n.t.Helper()
	b := binary.BigEndian.AppendUint16(nil, c.sport)
	b = binary.BigEndian.AppendUint16(b, c.dport)
	b = binary.BigEndian.AppendUint32(b, c.tag)
	b = append(b, 0, 0, 0, 0, c.kind, 0, 0, byte(4+len(c.body)))
	b = append(b, c.body...)
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	_, err := e.conn.WriteTo(b, &net.IPAddr{IP: to.AsSlice()})
	e.n.must(err)
}

// hear returns the next packet, and from whom; what was sent in vain is sent again by again.
func (e sctpEnd) hear(again func()) (netip.Addr, chunk) {
	e.n.t.Helper()
	b := make([]byte, 2048)
	for end := time.Now().Add(2 * patience); time.Now().Before(end); {
		again()
		e.n.must(e.conn.SetReadDeadline(time.Now().Add(time.Second)))
		size, from, err := e.conn.ReadFrom(b)
		if err != nil {
			continue
		}
		b := b[:size]
		sum := binary.LittleEndian.Uint32(b[8:])
		clear(b[8:12])
		if got := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)); got != sum {
			e.n.t.Fatalf("checksum %#x of % x", sum, b)
		}
		a, _ := netip.AddrFromSlice(from.(*net.IPAddr).IP)
		return a.Unmap(), chunk{binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[4:]), b[12], slices.Clone(b[16:])}
	}
	e.n.t.Fatal("nothing is heard")
	return netip.Addr{}, chunk{}
}

// A server of SCTP dies: its clients are sent an ABORT that they have to believe, and what
// sends it leaves no trace, so that they can associate anew from the same port.
func TestCutAborts(t *testing.T) {
	const mine, its = 0x11223344, 0x55667788
	for _, six := range []bool{false, true} {
		t.Run(fmt.Sprintf("six %v", six), func(t *testing.T) {
			n := newNetwork(t)
			point := points(six)[0]
			point.Name, point.Match.Proto = "sctp", nat.SCTP
			for i, a := range point.Servers {
				point.Servers[i] = netip.AddrPortFrom(a.Addr(), 0)
			}
			point.Table.Slots = []uint8{0}
			list := []entry.Point{point}
			_, err := n.table.Apply(list)
			n.must(err)
			at, client := point.Match.Address, netip.MustParseAddr(map[bool]string{false: "192.0.2.9", true: "2001:db8:9::9"}[six])
			c, s, other := n.sctp(n.client, client), n.sctp(n.servers, point.Servers[0].Addr()), n.sctp(n.servers, point.Servers[1].Addr())
			initial := func(tag uint32) []byte {
				return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, tag), 1500), 1), 1)
			}
			once := func(f func()) func() {
				done := false
				return func() {
					if !done {
						done = true
						f()
					}
				}
			}
			const init, initACK, abort, cookie, cookieACK = 1, 2, 6, 10, 11
			if _, got := s.hear(func() { c.send(at, chunk{4000, 443, 0, init, append(initial(mine), 0, 0, 0, 1)}) }); got.kind != init {
				t.Fatalf("the server hears %+v", got)
			}
			c.hear(once(func() { s.send(client, chunk{443, 4000, mine, initACK, append(initial(its), 0, 0, 0, 1)}) }))
			for _, got := s.hear(once(func() { c.send(at, chunk{4000, 443, its, cookie, nil}) })); got.kind != cookie; {
				_, got = s.hear(func() {})
			}
			c.hear(once(func() { s.send(client, chunk{443, 4000, mine, cookieACK, nil}) }))
			all, err := n.gateway.Conntrack()
			n.must(err)

			point.Table.Slots, point.Table.Live = []uint8{1}, []bool{false, true}
			n.must(n.table.Steer(point))
			marked := 0
			out, err := n.flows.Cut(list, []entrynet.Server{{Point: 0, Number: 0}}, func(flows []entrynet.Flow) error {
				marked = len(flows)
				return n.table.Cut(cutFlows(flows))
			})
			n.must(err)
			if out != (entrynet.Outcome{Deleted: 1, Woken: 1}) || marked != 1 {
				t.Errorf("%+v, marked %d, of %v", out, marked, all)
			}
			from, got := c.hear(func() {})
			if from != at || got.kind != abort || got.tag != mine || got.sport != 443 || got.dport != 4000 || len(got.body) != 0 {
				t.Errorf("the client hears %+v from %v, want an ABORT with its tag from %v", got, from, at)
			}
			left, err := n.gateway.Conntrack()
			n.must(err)
			for _, f := range left {
				if f.Forward.Protocol == unix.IPPROTO_SCTP {
					t.Errorf("left: %v", f)
				}
			}
			if _, got := other.hear(func() { c.send(at, chunk{4000, 443, 0, init, append(initial(mine+1), 0, 0, 0, 1)}) }); got.kind != init {
				t.Errorf("the other server hears %+v", got)
			}
		})
	}
}
