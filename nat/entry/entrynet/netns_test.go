package entrynet_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
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
	"understudy/nat/nft"
)

// network is
//
//	client 192.0.2.9, 2001:db8:9::9 ── wan [gateway] lan ── servers 10.0.0.21 and .22, 2001:db8:1::21 and ::22
//	               192.0.2.1, 2001:db8:9::1   10.0.0.1, 2001:db8:1::1
type network struct {
	t                        *testing.T
	client, gateway, servers *lab.Node
	table                    *nft.Entries
	flows                    *entrynet.Flows
}

func newNetwork(t *testing.T) *network {
	l := lab.NewT(t)
	wan, lan := l.Segment("wan"), l.Segment("lan")
	n := &network{t: t, client: l.Node("client"), gateway: l.Node("gateway"), servers: l.Node("servers")}
	l.Join(n.client, wan, "eth0", "192.0.2.9/24", "2001:db8:9::9/64")
	l.Join(n.gateway, wan, "wan0", "192.0.2.1/24", "2001:db8:9::1/64")
	l.Join(n.gateway, lan, "lan0", "10.0.0.1/24", "2001:db8:1::1/64")
	l.Join(n.servers, lan, "eth0", "10.0.0.21/24", "10.0.0.22/24", "2001:db8:1::21/64", "2001:db8:1::22/64")
	n.must(n.gateway.Sysctl("ipv4/ip_forward", "1"))
	n.must(n.gateway.Sysctl("ipv6/conf/all/forwarding", "1"))
	n.must(n.servers.Route("default", "10.0.0.1"))
	n.must(n.servers.Route("::/0", "2001:db8:1::1"))
	n.must(n.gateway.Do(func() (err error) {
		if n.table, err = nft.OpenEntries(nft.Config{}); err != nil {
			return err
		}
		n.flows, err = entrynet.Open(nil)
		return err
	}))
	t.Cleanup(func() { n.must(errors.Join(n.table.Close(), n.flows.Close())) })
	n.must(n.table.SetUnknown(nft.UnknownDrop))
	return n
}

func (n *network) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

const patience = 30 * time.Second

// silent connections say nothing by themselves. One that is begun is not given up: the gateway would
// know of a flow that nobody has.
var silent = net.Dialer{Timeout: patience, KeepAlive: -1}

// points are an entry point of TCP and one of UDP, each with two servers in turn.
func points(six bool) (out []entry.Point) {
	address, hosts := "192.0.2.1", []string{"10.0.0.21", "10.0.0.22"}
	if six {
		address, hosts = "2001:db8:9::1", []string{"2001:db8:1::21", "2001:db8:1::22"}
	}
	for _, proto := range []nat.Proto{nat.TCP, nat.UDP} {
		c := entry.Config{Name: proto.String(), Steer: entry.RoundRobin, OnFailure: entry.Reset,
			Match: entry.Match{Address: netip.MustParseAddr(address), Proto: proto, Ports: nat.Ports{First: 443, Last: 443}}}
		for _, h := range hosts {
			c.Servers = append(c.Servers, entry.Server{Address: netip.AddrPortFrom(netip.MustParseAddr(h), 8443), Weight: 1})
		}
		out = append(out, entry.New(time.Now(), c).Point())
	}
	return out
}

// serve has the servers accept connections, and say which of them it is.
func (n *network) serve(list []netip.AddrPort) {
	n.t.Helper()
	for i, a := range list {
		var l net.Listener
		for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) { // a fresh address takes a moment
			err := n.servers.Do(func() (err error) { l, err = net.Listen("tcp", a.String()); return err })
			if err == nil {
				break
			}
			if time.Now().After(end) {
				n.t.Fatal(err)
			}
		}
		n.t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				n.t.Cleanup(func() { c.Close() })
				_, _ = c.Write([]byte{byte(i)})
			}
		}()
	}
}

