package replica_test

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
	"understudy/appliance/lab/capture"
	"understudy/nat"
	"understudy/nat/conntrack"
	"understudy/nat/nft"
	"understudy/nat/session"
)

// mirrored is a pair of gateways that copy to each other what they are to forward.
type mirrored struct {
	*gateways
	links [2]*lab.Link // of the copies
	wires []*capture.Capture
}

func newMirrored(t *testing.T) *mirrored {
	t.Helper()
	g := &mirrored{gateways: newGateways(t, natChain)}
	l := lab.NewT(t)
	seg := l.Segment("mirror")
	for i, b := range []*box{g.a, g.b} {
		g.links[i] = l.Join(b.node, seg, "mir0")
		must(t, b.node.Sysctl("ipv4/conf/all/rp_filter", "0"))
		must(t, b.node.Sysctl("ipv4/conf/mir0/rp_filter", "0"))
		// What both would answer, if they could.
		b.nft(`table inet filter { chain forward { type filter hook forward priority filter;
			tcp dport 25 reject with tcp reset
			udp dport 26 reject
		} }`)
		b.cfg.Knobs, _ = session.KnobsOf(session.ModeActive, 0, 0)
		b.mirrors()
	}
	g.a.gate(true)
	for _, link := range []*lab.Link{g.client.Links()[0], g.server.Links()[0]} {
		c, err := capture.Start(link.Segment(), capture.Options{Keep: fromStandby})
		must(t, err)
		t.Cleanup(func() { c.Stop() })
		g.wires = append(g.wires, c)
	}
	return g
}

// fromStandby selects what b says in the networks of a gateway, but to find neighbours.
func fromStandby(f capture.Frame) bool {
	if f.From != "b" {
		return false
	}
	p := capture.Decode(f.Data)
	return p.Kind != capture.ARP && !(p.Src.Is6() && (p.Src.IsLinkLocalUnicast() || p.Src.IsUnspecified() || p.Dst.IsLinkLocalMulticast()))
}

// silent fails the test if b has said anything.
func (g *mirrored) silent(when string) {
	g.t.Helper()
	for _, c := range g.wires {
		for _, f := range c.Frames() {
			g.t.Errorf("%s, the standby sends %v", when, f)
		}
	}
}

var gatewayAddresses = []netip.Addr{vip, netip.MustParseAddr(lanVIP)}

// rules runs fn on the box's nftables.
func (b *box) rules(fn func(*nft.Applier) error) {
	b.t.Helper()
	must(b.t, b.node.Do(func() error {
		a, err := nft.Open(nft.Config{})
		if err != nil {
			return err
		}
		defer a.Close()
		return fn(a)
	}))
}

// mirrors has the box translate the client to the address that moves, with its ports
// kept, and copy; the gate is shut.
func (b *box) mirrors() {
	b.t.Helper()
	client := netip.MustParseAddr(clientIP)
	plan, err := nat.New(nat.Config{
		Sources: []nat.Source{{From: netip.PrefixFrom(client, 32), Out: "wan0", To: vip, Keeps: true}},
		Forwards: []nat.Forward{
			{Address: vip, Proto: nat.TCP, Port: 8080, To: netip.AddrPortFrom(client, 80)},
			{Address: vip, Proto: nat.UDP, Port: 5353, To: netip.AddrPortFrom(client, 53)},
		},
		Groups:   []nat.Group{{Name: "gw", Addresses: gatewayAddresses}},
		Sessions: true, Events: &nat.Events{}, Mirror: &nat.Mirror{Link: "mir0", Data: []string{"lan0", "wan0"}},
	})
	must(b.t, err)
	b.rules(func(a *nft.Applier) error { _, err := a.Apply(plan); return err })
}

func (b *box) gate(open bool) {
	b.t.Helper()
	b.rules(func(a *nft.Applier) error {
		if open {
			return a.OpenGate(gatewayAddresses)
		}
		return a.CloseGate(gatewayAddresses)
	})
}

func (b *box) packets() (c nft.Counters) {
	b.t.Helper()
	b.rules(func(a *nft.Applier) (err error) { c, err = a.Counters(); return err })
	return c
}

// through are the box's kernel entries of flows through the gateway.
func (b *box) through() map[session.Key]session.Record {
	b.t.Helper()
	m := map[session.Key]session.Record{}
	must(b.t, b.kernel.Dump(conntrack.Filter{}, func(ev *conntrack.Event) {
		if a := ev.Rec.Src.Netip(ev.Rec.Family).String(); a == clientIP || a == serverIP || a == clientIP6 || a == serverIP6 {
			m[ev.Rec.Key] = ev.Rec
		}
	}))
	return m
}

