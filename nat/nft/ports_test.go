package nft

import (
	"testing"

	"golang.org/x/sys/unix"

	"understudy/nat"
)

// TestSplitPorts: a node gives ports of its own part, even to a host whose own port is
// of another's; what comes to another's part, and is not known, is a stray all
// the same.
func TestSplitPorts(t *testing.T) {
	l := newLab(t)
	c := config()
	whole := nat.DefaultPorts()
	for i := range 2 {
		c.Sources[0].Ports, c.Sources[0].Pool = whole.Part(i, 2), whole
		l.apply(c)
		l.must(l.a.OpenGate(allOfGroup))
		l.unchanged("again", l.apply(c))
		for _, sport := range []uint16{1000, 16384, 30000, 40959, 40960, 65535} {
			port := sport
			if !whole.Part(i, 2).Contains(port) {
				port = 0 // any of its part
			}
			l.client.send(packet{src: inside, dst: outside, proto: unix.IPPROTO_UDP, sport: sport, dport: uint16(5000 + i)})
			got := uint16(0)
			for _, f := range l.flows(unix.IPPROTO_UDP) {
				if f.Forward.SrcPort == sport && f.Forward.DstPort == uint16(5000+i) {
					got = f.Reverse.DstPort
				}
			}
			if !whole.Part(i, 2).Contains(got) || port != 0 && got != port {
				t.Errorf("node %d of 2: port %d became %d, want one of %v", i, sport, got, whole.Part(i, 2))
			}
		}
		before := l.counters().Stray
		for _, port := range []uint16{16390, 65530} {
			l.server.send(packet{src: outside, dst: vip, proto: unix.IPPROTO_UDP, sport: 9, dport: port})
		}
		if n := l.counters().Stray - before; n != 2 {
			t.Errorf("node %d of 2: %d strays to either part, want 2", i, n)
		}
	}
}
