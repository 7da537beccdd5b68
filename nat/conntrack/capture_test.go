//go:build capture

package conntrack_test

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// TestCapture makes testdata/messages anew from real traffic and installed
// entries in namespaces: go test -tags capture -run TestCapture ./nat/conntrack,
// then run the golden tests with -rewrite.
func TestCapture(t *testing.T) {
	var uts unix.Utsname
	must(t, unix.Uname(&uts))
	origin := fmt.Sprintf("# Origin: Linux %s, %%s.\n", unix.ByteSliceToString(uts.Release[:]))
	save := func(name, what string, data []byte) {
		g := golden{path: filepath.Join("testdata", "messages", name+".hex"), data: data, comment: fmt.Sprintf(origin, what)}
		g.write(t)
	}

	p := newPath(t)
	g := p.gw[0]
	g.snat(t, "b", netip.MustParseAddr(vip), 20001)
	g.snat(t, "b", netip.MustParseAddr(vip6), 0)
	l := g.listener(t, conntrack.ListenerConfig{})
	events := func(name, what string) {
		n := 0
		must(t, l.CaptureEvents(func(b []byte) {
			n++
			save(fmt.Sprintf("event-%s-%d", name, n), fmt.Sprintf("event %d of %s through source NAT", n, what), b)
		}))
	}
	c, s := p.connect(t, clientAddr+":40000", serverAddr+":443")
	must(t, exchange(c, s, 100))
	must(t, c.CloseWrite())
	_, _ = s.Read(make([]byte, 1))
	must(t, s.Close())
	events("tcp", "a short TCP connection")
	p.client.do(t, func() { refused(t, serverAddr, 444) })
	events("refused", "a refused TCP connection")
	uc, us := p.udp(t, clientAddr+":5000", serverAddr+":53")
	echo(t, uc, us)
	events("udp", "a UDP exchange")
	uc, us = p.udp(t, "["+clientAddr6+"]:5000", "["+serverAddr6+"]:53")
	echo(t, uc, us)
	events("udp-ipv6", "a UDP exchange over IPv6")
	p.client.do(t, func() { ping(t, 4, 77) })
	events("icmp", "a ping")
	p.client.do(t, func() { ping(t, 6, 78) })
	events("icmpv6", "a ping over IPv6")

	k := newNode(t).kernel(t)
	zoned := snatFlow()
	zoned.Zone, zoned.Mark = 7, 0xdeadbeef
	adjusted := snatFlow()
	adjusted.SeqAdj = [2]session.SeqAdj{{CorrectionPos: 0xfffffff0, OffsetBefore: -3, OffsetAfter: 17}, {CorrectionPos: 5, OffsetBefore: 1, OffsetAfter: -1}}
	assoc := flow(sctp, "10.0.0.2:7000", "9.9.9.9:9000", "9.9.9.9:9000", "203.0.113.1:7001")
	assoc.SCTP = session.SCTP{State: 4, VTagOrig: 0x01020304, VTagReply: 0xa1a2a3a4}
	for _, e := range []struct {
		name string
		rec  session.Record
	}{
		{"tcp-zone-mark", zoned},
		{"tcp-seqadj", adjusted},
		{"sctp", assoc},
		{"gre", flow(gre, "10.0.0.2:7", "9.9.9.9:9", "9.9.9.9:9", "203.0.113.1:7")},
		{"ospf", flow(ospf, "10.0.0.2:0", "9.9.9.9:0", "9.9.9.9:0", "203.0.113.1:0")},
		{"hairpin", flow(tcp, "10.0.0.2:5000", "203.0.113.1:80", "10.0.0.5:8080", "203.0.113.1:6000")},
	} {
		must(t, install(t, k, conntrack.InstallOptions{}, e.rec))
		msgs, err := k.CaptureGet(e.rec.Key)
		must(t, err)
		save("entry-"+e.name, "answer to a get of an installed entry", msgs[0])
		save("ack", "the acknowledgement behind an entry", msgs[1])
	}
	absent := snatFlow()
	absent.SrcPort = 1
	msgs, err := k.CaptureGet(absent.Key)
	must(t, err)
	save("error-enoent", "answer to a get of an absent entry", msgs[0])
}
