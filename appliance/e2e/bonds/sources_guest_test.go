//go:build guest

package bonds

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance"
)

// separate makes ports of the switch that know nothing of each other.
func (s *scene) separate() {
	s.t.Helper()
	s.enslave(s.sw, "core", names(port, s.links)...)
}

// withBond makes the gateway's aggregate a bond without LACP.
func (s *scene) withBond(mode netlink.BondMode, set func(*netlink.Bond)) {
	s.t.Helper()
	s.bond(s.gw.Node, s.gw.uplink, mode, set)
	s.enslave(s.gw.Node, s.gw.uplink, names(eth, s.links)...)
	s.address(s.gw.Node, s.gw.uplink, "10.9.0.2/24")
}

// withTeam makes it a team.
func (s *scene) withTeam(runner string) {
	s.t.Helper()
	all := names(eth, s.links)
	s.team(s.gw.Node, s.gw.uplink, teamConfig(s.gw.uplink, own, runner, 0, all...), all...)
	s.address(s.gw.Node, s.gw.uplink, "10.9.0.2/24")
}

// Every other kind of aggregate: its state is known, a link that is lost is found and
// weighs, the traffic goes by the other one, and all of it passes. After it an
// aggregate of which one link carries stays with the one that it has.
func TestGuestOtherAggregates(t *testing.T) {
	t.Parallel()
	both, first, second := []string{"p0", "p1"}, []string{"p0"}, []string{"p1"}
	hashed := `"tx_hash": ["ipv4", "l4"]`
	broken := trouble{"dead", func(s *scene, i int) { s.cut(s.sw, port(i), unix.ETH_P_ALL) }, func(s *scene, i int) { s.mend(s.sw, port(i)) },
		[]sign{{"link_down", "carrier, and the driver's monitor says down"}}}
	for _, tt := range []struct {
		name, uplink, mode string
		make               func(*scene)
		trouble            trouble
		before, after      []string // the switch's ports by which traffic comes
	}{
		{"bond active-backup", "bond0", "active-backup", func(s *scene) { s.separate(); s.withBond(netlink.BOND_MODE_ACTIVE_BACKUP, nil) }, pulled, first, second},
		{"bond active-backup watched by ARP", "bond0", "active-backup", func(s *scene) {
			s.separate()
			s.withBond(netlink.BOND_MODE_ACTIVE_BACKUP, func(b *netlink.Bond) {
				b.Miimon, b.ArpInterval, b.ArpIpTargets = -1, 500, []net.IP{net.ParseIP(server)}
			})
		}, broken, first, second},
		{"bond balance-xor", "bond0", "balance", func(s *scene) { s.static(); s.withBond(netlink.BOND_MODE_BALANCE_XOR, nil) }, pulled, both, both},
		{"bond balance-rr", "bond0", "balance", func(s *scene) { s.static(); s.withBond(netlink.BOND_MODE_BALANCE_RR, nil) }, pulled, both, both},
		{"team activebackup", "team0", "active-backup", func(s *scene) { s.separate(); s.withTeam(`{"name": "activebackup"}`) }, pulled, first, second},
		{"team loadbalance", "team0", "balance", func(s *scene) { s.static(); s.withTeam(`{"name": "loadbalance", ` + hashed + `}`) }, pulled, both, both},
		{"team roundrobin", "team0", "balance", func(s *scene) { s.static(); s.withTeam(`{"name": "roundrobin"}`) }, pulled, both, both},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, 2, tt.uplink)
			tt.make(s)
			s.start(s.gw.weigh(-1))
			since := time.Now()
			s.until("the aggregate", aggregate("ok", 2), weighs(priority), clean, func(st appliance.Status) error {
				if got := st.Bonds[0].Mode; got != tt.mode {
					return fmt.Errorf("its mode is %s", got)
				}
				return nil
			})
			s.serves(priority, since, tt.before)
			since = time.Now()
			tt.trouble.begin(s, 0)
			s.signs(since, []hit{{tt.trouble, 0}})
			s.until("the loss to weigh", weighs(priority-1), aggregate("degraded", 1))
			s.serves(priority-1, since, second)
			since = time.Now()
			tt.trouble.end(s, 0)
			s.until("the end of it", weighs(priority), clean, aggregate("ok", 2))
			s.serves(priority, since, tt.after)
			// The last one is a fault.
			s.reload(tracks{s.gw.uplink, "min_links = 1\n"})
			pulled.begin(s, 0)
			pulled.begin(s, 1)
			s.until("the fault", role("fault"), aggregate("failed", 0))
			s.untilOf(s.gw2, "the other gateway to serve", role("active"))
			s.net.passes("gw2", "w0")
			since = time.Now()
			pulled.end(s, 0)
			pulled.end(s, 1)
			s.until("the end of it", role("active"), weighs(priority), clean)
			s.net.advertised("gw", priority, priority, since)
			s.net.passesBy("gw", fmt.Sprintf("by %d of them", len(tt.after)), func(ports []string) bool {
				return len(ports) == len(tt.after) && strings.HasPrefix(ports[0], "p")
			})
		})
	}
}

// The gateway's own aggregate is a team with LACP, which is seen on the wire alone.
func TestGuestOwnTeam(t *testing.T) {
	t.Parallel()
	s := newScene(t, 2, "team0")
	s.withTeam(`{"name": "lacp", "active": true, "fast_rate": true, "tx_hash": ["ipv4", "l4"]}`)
	s.ours(true)
	s.start(s.gw.weigh(-20))
	s.step("comes up", func() { s.comesUp(system, true) })
	for _, tr := range []trouble{pulled, recabled, rekeyed, silent} {
		s.step(tr.name, func() { s.strike(-20, hit{tr, 1}) })
	}
}