// call connects and is greeted.
func (n *network) call(to netip.AddrPort) (net.Conn, int) {
	n.t.Helper()
	var c net.Conn
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		err := n.client.Do(func() (err error) { c, err = silent.Dial("tcp", to.String()); return err })
		if err == nil {
			break
		}
		if time.Now().After(end) {
			n.t.Fatal(err)
		}
	}
	n.t.Cleanup(func() { c.Close() })
	n.must(c.SetDeadline(time.Now().Add(2 * patience)))
	b := make([]byte, 1)
	_, err := io.ReadFull(c, b)
	n.must(err)
	return c, int(b[0])
}

// A server dies: its clients are told, though they say nothing and though nothing is
// resumed; those of the other server, and datagrams, are left alone.
func TestCut(t *testing.T) {
	for _, six := range []bool{false, true} {
		t.Run(fmt.Sprintf("six %v", six), func(t *testing.T) {
			n := newNetwork(t)
			list := points(six)
			_, err := n.table.Apply(list)
			n.must(err)
			tcp := list[0]
			n.serve(tcp.Servers)
			to := netip.AddrPortFrom(tcp.Match.Address, 443)
			conns := map[int][]net.Conn{}
			for range 80 {
				c, server := n.call(to)
				conns[server] = append(conns[server], c)
			}
			counts, err := n.flows.Count(list)
			n.must(err)
			if got := counts[0]; len(conns[0]) != 40 || !slices.Equal(got, []int{40, 40}) || !slices.Equal(counts[1], []int{0, 0}) {
				t.Errorf("counted %v of %d and %d connections", counts, len(conns[0]), len(conns[1]))
			}
			clients, err := n.flows.Clients(list)
			n.must(err)
			if len(clients[0]) != 1 || clients[0][0].Server != 0 || len(clients[1]) != 0 {
				t.Errorf("clients are %v; want one, at the first of two servers that have as many of its flows", clients)
			}

			ended := make(chan error)
			for _, c := range conns[0] {
				go func() {
					_, err := c.Read(make([]byte, 1))
					ended <- err
				}()
			}
			var marked []entrynet.Flow
			out, err := n.flows.Cut(list, []entrynet.Server{{Point: 0, Number: 0}}, func(flows []entrynet.Flow) error {
				marked = slices.Clone(flows)
				return n.table.Cut(cutFlows(flows))
			})
			n.must(err)
			// An attempt to connect that came too early may have left a flow that nobody has.
			if out.Deleted < 40 || out.Woken != 40 || len(marked) != 40 {
				t.Errorf("%+v, marked %d; want 40 of each", out, len(marked))
			}
			for left := len(conns[0]); left > 0; {
				select {
				case err := <-ended:
					if left--; !errors.Is(err, unix.ECONNRESET) {
						t.Errorf("a silent client: %v, want a reset", err)
					}
				case <-time.After(time.Second): // what wakes one may be lost: so the daemon does it again
					_, err := n.flows.Wake(marked)
					n.must(err)
				}
			}
			// What woke them was not tracked: else the answers would be of a known flow.
			all, err := n.gateway.Conntrack()
			n.must(err)
			for _, f := range all {
				if from, _ := netip.AddrFromSlice(f.Forward.SrcIP); from.Unmap() == to.Addr() {
					t.Errorf("a flow has begun at the entry point: %v", f)
				}
			}
			for _, c := range conns[1] {
				n.must(c.SetReadDeadline(time.Now().Add(5 * time.Millisecond)))
				if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) && !isTimeout(err) {
					t.Errorf("a client of the other server: %v", err)
				}
			}
			if counts, err := n.flows.Count(list); err != nil || !slices.Equal(counts[0], []int{0, 40}) {
				t.Errorf("counted afterwards %v (%v)", counts, err)
			}
			// What does not succeed changes nothing.
			no := errors.New("no")
			if out, err := n.flows.Cut(list, []entrynet.Server{{Point: 0, Number: 1}}, func([]entrynet.Flow) error { return no }); !errors.Is(err, no) || out.Deleted > 0 {
				t.Errorf("%+v, %v; want nothing done", out, err)
			}
		})
	}
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

func cutFlows(flows []entrynet.Flow) (out []nft.CutFlow) {
	for _, f := range flows {
		out = append(out, nft.CutFlow{Client: f.Client, To: f.To, Proto: uint8(f.Proto)})
	}
	return out
}

