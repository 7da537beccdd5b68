//go:build guest

package bonds

import (
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"understudy/appliance"
	"understudy/appliance/lab"
	"understudy/appliance/lab/guest"
)

// team runs teamd on a node.
func (s *scene) team(n *lab.Node, name, runner string, links ...string) {
	s.t.Helper()
	for _, l := range links {
		s.link(n, l, (*netlink.Handle).LinkSetDown) // teamd takes none that is up
	}
	ports := ""
	for i, l := range links {
		if i > 0 {
			ports += ", "
		}
		ports += fmt.Sprintf("%q: {}", l)
	}
	conf := fmt.Sprintf(`{"device": %q, "runner": %s, "link_watch": {"name": "ethtool"}, "ports": {%s}}`, name, runner, ports)
	p, err := n.StartWith(exec.Command("teamd", "-c", conf))
	s.must(err)
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("teamd on %s said:\n%s", n.Name, p.Output())
		}
		_ = p.Stop(10 * time.Second) // it may have gone with its node
	})
	deadline := time.Now().Add(patience)
	for {
		l, err := n.Netlink().LinkByName(name)
		if err == nil {
			s.must(n.Netlink().LinkSetUp(l))
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("teamd made no %s: %v\n%s", name, err, p.Output())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

const lacpRunner = `{"name": "lacp", "active": true, "fast_rate": true}`

// teamd at the other end of a bond: pulled, and silent when it dies.
func TestGuestAgainstTeamd(t *testing.T) {
	t.Parallel()
	guest.Load(t, guest.Team)
	s := newScene(t)
	s.bond(s.gw, netlink.BOND_MODE_802_3AD, netlink.BOND_LACP_RATE_FAST, members...)
	s.team(s.sw, "team0", lacpRunner, ports...)
	s.start("bond:bond0:-20", `name = "bond0"`)
	s.until("the bond", all(bondIs("ok"), role("active")))
	s.advertised(200)
	s.pull("p1")
	s.until("the finding", found("link_down", "eth1"))
	s.advertised(180)
	s.plug("p1")
	s.until("the end of it", all(notFound("link_down"), bondIs("ok")))
	s.advertised(200)
}

// The gateway's own aggregate is a team: LACP is seen on the wire.
func TestGuestOwnTeam(t *testing.T) {
	t.Parallel()
	guest.Load(t, guest.Team)
	s := newScene(t)
	s.team(s.gw, "team0", lacpRunner, members...)
	s.speaker("p0", 1, true)
	_, stop := s.speaker("p1", 2, true)
	s.start("bond:team0:-20", "name = \"team0\"\nfail_on = \"min_links\"")
	s.until("the team", all(bondIs("ok"), role("active"), func(st appliance.Status) error {
		if b := st.Bonds[0]; b.Mode != "lacp" || b.Members[0].PartnerSystem != system.String() {
			return fmt.Errorf("%+v", b)
		}
		return nil
	}))
	s.advertised(200)
	stop()
	s.until("the finding", found("expired", "eth1"))
	s.advertised(180)
	s.speaker("p1", 2, true)
	s.until("the end of it", all(notFound("expired", "defaulted"), bondIs("ok")))
	s.advertised(200)
}

// Modes without LACP are watched too.
func TestGuestWithoutLACP(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]netlink.BondMode{"active-backup": netlink.BOND_MODE_ACTIVE_BACKUP, "balance": netlink.BOND_MODE_BALANCE_XOR} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.bond(s.gw, mode, netlink.BOND_LACP_RATE_SLOW, members...)
			s.start("bond:bond0:-20", `name = "bond0"`)
			s.until("the bond", all(bondIs("ok"), role("active"), func(st appliance.Status) error {
				if b := st.Bonds[0]; b.Mode != name || b.Carrying != 2 {
					return fmt.Errorf("%+v", b)
				}
				return nil
			}))
			s.advertised(200)
			s.pull("p0")
			s.until("the finding", found("link_down", "eth0"))
			s.advertised(180)
			s.plug("p0")
			s.until("the end of it", all(notFound("link_down"), bondIs("ok")))
			s.advertised(200)
		})
	}
}

// An activebackup team, which the driver alone describes.
func TestGuestTeamActiveBackup(t *testing.T) {
	t.Parallel()
	guest.Load(t, guest.Team)
	s := newScene(t)
	s.team(s.gw, "team0", `{"name": "activebackup"}`, members...)
	s.start("team0", "name = \"team0\"\nmin_links = 1\nweight_per_member = -20")
	s.until("the team", all(bondIs("ok"), role("active")))
	s.advertised(200)
	s.pull("p0")
	s.until("the finding", found("link_down", "eth0"))
	s.advertised(180)
	s.pull("p1")
	s.until("the fault", all(role("fault"), bondIs("failed")))
	s.plug("p0")
	s.plug("p1")
	s.until("the end of it", all(role("active"), bondIs("ok")))
	s.advertised(200)
}
