package conntrack_test

import (
	"slices"
	"testing"

	"understudy/nat/conntrack"
)

func TestRcvBufFor(t *testing.T) {
	for _, tt := range []struct{ entries, want int }{
		{0, 64 << 20}, {65536, 64 << 20}, {262144, 160 << 20}, {1 << 20, 256 << 20}, {1 << 30, 256 << 20},
	} {
		if got := conntrack.RcvBufFor(tt.entries); got != tt.want {
			t.Errorf("%d entries: %d bytes, want %d", tt.entries, got, tt.want)
		}
	}
}

// TestBuffer: what waits to be read fills the buffer, as much an event as the
// ladder counts on, and an overrun shows in it before it happens.
func TestBuffer(t *testing.T) {
	n := newNode(t)
	k := n.kernel(t)
	const room = 100
	l := n.listener(t, conntrack.ListenerConfig{RcvBuf: room * conntrack.EventBytes / 2})
	b, err := l.Buffer()
	must(t, err)
	if b.Used != 0 || b.Fill() != 0 || b.Size != room*conntrack.EventBytes || b.Asked != b.Size || b.Short() {
		t.Errorf("empty: %+v", b)
	}
	for _, r := range numbered(room * 6 / 10) {
		must(t, install(t, k, conntrack.InstallOptions{}, r))
	}
	if b, err = l.Buffer(); err != nil || b.Fill() <= 0.5 || b.Fill() >= 0.9 {
		t.Errorf("%d events in a buffer for %d: %+v, %v", room*6/10, room, b, err)
	}
	drain(t, l)
	if b, err = l.Buffer(); err != nil || b.Used != 0 {
		t.Errorf("drained: %+v, %v", b, err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = l.Buffer() }); n != 0 {
		t.Errorf("%v allocations a look", n)
	}
	if b := (conntrack.Buffer{Size: 10, Asked: 20}); !b.Short() {
		t.Error("10 of 20 bytes are not short")
	}
}

// TestListenersOfTheKernel: somebody else who hears of flows is seen.
func TestListenersOfTheKernel(t *testing.T) {
	n := newNode(t)
	l := n.listener(t, conntrack.ListenerConfig{})
	quiet := n.kernel(t) // a netfilter socket too, and hears nothing
	look := func(own ...uint32) (ports []uint32) {
		n.do(t, func() {
			var err error
			ports, err = conntrack.Listeners(own...)
			must(t, err)
		})
		return ports
	}
	if got := look(); !slices.Equal(got, []uint32{l.PortID()}) {
		t.Errorf("ports %v hear events, want %d alone (not %d)", got, l.PortID(), quiet.PortID())
	}
	if got := look(l.PortID()); len(got) != 0 {
		t.Errorf("but for our own: %v", got)
	}
	must(t, l.Leave(conntrack.GroupNew, conntrack.GroupUpdate, conntrack.GroupDestroy))
	if got := look(); len(got) != 0 {
		t.Errorf("all have left: %v", got)
	}
}