// Datagrams of one flow go to one server, until that dies; then to the other.
func TestCutDatagrams(t *testing.T) {
	n := newNetwork(t)
	list := points(false)
	_, err := n.table.Apply(list)
	n.must(err)
	type arrival struct {
		server int
		what   string
	}
	arrived := make(chan arrival, 64)
	for i, a := range list[1].Servers {
		var c net.PacketConn
		n.must(n.servers.Do(func() (err error) { c, err = net.ListenPacket("udp", a.String()); return err }))
		t.Cleanup(func() { c.Close() })
		go func() {
			b := make([]byte, 16)
			for {
				size, from, err := c.ReadFrom(b)
				if err != nil {
					return
				}
				_, _ = c.WriteTo(b[:size], from)
				arrived <- arrival{i, string(b[:size])}
			}
		}()
	}
	var c net.Conn
	n.must(n.client.Do(func() (err error) { c, err = net.Dial("udp", "192.0.2.1:443"); return err }))
	defer c.Close()
	sent := 0
	send := func() int { // a datagram that nobody has sent before, and its echo
		for end := time.Now().Add(patience); time.Now().Before(end); {
			sent++
			what := fmt.Sprint(sent)
			_, _ = c.Write([]byte(what))
			b := make([]byte, 16)
			n.must(c.SetReadDeadline(time.Now().Add(time.Second)))
			for size, err := c.Read(b); err == nil; size, err = c.Read(b) {
				for string(b[:size]) == what {
					if a := <-arrived; a.what == what {
						return a.server
					}
				}
			}
		}
		t.Fatal("nothing arrives")
		return 0
	}
	first := send()
	for range 4 {
		if got := send(); got != first {
			t.Errorf("a datagram of the flow goes to server %d, the first went to %d", got, first)
		}
	}
	dead := list[1]
	dead.Table.Slots, dead.Table.Live = []uint8{uint8(1 - first)}, []bool{first != 0, first != 1}
	n.must(n.table.Steer(dead))
	if got := send(); got != first {
		t.Errorf("before its flow is cut it goes to server %d", got)
	}
	out, err := n.flows.Cut(list, []entrynet.Server{{Point: 1, Number: first}}, func([]entrynet.Flow) error { t.Error("datagrams are marked"); return nil })
	n.must(err)
	if out != (entrynet.Outcome{Deleted: 1}) {
		t.Errorf("%+v", out)
	}
	if got := send(); got == first {
		t.Errorf("server %d has died, and gets datagrams", got)
	}
}

// Whose MAC is known, whose is not, and who has none to know.
func TestNeighbours(t *testing.T) {
	n := newNetwork(t)
	var look *entrynet.Neighbours
	n.must(n.gateway.Do(func() (err error) { look, err = entrynet.OpenNeighbours(); return err }))
	t.Cleanup(func() { n.must(look.Close()) })
	n.must(n.gateway.Route("198.51.100.0/24", "192.0.2.9"))
	want := map[netip.Addr]entrynet.Reach{}
	for a, r := range map[string]entrynet.Reach{"10.0.0.21": entrynet.Reached, "2001:db8:1::22": entrynet.Reached, "10.0.0.99": entrynet.Silent,
		"2001:db8:1::99": entrynet.Silent, "198.51.100.7": entrynet.Beyond, "100.64.0.1": entrynet.Beyond, "10.0.0.1": entrynet.Beyond} {
		want[netip.MustParseAddr(a)] = r
	}
	seen := map[netip.Addr]entrynet.Reach{}
	for end := time.Now().Add(2 * patience); !maps.Equal(seen, want); time.Sleep(10 * time.Millisecond) {
		got, err := look.Look(slices.Collect(maps.Keys(want)))
		n.must(err)
		for a, r := range got {
			if r != entrynet.Asked { // who does not answer is asked again and again
				seen[a] = r
			}
		}
		if time.Now().After(end) {
			t.Fatalf("%v, want %v", seen, want)
		}
	}
}
