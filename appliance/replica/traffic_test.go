package replica_test

import (
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"understudy/appliance/lab"
	"understudy/appliance/lab/probe"
	"understudy/nat/session"
)

// TestRealTraffic replicates what a kernel makes of real packets: a client
// behind a, translated to the group's address.
//
//	client 10.0.0.9 ── lan ── a ── wan ── server 203.0.113.9
//	                          │
//	                          └─ sync ── b
func TestRealTraffic(t *testing.T) {
	w := running(t)
	l := lab.NewT(t)
	lan, wan := l.Segment("lan"), l.Segment("wan")
	client, server := l.Node("client"), l.Node("server")
	l.Join(client, lan, "lan0", "10.0.0.9/24")
	l.Join(server, wan, "wan0", "203.0.113.9/24")
	l.Join(w.a.node, lan, "lan0", "10.0.0.1/24")
	l.Join(w.a.node, wan, "wan0", vip.String()+"/24")
	must(t, client.Route("0.0.0.0/0", "10.0.0.1"))
	must(t, w.a.node.Sysctl("ipv4/ip_forward", "1"))
	translate(t, w.a.node, "wan0")

	tcp, udp := echo(t, server)
	dial := func(network, addr string) (c net.Conn) {
		must(t, client.Do(func() (err error) { c, err = net.Dial(network, addr); return err }))
		t.Cleanup(func() { c.Close() })
		return c
	}
	say := func(c net.Conn, words string) {
		t.Helper()
		_, err := c.Write([]byte(words))
		must(t, err)
		buf := make([]byte, len(words))
		_, err = io.ReadFull(c, buf)
		must(t, err)
	}
	long, short, ask, mute := dial("tcp", tcp), dial("tcp", tcp), dial("udp", udp), dial("udp", "203.0.113.9:9")
	for _, c := range []net.Conn{long, short, ask} {
		say(c, "hello")
	}
	mute.Write([]byte("anyone?")) // nobody answers: not worth a standby's while
	var want []session.Record
	for _, c := range []net.Conn{long, short, ask} {
		local := c.LocalAddr().(interface{ AddrPort() netip.AddrPort }).AddrPort()
		for k, r := range w.a.table() {
			if k.SrcPort == local.Port() {
				want = append(want, r)
			}
		}
	}
	if len(want) != 3 {
		t.Fatalf("%d flows on the gateway", len(want))
	}
	w.b.has("flows of real packets", want...)
	got, err := w.b.kernel.Get(want[0].Key)
	must(t, err)
	if got.TCP.State != session.TCPEstablished || got.TCP.WScaleOrig != want[0].TCP.WScaleOrig || got.TCP.WScaleReply != want[0].TCP.WScaleReply {
		t.Errorf("got  %s\nwant %s", got.String(), want[0].String())
	}
	must(t, short.Close())
	w.b.has("a connection that is over", want[0], want[2])
	if s := w.a.engine.Status(); s.Counters.Partial != 0 || s.Local != 2 {
		t.Errorf("%d local, %+v", s.Local, s.Counters)
	}
}

// echo runs servers that send back what they get.
func echo(t *testing.T, n *lab.Node) (tcp, udp string) {
	t.Helper()
	var l net.Listener
	var u net.PacketConn
	must(t, n.Do(func() (err error) {
		if l, err = net.Listen("tcp", "203.0.113.9:80"); err == nil {
			u, err = net.ListenPacket("udp", "203.0.113.9:53")
		}
		return err
	}))
	t.Cleanup(func() { l.Close(); u.Close() })
	probe.Accept(l, func(c net.Conn) { io.Copy(c, c) })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := u.ReadFrom(buf)
			if err != nil {
				return
			}
			u.WriteTo(buf[:n], from)
		}
	}()
	return l.Addr().String(), u.LocalAddr().String()
}

// translate loads a source NAT to the group's address for what leaves by the
// interface.
func translate(t *testing.T, n *lab.Node, outside string) {
	t.Helper()
	must(t, n.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		table := c.AddTable(&nftables.Table{Name: "test", Family: nftables.TableFamilyIPv4})
		chain := c.AddChain(&nftables.Chain{Name: "post", Table: table, Type: nftables.ChainTypeNAT,
			Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource})
		name := make([]byte, 16)
		copy(name, outside)
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
			&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: name},
			&expr.Immediate{Register: 1, Data: vip.AsSlice()},
			&expr.NAT{Type: expr.NATTypeSourceNAT, Family: 2, RegAddrMin: 1},
		}})
		return c.Flush()
	}))
}
