package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"time"

	"understudy/appliance/lab/pair"
)

// software makes gateways of the two machines of a pair. Others than ours are
// there to be compared with, on the same network under the same traffic.
type software interface {
	Name() string
	Available() error
	// Start starts it on a gateway that has just booted.
	Start(*pair.Gateway) error
	// Settled is a condition: active is active, and the other one is ready to
	// take over.
	Settled(p *pair.Pair, active *pair.Gateway) func(context.Context) error
}

// rivals are what [CrashOptions].Beside may name.
func rivals(interval time.Duration) []software {
	return []software{keepalived{interval: interval}}
}

// Rivals lists the names that [CrashOptions].Beside takes.
func Rivals() (names []string) {
	for _, s := range rivals(0) {
		names = append(names, s.Name())
	}
	return names
}

func rival(name string, interval time.Duration) (software, error) {
	for _, s := range rivals(interval) {
		if s.Name() == name {
			return s, s.Available()
		}
	}
	return nil, fmt.Errorf("bench: cannot compare with %q, only with %s", name, strings.Join(Rivals(), ", "))
}

// ours is the program that is being measured.
type ours struct{}

func (ours) Name() string                { return "understudy" }
func (ours) Available() error            { return nil }
func (ours) Start(g *pair.Gateway) error { return g.Start() }
func (ours) Settled(p *pair.Pair, active *pair.Gateway) func(context.Context) error {
	return p.Settled(active)
}

// keepalived is VRRP alone, with the same priorities and intervals, and a ruleset
// that translates the same. It knows nothing of sessions: established flows are
// not expected to survive.
type keepalived struct{ interval time.Duration }

func (keepalived) Name() string { return "keepalived" }

func (keepalived) Available() error {
	for _, name := range []string{"keepalived", "nft"} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("bench: %w (apt-get install keepalived nftables)", err)
		}
	}
	return nil
}

const (
	keepalivedConf = "/run/lab/keepalived.conf"
	rulesetConf    = "/run/lab/ruleset.nft"
)

func (k keepalived) Start(g *pair.Gateway) error {
	if err := g.Sysctl("ipv4/ip_forward", "1"); err != nil {
		return err
	}
	if err := g.WriteFile(rulesetConf, []byte(ruleset()), 0o644); err != nil {
		return err
	}
	priority := 200
	if g.Name != "gw1" {
		priority = 100
	}
	if err := g.WriteFile(keepalivedConf, []byte(k.config(g.Name, priority)), 0o644); err != nil {
		return err
	}
	nft, err := g.Node.Start("nft", "-f", rulesetConf)
	if err != nil {
		return err
	}
	<-nft.Done()
	if err := nft.Err(); err != nil {
		return fmt.Errorf("bench: nft on %s: %w\n%s", g.Name, err, nft.Output())
	}
	_, err = g.Node.Start("keepalived", "--vrrp", "--dont-fork", "--log-console", "--use-file", keepalivedConf,
		"--pid", "/run/keepalived.pid", "--vrrp_pid", "/run/vrrp.pid")
	return err
}

func (k keepalived) config(name string, priority int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "global_defs {\n  router_id %s\n  vrrp_version 3\n}\nvrrp_sync_group gateway {\n  group {\n    lan\n    wan\n  }\n}\n", name)
	for _, r := range []struct {
		name    string
		vrid    int
		address netip.Prefix
	}{{"lan", 51, pair.LANAddress}, {"wan", 52, pair.WANAddress}} {
		fmt.Fprintf(&b, "vrrp_instance %s {\n  state BACKUP\n  interface %s0\n  virtual_router_id %d\n  priority %d\n  advert_int %g\n  virtual_ipaddress {\n    %s dev %s0\n  }\n}\n",
			r.name, r.name, r.vrid, priority, k.interval.Seconds(), r.address, r.name)
	}
	return b.String()
}

func ruleset() string {
	wan := pair.WANAddress.Addr()
	return fmt.Sprintf(`table ip bench {
  chain pre {
    type nat hook prerouting priority dstnat
    ip daddr %[1]s tcp dport %[2]d dnat to %[3]s:%[2]d
    ip daddr %[1]s udp dport %[4]d dnat to %[3]s:%[4]d
  }
  chain post {
    type nat hook postrouting priority srcnat
    ip saddr %[5]s oifname "wan0" snat to %[1]s
  }
}
`, wan, pair.TCPPort, pair.Server, pair.UDPPort, pair.InsideNet)
}

func (keepalived) Settled(p *pair.Pair, active *pair.Gateway) func(context.Context) error {
	return func(context.Context) error {
		for _, g := range p.Gateways {
			lan, err1 := g.Link("lan0").Addrs()
			wan, err2 := g.Link("wan0").Addrs()
			if err := errors.Join(err1, err2); err != nil {
				return err
			}
			holds := slices.Contains(lan, pair.LANAddress) && slices.Contains(wan, pair.WANAddress)
			if holds != (g == active) {
				return fmt.Errorf("%s holds the addresses: %v", g.Name, holds)
			}
		}
		return nil
	}
}
