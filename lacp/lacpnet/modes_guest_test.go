//go:build guest

package lacpnet

import (
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"understudy/appliance/lab"
	"understudy/appliance/lab/guest"
	"understudy/lacp"
)

// readUntil reads an aggregate until nothing is wrong with it.
func readUntil(t *testing.T, n *lab.Node, name string, wrong func(Aggregate) string) {
	t.Helper()
	err := n.Do(func() error {
		r, err := OpenReader()
		if err != nil {
			return err
		}
		defer r.Close()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			a, ok, err := r.Read(name)
			if err != nil {
				return err
			}
			why := "there is none"
			if ok {
				why = wrong(a)
			}
			switch {
			case why == "":
				return nil
			case time.Now().After(deadline):
				return fmt.Errorf("%s: %s", name, why)
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// Every mode of the bonding driver is known, and its two links with it.
func TestGuestReadsEveryMode(t *testing.T) {
	guest.Load(t, guest.Bonding)
	for mode, want := range map[netlink.BondMode]lacp.Mode{
		netlink.BOND_MODE_BALANCE_RR: lacp.ModeBalance, netlink.BOND_MODE_BALANCE_XOR: lacp.ModeBalance, netlink.BOND_MODE_BROADCAST: lacp.ModeBalance,
		netlink.BOND_MODE_BALANCE_TLB: lacp.ModeBalance, netlink.BOND_MODE_BALANCE_ALB: lacp.ModeBalance,
		netlink.BOND_MODE_ACTIVE_BACKUP: lacp.ModeActiveBackup, netlink.BOND_MODE_802_3AD: lacp.ModeLACP,
	} {
		t.Run(mode.String(), func(t *testing.T) {
			l := lab.NewT(t)
			a, b := l.Node("a"), l.Node("b")
			cable(t, a, "eth0", b, "p0")
			cable(t, a, "eth1", b, "p1")
			makeBondOf(t, a, mode, "eth0", "eth1")
			readUntil(t, a, "bond0", func(g Aggregate) string {
				if g.Team || g.Mode != want || !g.Carrier || len(g.Members) != 2 {
					return fmt.Sprintf("%+v", g)
				}
				active := 0
				for _, m := range g.Members {
					if !m.Carrier || m.MII != lacp.MIIUp || m.HasStates != (want == lacp.ModeLACP) {
						return fmt.Sprintf("%+v", m)
					}
					if m.Active {
						active++
					}
				}
				if want == lacp.ModeActiveBackup && (active != 1 || g.ActiveSlave == "") || want == lacp.ModeBalance && active != 2 {
					return fmt.Sprintf("%d are active, it says %q", active, g.ActiveSlave)
				}
				return ""
			})
		})
	}
}

// Every runner of teamd is known. LACP is not: the kernel does not have it, see doc.go.
func TestGuestReadsEveryTeam(t *testing.T) {
	guest.Load(t, guest.Team)
	for runner, want := range map[string]lacp.Mode{
		"activebackup": lacp.ModeActiveBackup, "roundrobin": lacp.ModeBalance, "broadcast": lacp.ModeBalance,
		"random": lacp.ModeBalance, "loadbalance": lacp.ModeBalance,
	} {
		t.Run(runner, func(t *testing.T) {
			l := lab.NewT(t)
			a, b := l.Node("a"), l.Node("b")
			cable(t, a, "eth0", b, "p0")
			cable(t, a, "eth1", b, "p1")
			for _, name := range []string{"eth0", "eth1"} {
				down(t, a, name)
			}
			p, err := a.StartWith(exec.Command("teamd", "-c",
				fmt.Sprintf(`{"device": "team0", "runner": {"name": %q}, "link_watch": {"name": "ethtool"}, "ports": {"eth0": {}, "eth1": {}}}`, runner)))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = p.Stop(10 * time.Second)
				if t.Failed() {
					t.Logf("teamd said:\n%s", p.Output())
				}
			})
			readUntil(t, a, "team0", func(g Aggregate) string {
				if !g.Team || g.Mode != want || len(g.Members) != 2 {
					return fmt.Sprintf("%+v", g)
				}
				for _, m := range g.Members {
					if !m.Carrier || m.MII != lacp.MIIUp || want == lacp.ModeBalance && !m.Active {
						return fmt.Sprintf("%+v", m)
					}
				}
				if want == lacp.ModeActiveBackup && g.ActiveSlave == "" {
					return "it has no active port"
				}
				return ""
			})
		})
	}
}
