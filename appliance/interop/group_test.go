package interop

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"understudy/appliance/lab"
)

// sides is a group of ours with a leg in two segments, beside a keepalived whose
// two instances know nothing of each other.
type sides struct {
	*scene
	us         *box
	them       *keepalived
	lanW, wanW *wire
	lanV, wanV variant
}

const sideInterval = 200 * time.Millisecond

func newSides(t *testing.T, ourPriority, theirPriority int) *sides {
	t.Helper()
	s := newScene(t)
	s.tool("keepalived", "/usr/sbin/keepalived")
	wan := s.Segment("wan")
	lanV, wanV := row("v3 IPv4"), row("v3 IPv4")
	wanV.vrid, wanV.address = 52, netip.MustParsePrefix("10.0.2.254/24")
	d := &sides{scene: s, us: &box{scene: s, Node: s.Node("ours")}, lanV: lanV, wanV: wanV}
	d.them = &keepalived{scene: s, Node: s.Node("theirs"), v: lanV}
	for i, n := range []*lab.Node{d.us.Node, d.them.Node} {
		s.Join(n, s.lan, "lan0", fmt.Sprintf("10.0.1.%d/24", i+2))
		s.Join(n, wan, "wan0", fmt.Sprintf("10.0.2.%d/24", i+2))
	}
	d.lanW, d.wanW = s.record(s.lan), s.record(wan)
	us, them := settings{priority: ourPriority, interval: sideInterval}, settings{priority: theirPriority, interval: sideInterval}
	d.us.run(routerTOML("lan", "lan0", lanV.vrid, us, fmt.Sprintf("%q", lanV.address), "") +
		routerTOML("wan", "wan0", wanV.vrid, us, fmt.Sprintf("%q", wanV.address), "") +
		"[[group]]\nname = \"gateway\"\nrouters = [\"lan\", \"wan\"]\n")
	d.them.runInstances(d.them.instance("LAN", "lan0", lanV.vrid, them, lanV.address.String()) +
		d.them.instance("WAN", "wan0", wanV.vrid, them, wanV.address.String()))
	return d
}

// hold is a condition: who has the two addresses.
func (d *sides) hold(lan, wan *lab.Node) func() error {
	return func() error {
		var errs []error
		for _, n := range []*lab.Node{d.us.Node, d.them.Node} {
			for _, side := range []struct {
				v    variant
				want *lab.Node
			}{{d.lanV, lan}, {d.wanV, wan}} {
				on, err := has(n, side.v)
				if on != (n == side.want) {
					err = fmt.Errorf("%s has %s: %t", n.Name, side.v.address, on)
				}
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	}
}

func TestGroupOfOursLeavesAsOne(t *testing.T) {
	t.Parallel()
	d := newSides(t, 200, 100)
	us, them := d.us.Node, d.them.Node
	d.wait("ours to have both", d.hold(us, us))
	d.stays("ours have both", 5*sideInterval, d.hold(us, us))
	d.must(us.Link("wan0").Unplug())
	d.wait("theirs to have both", d.hold(them, them))
	// On the side that is well we said so, in good time.
	if list := d.lanW.adverts(us.Name); list[len(list)-1].Priority != 0 {
		t.Errorf("our last word on the LAN was %v", list[len(list)-1])
	}
	d.wait("our group to be in fault", d.us.is("lan", "fault"))
	d.must(us.Link("wan0").Plug())
	d.wait("ours to have both again", d.hold(us, us))
}

func TestGroupOfOursWaitsForBothSides(t *testing.T) {
	t.Parallel()
	d := newSides(t, 100, 200)
	us, them := d.us.Node, d.them.Node
	d.wait("theirs to have both", d.hold(them, them))
	d.wait("us to be Backup", d.us.is("wan", "backup"))
	heard := len(d.wanW.adverts(them.Name))
	d.wait("more adverts of theirs", func() error {
		if len(d.wanW.adverts(them.Name)) < heard+2 {
			return errNotYet
		}
		return nil
	})
	d.must(them.Link("wan0").Unplug())
	mark := time.Now()
	// Their WAN instance is in fault and their LAN instance is not: half a
	// gateway would help nobody.
	d.stays("us Backup", 8*sideInterval, d.us.is("wan", "backup"))
	if list := append(since(d.wanW.adverts(us.Name), mark), since(d.lanW.adverts(us.Name), mark)...); len(list) > 0 {
		t.Errorf("we spoke while they were Active on the LAN: %v", list)
	}
	d.must(them.Link("lan0").Unplug())
	d.wait("ours to have both", d.hold(us, us))
}
