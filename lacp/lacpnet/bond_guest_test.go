//go:build guest

package lacpnet

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"understudy/appliance/lab"
	"understudy/appliance/lab/guest"
	"understudy/lacp"
)

// makeBond makes bond0 of the links, in LACP's mode at the fast rate.
func makeBond(t *testing.T, n *lab.Node, links ...string) {
	t.Helper()
	makeBondOf(t, n, netlink.BOND_MODE_802_3AD, links...)
}

// makeBondOf makes it in any mode.
func makeBondOf(t *testing.T, n *lab.Node, mode netlink.BondMode, links ...string) {
	t.Helper()
	b := netlink.NewLinkBond(netlink.LinkAttrs{Name: "bond0"})
	b.Mode, b.Miimon = mode, 100
	if mode == netlink.BOND_MODE_802_3AD {
		b.LacpRate, b.MinLinks = netlink.BOND_LACP_RATE_FAST, 1
	}
	if err := n.Netlink().LinkAdd(b); err != nil {
		t.Fatal(err)
	}
	for _, name := range links {
		down(t, n, name)
		set(t, n, name, func(l netlink.Link) error {
			m, err := n.Netlink().LinkByName("bond0")
			if err != nil {
				return err
			}
			return n.Netlink().LinkSetMaster(l, m)
		})
		up(t, n, name)
	}
	up(t, n, "bond0")
}

// What the driver knows is read whole: of netlink the states, of the text file who
// the ends are; and a frame is seen in either direction, its own only as long as its
// own is of interest.
func TestGuestWatchesABond(t *testing.T) {
	guest.Load(t, guest.Bonding)
	l := lab.NewT(t)
	a, b := l.Node("a"), l.Node("b")
	cable(t, a, "eth0", b, "p0")
	cable(t, a, "eth1", b, "p1")
	makeBond(t, a, "eth0", "eth1")
	makeBond(t, b, "p0", "p1")
	far, err := b.Netlink().LinkByName("bond0")
	if err != nil {
		t.Fatal(err)
	}
	w := NewWatcher(slog.New(slog.DiscardHandler), "bond0")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var seen lacp.Bond
	in, out := map[string]int{}, map[string]int{}
	whole := false
	after := func() int { return in["eth0"] + in["eth1"] }
	err = a.Do(func() error {
		return w.Run(ctx, func(e Event) time.Time {
			switch e.Kind {
			case Seen:
				seen = *e.Seen
				seen.Members = append([]lacp.Member(nil), e.Seen.Members...)
				if !whole && wrong(seen, lacp.MAC(far.Attrs().HardwareAddr)) == "" && out["eth0"] > 0 && out["eth1"] > 0 {
					whole, in, out = true, map[string]int{}, map[string]int{}
				}
			case Heard:
				if e.Frame.Outgoing {
					out[e.Member]++
				} else {
					in[e.Member]++
				}
				if whole && after() >= 12 {
					cancel()
				}
			case Gone:
				t.Error("gone")
				cancel()
			}
			return time.Time{}
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if why := wrong(seen, lacp.MAC(far.Attrs().HardwareAddr)); why != "" || !whole || after() < 12 {
		t.Fatalf("%s\nframes in %v, out %v, after it was whole: %v\n%+v", why, in, out, whole, seen)
	}
	if own := out["eth0"] + out["eth1"]; own > after()/2 {
		t.Errorf("%d of our own PDUs were looked at while %d came in", own, after())
	}
	for _, name := range []string{"eth0", "eth1"} {
		link, err := a.Netlink().LinkByName(name)
		if err != nil || link.Attrs().Promisc != 0 {
			t.Errorf("%s is promiscuous: %v", name, err)
		}
	}
}

// wrong says what is missing of a bond that has aggregated with that system.
func wrong(b lacp.Bond, system lacp.MAC) string {
	if b.Mode != lacp.ModeLACP || !b.Carrier || b.Rate != lacp.RateFast || b.MinLinks != 1 || b.PartnerMAC != system || b.Aggregator == 0 || len(b.Members) != 2 {
		return fmt.Sprintf("the bond is not right: %+v", b)
	}
	const up = lacp.Activity | lacp.Timeout | lacp.Aggregation | lacp.Synchronization | lacp.Collecting | lacp.Distributing
	for _, m := range b.Members {
		if !m.Carrier || m.MII != lacp.MIIUp || !m.Active || m.Aggregator != b.Aggregator || !m.HasStates || !m.HasIdentities ||
			m.Actor.State != up || m.Partner.State != up || m.Actor.System != b.System || m.Partner.System != system || m.Partner.Port == 0 || m.Speed == 0 {
			return fmt.Sprintf("%s is not right: %+v", m.Interface, m)
		}
	}
	return ""
}
