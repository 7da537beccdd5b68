package replica_test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/nat/session"
)

// Case 36: a GRE tunnel goes on, however long it is used, though the kernel would
// end an installed entry with its first packet; and it ends when nobody uses it any
// more, though the kernel would keep it for a day.
func TestCase36GRE(t *testing.T) {
	g := newGateways(t, natRules)
	g.b.cfg.Reconcile, g.b.cfg.Tunnel = 50*time.Millisecond, 3*time.Second
	g.runs()
	g.b.nothingNew()
	c, s := rawSocket(t, g.client, clientIP, 47), rawSocket(t, g.server, serverIP, 47)
	// Each dump installs the entry anew, and of packets that come each 10 ms one now and
	// then meets that moment, and is lost. It is not waited for until the tunnel is over.
	for _, r := range []*raw{c, s} {
		tv := unix.NsecToTimeval(int64(200 * time.Millisecond))
		if err := unix.SetsockoptTimeval(r.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
			t.Fatal(err)
		}
	}
	all := func([]byte) bool { return true }
	both := func() bool {
		c.send(serverIP, grePacket())
		if _, ok := s.receive(all); !ok {
			return false
		}
		s.send(vip.String(), grePacket())
		_, ok := c.receive(all)
		return ok
	}
	for range 2 {
		if !both() {
			t.Fatal("no tunnel through a")
		}
	}
	tunnel := func(s *sessionView) bool { return s.Proto == 47 }
	has := g.b.hot(1, tunnel)[0]
	g.dies()
	from := time.Now()
	dumps, lost := g.b.engine.Status().Counters.Dumps, 0 // in a row
	for time.Since(from) < 3*g.b.cfg.Tunnel/2 || g.b.engine.Status().Counters.Dumps < dumps+10 {
		if both() {
			lost = 0
		} else if lost++; lost > 2 {
			e, err := g.b.kernel.Get(has.Key)
			t.Fatalf("the tunnel is dead, %d dumps after the takeover: %s %v", g.b.engine.Status().Counters.Dumps-dumps, e.String(), err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n := g.b.engine.Status().Counters.Tunnels; n != 0 || len(g.b.sessionsOf(tunnel)) != 1 {
		t.Errorf("ended while it was used")
	}
	if e, err := g.b.kernel.Get(has.Key); err != nil || e.Status&session.StatusFixedTimeout == 0 {
		t.Errorf("the entry is not the installed one: %s %v", e.String(), err)
	}
	eventually(t, "a silent tunnel ends", func() bool { _, err := g.b.kernel.Get(has.Key); return err != nil })
	eventually(t, "and its session", func() bool { return len(g.b.sessionsOf(tunnel)) == 0 })
	if n := g.b.engine.Status().Counters.Tunnels; n != 1 {
		t.Errorf("%d tunnels ended", n)
	}
}
