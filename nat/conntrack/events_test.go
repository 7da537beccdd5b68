package conntrack_test

import (
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// step is what an event of a flow is expected to say; zero fields are not looked
// at, except Has, of which every named bit must be there.
type step struct {
	kind      conntrack.EventKind
	status    session.Status // all of these set
	tcp       session.TCPState
	has       conntrack.HasBits
	untracked bool // by another process's deletion
}

// TestEventsOfTraffic: real flows of each protocol through a translating gateway
// yield the events that replication builds on.
func TestEventsOfTraffic(t *testing.T) {
	const (
		seen, assured, snat = session.StatusSeenReply, session.StatusAssured, session.StatusSrcNAT
		timed               = conntrack.HasStatus | conntrack.HasTimeout | conntrack.HasID
	)
	tests := []struct {
		name  string
		flow  func(t *testing.T, p *path)
		key   session.Key
		steps []step
	}{
		{
			name: "tcp",
			flow: func(t *testing.T, p *path) {
				c, s := p.connect(t, clientAddr+":40000", serverAddr+":443")
				must(t, exchange(c, s, 1000))
				must(t, c.CloseWrite())
				_, err := s.Read(make([]byte, 1)) // EOF: the FIN is through
				if err == nil {
					t.Error("no end of file")
				}
				must(t, s.Close())
			},
			key: key(tcp, clientAddr+":40000", serverAddr+":443"),
			steps: []step{
				{kind: conntrack.New, status: snat, tcp: session.TCPSynSent, has: timed | conntrack.HasTCP | conntrack.HasTCPOptions},
				{kind: conntrack.Update, status: snat | seen, tcp: session.TCPSynRecv, has: timed | conntrack.HasTCP},
				{kind: conntrack.Update, status: snat | seen | assured, tcp: session.TCPEstablished, has: timed | conntrack.HasTCP | conntrack.HasTCPOptions},
				{kind: conntrack.Update, tcp: session.TCPFinWait},
				{kind: conntrack.Update, tcp: session.TCPLastAck},
				{kind: conntrack.Update, tcp: session.TCPTimeWait},
				{kind: conntrack.Destroy, has: conntrack.HasID, untracked: true},
			},
		},
		{
			name: "tcp refused: ends by itself",
			flow: func(t *testing.T, p *path) {
				p.client.do(t, func() { refused(t, serverAddr, 444) })
			},
			key: key(tcp, clientAddr+":40001", serverAddr+":444"),
			steps: []step{
				{kind: conntrack.New, status: snat, tcp: session.TCPSynSent},
				{kind: conntrack.Destroy, has: conntrack.HasID},
			},
		},
		{
			name: "udp",
			flow: func(t *testing.T, p *path) { c, s := p.udp(t, clientAddr+":5000", serverAddr+":53"); echo(t, c, s) },
			key:  key(udp, clientAddr+":5000", serverAddr+":53"),
			steps: []step{
				{kind: conntrack.New, status: snat, has: timed},
				{kind: conntrack.Update, status: snat | seen, has: timed},
				{kind: conntrack.Destroy, untracked: true},
			},
		},
		{
			name: "udp over ipv6",
			flow: func(t *testing.T, p *path) {
				c, s := p.udp(t, "["+clientAddr6+"]:5000", "["+serverAddr6+"]:53")
				echo(t, c, s)
			},
			key: key(udp, "["+clientAddr6+"]:5000", "["+serverAddr6+"]:53"),
			steps: []step{
				{kind: conntrack.New, status: snat, has: timed},
				{kind: conntrack.Update, status: snat | seen, has: timed},
				{kind: conntrack.Destroy, untracked: true},
			},
		},
		{
			name: "ping",
			flow: func(t *testing.T, p *path) { p.client.do(t, func() { ping(t, 4, 77) }) },
			key:  key(icmp, clientAddr+":77", serverAddr+":2048"),
			steps: []step{
				{kind: conntrack.New, status: snat, has: timed},
				{kind: conntrack.Update, status: snat | seen, has: timed},
				{kind: conntrack.Destroy, untracked: true},
			},
		},
		{
			name: "ping over ipv6",
			flow: func(t *testing.T, p *path) { p.client.do(t, func() { ping(t, 6, 78) }) },
			key:  key(icmp6, "["+clientAddr6+"]:78", "["+serverAddr6+"]:32768"),
			steps: []step{
				{kind: conntrack.New, status: snat, has: timed},
				{kind: conntrack.Update, status: snat | seen, has: timed},
				{kind: conntrack.Destroy, untracked: true},
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPath(t)
			g := p.gw[0]
			g.snat(t, "b", netip.MustParseAddr(vip), 0)
			g.snat(t, "b", netip.MustParseAddr(vip6), 0)
			l, k := g.listener(t, conntrack.ListenerConfig{}), g.kernel(t)

			tt.flow(t, p)
			want := tt.steps
			mine := func(events []conntrack.Event) (out []conntrack.Event) {
				for _, ev := range events {
					if ev.Rec.Key == tt.key {
						out = append(out, ev)
					}
				}
				return out
			}
			deletes := want[len(want)-1].untracked
			before := len(want)
			if deletes {
				before--
			}
			events := await(t, l, func(e []conntrack.Event) bool { return len(mine(e)) >= before })
			if deletes { // expiry would take seconds
				var results [1]error
				must(t, k.Delete([]session.Key{tt.key}, results[:]))
				must(t, results[0])
				events = append(events, await(t, l, func(e []conntrack.Event) bool { return len(mine(e)) >= 1 })...)
			}

			got := mine(events)
			if len(got) != len(want) {
				t.Fatalf("want %d events, got %+v", len(want), got)
			}
			public := session.AddrFrom(netip.MustParseAddr(vip))
			if tt.key.Family == 6 {
				public = session.AddrFrom(netip.MustParseAddr(vip6))
			}
			for i, w := range want {
				ev := &got[i]
				if ev.Kind != w.kind || ev.Rec.Status&w.status != w.status || ev.Has&w.has != w.has {
					t.Errorf("event %d: want %+v, got %+v", i, w, ev)
				}
				if w.tcp != 0 && ev.Rec.TCP.State != w.tcp {
					t.Errorf("event %d: want TCP state %d, got %d", i, w.tcp, ev.Rec.TCP.State)
				}
				if byUs := ev.PortID == k.PortID(); byUs != w.untracked || (!byUs && ev.PortID != 0) {
					t.Errorf("event %d: caused by port %d", i, ev.PortID)
				}
				if ev.Rec.ReplySrc != tt.key.Dst || ev.Rec.ReplyDst != public {
					t.Errorf("event %d: reply tuple %+v", i, ev.Rec)
				}
				if addr, port, ok := ev.Rec.SNAT(); !ok || addr != public || port != tt.key.SrcPort {
					t.Errorf("event %d: translated to %v port %d", i, addr, port)
				}
				if ev.Rec.ID != got[0].Rec.ID {
					t.Errorf("event %d: another ID", i)
				}
			}
			if est := &got[min(2, len(got)-1)]; tt.name == "tcp" {
				flags := est.Rec.TCP.FlagsOrig & est.Rec.TCP.FlagsReply
				if flags&session.TCPFlagWindowScale == 0 || est.Rec.TCP.WScaleOrig == 0 || est.Rec.TCP.WScaleReply == 0 {
					t.Errorf("established without window scales: %+v", est.Rec.TCP)
				}
			}
		})
	}
}

// refused connects from port 40001 to a closed port, in the calling thread's
// namespace.
func refused(t testing.TB, addr string, port int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	must(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: netip.MustParseAddr(clientAddr).As4(), Port: 40001}))
	err = unix.Connect(fd, &unix.SockaddrInet4{Addr: netip.MustParseAddr(addr).As4(), Port: port})
	wantResult(t, err, unix.ECONNREFUSED)
}

