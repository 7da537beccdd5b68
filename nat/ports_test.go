package nat

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// TestPortsPart: the parts are the whole, do not overlap, and are as large as
// each other, but for one.
func TestPortsPart(t *testing.T) {
	for _, p := range []Ports{{16384, 65535}, {1, 65535}, {0, 65535}, {20000, 20010}, {65000, 65535}} {
		for n := 1; n <= 10; n++ {
			next, least, most := int(p.First), 1<<16, 0
			for i := range n {
				part := p.Part(i, n)
				if int(part.First) != next || part.Last < part.First {
					t.Fatalf("part %d of %d of %v is %v, want it to begin at %d", i, n, p, part, next)
				}
				next = int(part.Last) + 1
				size := next - int(part.First)
				least, most = min(least, size), max(most, size)
			}
			if next != int(p.Last)+1 || most-least > 1 {
				t.Errorf("%d parts of %v end before %d and have %d to %d", n, p, next, least, most)
			}
		}
	}
}

// TestSplitPool: new flows get ports of a part, and the whole pool is guarded.
func TestSplitPool(t *testing.T) {
	c := gateway()
	c.Sources = c.Sources[1:2]
	c.Sources[0].Ports, c.Sources[0].Pool = DefaultPorts().Part(1, 2), DefaultPorts()
	p := mustNew(t, c)
	if want := []Pool{{netip.MustParseAddr("203.0.113.1"), DefaultPorts()}}; !slices.Equal(p.Pools(), want) {
		t.Errorf("pools %v, want %v", p.Pools(), want)
	}
	if want := "to 203.0.113.1:40960-65535 of 16384-65535\n"; !strings.Contains(p.String(), want) {
		t.Errorf("%q is not in\n%s", want, p)
	}
	if Diff(p, mustNew(t, gateway())).Sources.Empty() {
		t.Error("no difference to all of the pool")
	}
	c.Forwards = append(c.Forwards, forward("203.0.113.1", TCP, 20000, "10.0.0.20:22"))
	if ps := Check(c); len(ps) != 1 || !strings.Contains(ps[0].Reason, "lies in the pool 16384-65535") {
		t.Errorf("a forward in another's part: %v", ps)
	}
	c = gateway()
	c.Sources[1].Ports, c.Sources[1].Pool = Ports{1000, 2000}, Ports{1500, 3000}
	if ps := Check(c); len(ps) != 1 || !strings.Contains(ps[0].Reason, "not within the pool 1500-3000") {
		t.Errorf("a part that is none: %v", ps)
	}
}
