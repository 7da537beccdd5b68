package splicenet_test

import (
	"net"
	"testing"

	"understudy/appliance/lab/capture"
	"understudy/appliance/lab/probe"
	"understudy/nat/splice"
	"understudy/nat/splice/bytelog"
)

// partnered waits until connections that are at a server are replayed all along at another one.
func (s *shading) partnered(at, with int, of ...*talker) {
	s.t.Helper()
	for _, k := range of {
		s.until("a connection has its partner", func() bool {
			to, ok := s.shadows.Partner(splice.Ends{Server: s.at[at], Client: k.from})
			return ok && to == s.at[with]
		})
		s.until("the partner is as far", func() (same bool) {
			s.log.Settled(func(l *bytelog.Log) {
				a, b := l.Record(splice.Ends{Server: s.at[at], Client: k.from}), l.Record(splice.Ends{Server: s.at[with], Client: k.from})
				same = a != nil && b != nil && a.Client.Len() == a.Client.Acked() && a.Client.Len() == b.Client.Acked() && b.Server.Len() == b.Server.Acked()
			})
			return same
		})
	}
}

// Of three servers partners die, alone, with the server, and with the server unnoticed: whoever is left
// takes their place, by a replay if nobody was told yet, and a connection without a partner is
// shown as such. A partner that was only cut off is not heard when it comes back with what it knew.
func TestShadowsOfThreeServers(t *testing.T) {
	s := newShading(t, false, bytelog.Config{})
	servers := [3]*replayed{s.serveLines(0, false), s.serveLines(1, false), s.serveLines(2, false)}
	resets := s.watch(s.wan, func(p capture.Packet) bool { return p.Flags&capture.RST != 0 })
	strays := s.watch(s.wan, func(p capture.Packet) bool {
		return p.Src == s.at[0].Addr() || p.Src == s.at[1].Addr() || p.Src == s.at[2].Addr()
	})
	talkers := make([]*talker, 8)
	asks := func() {
		t.Helper()
		for _, k := range talkers {
			k.ask(3, 3000)
		}
	}
	for i := range talkers {
		talkers[i] = s.talk()
		talkers[i].ask(5, 100*(i+1))
	}
	s.partnered(0, 1, talkers...)
	s.lives(2)

	// The partner dies: another takes its place, also while something is asked. That its connections are
	// over it is told in vain, also by what waits for it on the gateway until it comes back.
	s.rules(s.servers[1], "table ip deaf { chain in { type filter hook input priority 0; tcp flags & rst == rst drop; }; }")
	s.dies(1)
	asks()
	s.partnered(0, 2, talkers...)

	// It was only cut off, and ends what it had: nobody hears that, the client and the kernel's table least.
	says := s.watch(s.lan, func(p capture.Packet) bool {
		return p.Src == s.at[1].Addr() && p.Dst == talkers[0].from.Addr() && p.Flags&capture.FIN != 0
	})
	s.revive(1)
	servers[1].mu.Lock()
	for _, c := range servers[1].conns {
		s.must(c.Close())
	}
	servers[1].mu.Unlock()
	s.until("the old partner speaks", func() bool { return len(says.Frames()) >= len(talkers) })
	asks()
	s.nothingOn(strays, "of the old partner's")
	s.rules(s.servers[1], "delete table ip deaf")
	s.hears(1)
	s.alive[1].Store(true)
	s.serves()

	// It dies with its partner: the third is told all, and a partner is not there.
	s.partnered(0, 2, talkers...)
	s.dies(0)
	s.dies(2)
	for i, o := range s.replays(1, talkers...) {
		if o.Replayed == 0 {
			t.Errorf("connection %d: nothing was said again", i)
		}
	}
	asks()
	s.until("all are without a partner, which is shown", func() bool {
		st := s.shadows.Status()
		return st.Connections == 0 && st.Without[splice.Gone] == len(talkers)
	})
	s.lives(0)
	s.partnered(1, 0, talkers...)
	asks()
	s.lives(2)
	s.partnered(1, 0, talkers...)

	// It dies with its partner, and nobody has noticed: the connection goes on there for as long as that
	// takes, and is replayed at the third then.
	s.kill(0)
	s.dies(1)
	s.replays(0, talkers...)
	s.dies(0)
	s.must(servers[0].forgets())
	s.replays(2, talkers...)
	asks()
	s.nothingOn(resets, "resets")
	s.nothingOn(strays, "of a server's own address")

	// A client calls anew from the same port, and gets the server that was not heard on that.
	s.lives(0)
	k := talkers[0]
	s.must(k.conn.SetLinger(0))
	s.must(k.conn.Close())
	d := net.Dialer{Timeout: patience, LocalAddr: net.TCPAddrFromAddrPort(k.from)}
	s.must(s.client.Do(func() error {
		c, err := d.Dial("tcp", s.web.String())
		if err != nil {
			return err
		}
		t.Cleanup(func() { c.Close() })
		k.conn, k.said = c.(*net.TCPConn), probe.Sums{}
		return nil
	}))
	k.ask(3, 3000)
}
