package splicenet_test

import (
	"testing"

	"understudy/appliance/lab/capture"
	"understudy/nat/entry/entrynet/splicenet"
	"understudy/nat/session"
	"understudy/nat/splice"
	"understudy/nat/splice/bytelog"
)

// A client has said its last word, and twice, since the acknowledgement was lost: the kernel takes the
// connection for over, the log knows that its server has not ended it. It goes on, and is over when
// the new server has said all.
func TestLastWordIsSaidTwice(t *testing.T) {
	n := newNetwork(t, false)
	log := splicenet.LogTapes{Log: n.logs(bytelog.Config{})}
	first := n.serveLines(0, false)
	first.waits = make(chan struct{})
	t.Cleanup(func() { close(first.waits) })
	n.serveLines(1, false)
	resets := n.watch(n.wan, func(p capture.Packet) bool { return p.Flags&(capture.RST|capture.FIN) != 0 })
	k := n.talk()
	k.ask(3, 1000)
	entry := func() session.TCPState { return (&caller{n: n, from: k.from}).entry().TCP.State }
	if log.Awaited(splice.Ends{Server: n.at[0], Client: k.from}) {
		t.Error("the client has not said its last word")
	}
	n.rules(n.servers[0], "table ip mute { chain out { type filter hook output priority 0; ip protocol tcp drop; }; }")
	n.must(k.conn.CloseWrite())
	n.until("it is said twice", func() bool { return entry() == session.TCPLastAck })
	n.rules(n.servers[0], "delete table ip mute")
	n.until("it is acknowledged", func() bool { return entry() == session.TCPTimeWait })
	n.until("the log knows", func() bool { return log.Awaited(splice.Ends{Server: n.at[0], Client: k.from}) })
	n.kill(0)
	n.replays(1, k)
	k.ends()
	n.until("it is over", func() bool { return !log.Awaited(splice.Ends{Server: n.at[1], Client: k.from}) })
	if frames := resetsOf(resets); len(frames) > 0 {
		t.Errorf("resets: %v", frames)
	}
}
