package nft

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"understudy/nat"
)

func copying() nat.Config {
	c := config()
	c.Sources[0].Keeps = true
	c.Mirror = &nat.Mirror{Link: "mir0", Data: []string{"lan0", "wan0"}}
	return c
}

// hung are the chains on devices, by name, with how many rules each has.
func (l *lab) hung() map[string]int {
	l.t.Helper()
	out := map[string]int{}
	l.on(func(c *nftables.Conn) {
		all, err := c.ListChainsOfTableFamily(nftables.TableFamilyNetdev)
		l.must(err)
		for _, ch := range all {
			rules, err := c.GetRules(ch.Table, ch)
			l.must(err)
			out[ch.Name] = len(rules)
		}
	})
	return out
}

// TestMirrorComesAndGoes: applied twice nothing is to be done; what somebody takes away
// is put back; an interface that is new is watched, and until then nothing in copy
// leaves by it; switched off, all is gone.
func TestMirrorComesAndGoes(t *testing.T) {
	l := newLab(t)
	other := newSpace(t)
	wire(l.gateway, "mir0", "10.9.0.1/24", other, "mir0", "10.9.0.2/24")
	l.apply(config())
	plain := l.dump()
	if n := l.hung(); len(n) != 0 {
		t.Fatalf("chains on devices without copies: %v", n)
	}
	if r := l.apply(copying()); !r.Copies {
		t.Errorf("did %+v", r)
	}
	want := map[string]int{"copy_lan0": 5, "copy_wan0": 5, "stop_lan0": 1, "stop_wan0": 1, "send": 1, "take": 5}
	if diff := cmp.Diff(want, l.hung()); diff != "" {
		t.Errorf("chains on devices (-want +got):\n%s", diff)
	}
	l.unchanged("again", l.apply(copying()))
	r, err := l.applier().Apply(plan(t, copying()))
	l.must(err)
	l.unchanged("by another process", r)
	watched := func() int { return len(l.state().elements[setOut]) }
	if watched() != 2 {
		t.Errorf("%d interfaces are watched", watched())
	}

	l.on(func(c *nftables.Conn) { c.FlushChain(&nftables.Chain{Table: copiesTable(), Name: "stop_lan0"}) })
	if r := l.apply(copying()); !r.Copies {
		t.Errorf("a chain was emptied: did %+v", r)
	}
	if diff := cmp.Diff(want, l.hung()); diff != "" {
		t.Errorf("put back (-want +got):\n%s", diff)
	}
	l.on(func(c *nftables.Conn) { c.DelTable(copiesTable()) })
	l.apply(copying())
	if diff := cmp.Diff(want, l.hung()); diff != "" {
		t.Errorf("the whole table put back (-want +got):\n%s", diff)
	}

	index := func(name string) (i int) {
		l.gateway.do(func() error {
			link, err := netlink.LinkByName(name)
			if err == nil {
				i = link.Attrs().Index
			}
			return err
		})
		return i
	}
	before := index("lan0")
	l.gateway.do(func() error {
		link, err := netlink.LinkByName("lan0")
		if err != nil {
			return err
		}
		return netlink.LinkDel(link)
	})
	wire(l.client, "eth0", "10.0.0.10/24", l.gateway, "lan0", "10.0.0.1/24")
	if i := index("lan0"); i == before {
		t.Fatalf("the new interface has number %d, like the old one", i)
	}
	for id := range l.state().elements[setOut] {
		if e := mirrorSet(copying().Mirror, links{"lan0": index("lan0")}).elements[0]; e.id() == id {
			t.Error("a new interface is let out by before it is watched")
		}
	}
	l.apply(copying())
	l.unchanged("with the new interface, again", l.apply(copying()))
	if diff := cmp.Diff(want, l.hung()); diff != "" {
		t.Errorf("with the new interface (-want +got):\n%s", diff)
	}
	if watched() != 2 {
		t.Errorf("%d interfaces are watched", watched())
	}

	l.apply(config())
	if diff := cmp.Diff(plain, l.dump()); diff != "" {
		t.Errorf("switched off (-want +got):\n%s", diff)
	}
	if n := l.hung(); len(n) != 0 {
		t.Errorf("switched off, and there is %v", n)
	}
	l.apply(copying())
	l.must(l.a.Clean())
	if n := l.hung(); len(n) != 0 {
		t.Errorf("cleaned, and there is %v", n)
	}
}

// TestKeptPorts: one host with an address of its own keeps its ports, whichever.
func TestKeptPorts(t *testing.T) {
	l := newLab(t)
	c := config()
	c.Sources[0].Keeps = true
	l.apply(c)
	l.must(l.a.OpenGate(allOfGroup))
	for _, sport := range []uint16{1, 1000, 16384, 65535} {
		l.client.send(packet{src: inside, dst: outside, proto: 17, sport: sport, dport: 5000})
	}
	n := 0
	for _, f := range l.flows(17) {
		if n++; f.Reverse.DstPort != f.Forward.SrcPort {
			t.Errorf("port %d became %d", f.Forward.SrcPort, f.Reverse.DstPort)
		}
	}
	if n != 4 {
		t.Errorf("%d flows", n)
	}
}
