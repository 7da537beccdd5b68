//go:build guest

package bonds

import (
	"fmt"
	"testing"

	"github.com/vishvananda/netlink"

	"understudy/appliance"
	"understudy/lacp"
)

// A bond against a switch of ours, at both rates: it comes up, the gateway serves at
// its full priority, and everything is known of both ends.
func TestGuestAggregationComesUp(t *testing.T) {
	t.Parallel()
	for _, fast := range []bool{true, false} {
		t.Run(fmt.Sprintf("fast=%v", fast), func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			rate := netlink.BOND_LACP_RATE_SLOW
			if fast {
				rate = netlink.BOND_LACP_RATE_FAST
			}
			s.bond(s.gw, netlink.BOND_MODE_802_3AD, rate, members...)
			a, _ := s.speaker("p0", 1, fast)
			s.speaker("p1", 2, fast)
			s.start("bond:bond0:-20", `name = "bond0"`)
			s.until("the bond", all(bondIs("ok"), role("active"), func(st appliance.Status) error {
				b := st.Bonds[0]
				if b.Mode != "lacp" || b.Carrying != 2 || len(b.Members) != 2 {
					return fmt.Errorf("%+v", b)
				}
				for _, m := range b.Members {
					if m.PartnerSystem != system.String() || !m.Synchronized || m.Receive != "current" || m.Received == 0 || m.Sent == 0 {
						return fmt.Errorf("%+v", m)
					}
				}
				return nil
			}))
			s.advertised(200)
			a.Look(func(a *lacp.Actor) {
				// The other end agrees, and asks for the rate that it was told to.
				if p := a.Port(0); !p.Carries() || p.Partner.State.Has(lacp.Timeout) != fast || p.Actor.State.Has(lacp.Timeout) != fast {
					t.Errorf("%+v", p)
				}
			})
		})
	}
}

// up is a bond that has come up, and a gateway that tracks it with a weight.
func (s *scene) up(bond string) (stop func()) {
	s.t.Helper()
	s.bond(s.gw, netlink.BOND_MODE_802_3AD, netlink.BOND_LACP_RATE_FAST, members...)
	s.speaker("p0", 1, true)
	_, stop = s.speaker("p1", 2, true)
	s.start("bond:bond0:-20", bond)
	s.until("the bond", all(bondIs("ok"), role("active")))
	s.advertised(200)
	return stop
}

// A member that is pulled weighs, and weighs no more when it is back.
func TestGuestMemberPulled(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.up(`name = "bond0"`)
	s.pull("p1")
	s.until("the finding", all(found("link_down", "eth1"), bondIs("degraded")))
	s.advertised(180)
	s.plug("p1")
	s.until("the end of it", all(notFound("link_down"), bondIs("ok")))
	s.advertised(200)
}

// A partner that falls silent expires, and some seconds later it is given up; the link
// is up all the time.
func TestGuestPartnerSilent(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	stop := s.up("name = \"bond0\"\nfail_on = \"min_links\"")
	stop()
	s.until("expired", found("expired", "eth1"))
	s.advertised(180)
	s.until("defaulted", all(found("defaulted", "eth1"), notFound("expired", "link_down")))
	s.speaker("p1", 2, true)
	s.until("the end of it", all(notFound("expired", "defaulted"), bondIs("ok")))
	s.advertised(200)
}

// A cable in another switch.
func TestGuestMemberRecabled(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	stop := s.up(`name = "bond0"`)
	stop()
	other, _ := s.speaker("p1", 1, true)
	other.Reconfigure(func(c *lacp.ActorConfig) { c.System = otherSystem })
	s.until("the finding", all(found("different_partner_system", "eth1"), func(st appliance.Status) error {
		if st.Bonds[0].Members[1].PartnerSystem != otherSystem.String() {
			return fmt.Errorf("%+v", st.Bonds[0].Members[1])
		}
		return nil
	}))
	s.advertised(180)
	other.Reconfigure(func(c *lacp.ActorConfig) { c.System = system })
	s.until("the end of it", notFound("different_partner_system"))
	s.advertised(200)
}

// The far end's port is in another of its aggregates.
func TestGuestKeyChanged(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	stop := s.up(`name = "bond0"`)
	stop()
	other, _ := s.speaker("p1", 2, true)
	other.Reconfigure(func(c *lacp.ActorConfig) { c.Ports[0].Key = 99 })
	s.until("the finding", found("different_partner_key", "eth1"))
	s.advertised(180)
	other.Reconfigure(func(c *lacp.ActorConfig) { c.Ports[0].Key = 17 })
	s.until("the end of it", all(notFound("different_partner_key", "aggregator_split"), bondIs("ok")))
	s.advertised(200)
}

// The gateway is not heard, and hears: what the far end says tells it. Not for long: a
// far end that has given us up speaks each 30 s only, so we give it up in between.
func TestGuestOneWayLink(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.up("name = \"bond0\"\nfail_on = \"min_links\"")
	s.silence(s.gw, "eth1")
	s.until("the finding", func(st appliance.Status) error {
		if err := found("partner_expired", "eth1")(st); err == nil {
			return nil
		}
		return found("partner_defaulted", "eth1")(st)
	})
	s.advertised(180)
	s.hear(s.gw, "eth1")
	s.until("the end of it", all(notFound("partner_expired", "partner_defaulted", "expired", "defaulted"), bondIs("ok")))
	s.advertised(200)
}

// Fewer than min_links: without a weight that is a fault, and the gateway lets go; it
// serves again when they are back.
func TestGuestMinLinksBroken(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.bond(s.gw, netlink.BOND_MODE_802_3AD, netlink.BOND_LACP_RATE_FAST, members...)
	s.speaker("p0", 1, true)
	s.speaker("p1", 2, true)
	s.start("bond0", "name = \"bond0\"\nmin_links = 2\nweight_per_member = -20")
	s.until("the bond", all(bondIs("ok"), role("active")))
	s.advertised(200)
	s.pull("p1")
	s.until("the fault", all(role("fault"), found("below_min_links", ""), bondIs("failed")))
	s.plug("p1")
	s.until("the end of it", all(role("active"), notFound("below_min_links"), bondIs("ok")))
	s.advertised(200)
}

// The same machine's driver at the other end.
func TestGuestAgainstAKernelBond(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.bond(s.gw, netlink.BOND_MODE_802_3AD, netlink.BOND_LACP_RATE_FAST, members...)
	s.bond(s.sw, netlink.BOND_MODE_802_3AD, netlink.BOND_LACP_RATE_FAST, ports...)
	s.start("bond:bond0:-20", `name = "bond0"`)
	s.until("the bond", all(bondIs("ok"), role("active")))
	s.advertised(200)
	// Its bond loses a member by the administrator's hand: the port stays up, and is
	// silent.
	s.link(s.sw, "p1", (*netlink.Handle).LinkSetNoMaster)
	s.plug("p1")
	s.until("the finding", found("defaulted", "eth1"))
	s.advertised(180)
	s.enslave(s.sw, "bond0", "p1")
	s.until("the end of it", all(notFound("defaulted", "expired"), bondIs("ok")))
	s.advertised(200)
}