// ping sends an echo request with the identifier from the client to the server
// and waits for the answer, in the calling thread's namespace.
func ping(t testing.TB, family int, id uint16) {
	t.Helper()
	af, proto, request := unix.AF_INET, unix.IPPROTO_ICMP, byte(8)
	var from, to unix.Sockaddr = &unix.SockaddrInet4{Addr: netip.MustParseAddr(clientAddr).As4()},
		&unix.SockaddrInet4{Addr: netip.MustParseAddr(serverAddr).As4()}
	if family == 6 {
		af, proto, request = unix.AF_INET6, unix.IPPROTO_ICMPV6, 128
		from = &unix.SockaddrInet6{Addr: netip.MustParseAddr(clientAddr6).As16()}
		to = &unix.SockaddrInet6{Addr: netip.MustParseAddr(serverAddr6).As16()}
	}
	must(t, os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 0"), 0o644))
	fd, err := unix.Socket(af, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, proto)
	must(t, err)
	defer unix.Close(fd)
	switch sa := from.(type) { // the port of a ping socket is its identifier
	case *unix.SockaddrInet4:
		sa.Port = int(id)
	case *unix.SockaddrInet6:
		sa.Port = int(id)
	}
	must(t, unix.Bind(fd, from))
	must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2}))
	must(t, unix.Sendto(fd, []byte{request, 0, 0, 0, 0, 0, 0, 1}, 0, to))
	_, _, err = unix.Recvfrom(fd, make([]byte, 100), 0)
	must(t, err)
}