// follow waits until b's kernel tracks and translates what a's does, in the same state.
func (g *mirrored) follow(n int) {
	g.t.Helper()
	why := ""
	ok := within(settle, func() bool {
		a, b := g.a.through(), g.b.through()
		why = fmt.Sprintf("a has %d flows, b %d", len(a), len(b))
		for k, r := range a {
			s, there := b[k]
			const bits = session.StatusSeenReply | session.StatusSrcNAT | session.StatusDstNAT
			if !there || !s.SameBinding(&r) || s.TCP.State != r.TCP.State || (s.Status^r.Status)&bits != 0 {
				why = fmt.Sprintf("a has %s, b %s", r.String(), s.String())
				return false
			}
		}
		return len(a) >= n && len(a) == len(b)
	})
	if !ok {
		g.t.Fatal(why)
	}
}

// takesOver ends a; what b then forwards it knew.
func (g *mirrored) takesOver() {
	g.t.Helper()
	g.a.stop()
	for _, l := range g.a.node.Links() {
		must(g.t, l.Unplug())
	}
	g.b.nothingNew()
	if r := g.b.activate(2); r.Installed != 0 {
		g.t.Errorf("%d sessions had to be installed", r.Installed)
	}
	g.b.gate(true)
	g.use(1)
}

// TestActiveReplication: the standby's kernel follows by the packets alone, and lets
// nothing out: no packet twice, no error, no reset. When it takes over, all goes on.
func TestActiveReplication(t *testing.T) {
	g := newMirrored(t)
	g.runs()
	serve(t, g.server, "tcp", serverIP+":80")
	serve(t, g.server, "udp", serverIP+":53")
	serve(t, g.client, "tcp", clientIP+":80")
	serve(t, g.client, "udp", clientIP+":53")
	serve(t, g.server, "tcp", "["+serverIP6+"]:80")
	serve(t, g.client, "udp", "["+clientIP6+"]:53")
	conns := map[string]net.Conn{
		"TCP out": dialFrom(t, g.client, "tcp", serverIP+":80"),
		"UDP out": dialFrom(t, g.client, "udp", serverIP+":53"),
		"TCP in":  dialFrom(t, g.server, "tcp", "203.0.113.1:8080"),
		"UDP in":  dialFrom(t, g.server, "udp", "203.0.113.1:5353"),
		// Only forwarded.
		"TCP6 out": dialFrom(t, g.client, "tcp", "["+serverIP6+"]:80"),
		"UDP6 in":  dialFrom(t, g.server, "udp", "["+clientIP6+"]:53"),
	}
	for name, c := range conns {
		if err := talk(c, "one"); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	ping := rawSocket(t, g.client, clientIP, unix.IPPROTO_ICMP)
	ping.send(serverIP, echoRequest(false, 77, 1))
	if _, ok := ping.receive(isEchoReply(77, 1)); !ok {
		t.Fatal("no answer to a ping")
	}
	c, s := g.connected(443)
	b := stream(s, c)
	must(t, b.more(1<<20))
	g.follow(8)

	// What makes a gateway talk: a port that refuses, a rule that rejects, a hop too many.
	must(t, g.client.Do(func() error {
		for _, port := range []string{"25", "9"} {
			if c, err := net.DialTimeout("tcp", serverIP+":"+port, settle); err == nil {
				c.Close()
				return fmt.Errorf("port %s answers", port)
			}
		}
		for _, port := range []string{"26", "9"} {
			c, err := net.Dial("udp", serverIP+":"+port)
			if err != nil {
				return err
			}
			defer c.Close()
			if err := talk(c, "anybody?"); err == nil {
				return fmt.Errorf("UDP port %s answers", port)
			}
		}
		c, err := net.Dial("udp", serverIP+":53")
		if err != nil {
			return err
		}
		defer c.Close()
		raw, err := c.(*net.UDPConn).SyscallConn()
		if err != nil {
			return err
		}
		raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, 1) })
		if err != nil {
			return err
		}
		_, err = c.Write([]byte("not so far"))
		return err
	}))
	must(t, b.more(1<<20))
	for name, c := range conns {
		if err := talk(c, "two"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	g.silent("while it stands by")
	n, m := g.a.packets(), g.b.packets()
	if n.Copied == 0 || m.Taken == 0 || m.KeptIn == 0 || m.Silenced == 0 || n.Taken != 0 || n.KeptIn != 0 {
		t.Errorf("a %+v\nb %+v", n, m)
	}
	if st := g.a.engine.Status().Peers[0].Sender; st.Upserts != 0 || st.Deletes != 0 {
		t.Errorf("the link has told of %d flows and %d ends", st.Upserts, st.Deletes)
	}
	sent := make([]session.Record, 0, 8)
	for _, r := range g.b.through() {
		sent = append(sent, r)
	}
	g.takesOver()
	for name, c := range conns {
		if err := talk(c, "three"); err != nil {
			t.Errorf("after the takeover, %s: %v", name, err)
		}
	}
	if err := b.more(1 << 20); err != nil {
		t.Errorf("the stream: %v", err)
	}
	must(t, b.end())
	ping.send(serverIP, echoRequest(false, 77, 2))
	if _, ok := ping.receive(isEchoReply(77, 2)); !ok {
		t.Error("no answer to a ping after the takeover")
	}
	if !slices.ContainsFunc(sent, func(r session.Record) bool { return r.Proto == 6 }) {
		t.Error("no TCP among what b followed")
	}
	eventually(t, "they are in its table", func() bool { return g.b.engine.Status().Local >= 7 })
}

// A node that joins later has seen no packet of what is there: that it is told.
func TestActiveReplicationJoinedLater(t *testing.T) {
	g := newMirrored(t)
	must(t, g.links[1].Unplug())
	g.a.start()
	g.a.activate(1)
	serve(t, g.server, "udp", serverIP+":53")
	tcp, s := g.connected(22)
	udp := dialFrom(t, g.client, "udp", serverIP+":53")
	must(t, talkTo(tcp, s, "before"))
	must(t, talk(udp, "before"))
	if n := len(g.b.through()); n != 0 {
		t.Fatalf("b knows %d flows by copies that it cannot have", n)
	}
	must(t, g.links[1].Plug())
	g.b.start()
	g.b.hot(2, func(*sessionView) bool { return true })
	must(t, talkTo(tcp, s, "now it looks"))
	must(t, talk(udp, "now it looks"))
	later, ls := g.connected(23)
	must(t, talkTo(later, ls, "and of this it is not told"))
	g.follow(3)
	if n := len(g.b.sessionsOf(called(6, 23))); n != 0 {
		t.Errorf("it was told")
	}
	g.silent("a node that joined")
	g.takesOver()
	for _, c := range [][2]net.Conn{{tcp, s}, {later, ls}} {
		if err := talkTo(c[0], c[1], "after"); err != nil {
			t.Error(err)
		}
	}
	if err := talk(udp, "after"); err != nil {
		t.Error(err)
	}
}

// What the packets alone do not tell, as a port that was given by chance, is told over
// the link all the same.
func TestActiveReplicationOfOtherFlows(t *testing.T) {
	g := newMirrored(t)
	g.runs()
	kept, chosen := flow(1, 6), flow(2, 6)
	kept.ReplyDstPort = kept.SrcPort
	g.a.born(kept, chosen)
	g.b.has("the one whose port was chosen", chosen)
	g.a.end(chosen)
	g.b.has("and its end")
	if n := len(g.a.sessionsOf(func(*sessionView) bool { return true })); n != 1 {
		t.Errorf("a has %d sessions", n)
	}
}

// Without the link of copies, or with one that leads nowhere, the active node works as
// ever.
func TestActiveReplicationWithoutItsLink(t *testing.T) {
	g := newMirrored(t)
	g.runs()
	must(t, g.links[0].Unplug())
	serve(t, g.server, "udp", serverIP+":53")
	c, s := g.connected(80)
	must(t, talkTo(c, s, "words"))
	must(t, talk(dialFrom(t, g.client, "udp", serverIP+":53"), "words"))
	must(t, g.links[0].Down())
	must(t, talkTo(c, s, "words"))
	g.silent("without its link")
}

// A helper's flow is told, and what it expects; the data connection that both kernels
// have seen begin, each by its own helper, goes on.
func TestActiveReplicationOfAHelper(t *testing.T) {
	g := newMirrored(t)
	for _, b := range []*box{g.a, g.b} {
		b.nft(`table inet helpers {
			ct helper ftp { type "ftp" protocol tcp; }
			chain pre { type filter hook prerouting priority filter; tcp dport 21 ct helper set "ftp"; }
		}`)
	}
	g.runs()
	serve(t, g.server, "tcp", serverIP+":2000")
	serve(t, g.server, "tcp", serverIP+":2001")
	f := g.ftp()
	f.command("PASV")
	f.answer("227 Entering Passive Mode (198,51,100,9,7,208)")
	data := dialFrom(t, g.client, "tcp", serverIP+":2000")
	must(t, talk(data, "half of it"))
	f.command("PASV")
	f.answer("227 Entering Passive Mode (198,51,100,9,7,209)")
	g.b.hot(1, called(6, 21))
	eventually(t, "b expects the next", func() bool { return len(g.b.expected()) == 1 })
	g.silent("with a helper")
	g.takesOver()
	if err := talk(data, "the rest"); err != nil {
		t.Error(err)
	}
	next := dialFrom(t, g.client, "tcp", serverIP+":2001")
	if err := talk(next, "all of it"); err != nil {
		t.Error(err)
	}
	f.answer("226 done")
}
