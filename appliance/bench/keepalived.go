package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"time"

	"understudy/appliance/lab"
	"understudy/appliance/lab/pair"
)

// keepalived is VRRP alone, with the same priorities and intervals, and a ruleset
// that translates the same. It knows nothing of sessions: established flows are
// not expected to survive.
type keepalived struct {
	interval time.Duration
	virtual  bool                      // use_vmac
	globals  string                    // lines for its global_defs
	out      func(*lab.Node) io.Writer // gets what it writes, too; may be nil
}

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

func (k keepalived) Start(g *pair.Gateway) (*lab.Process, error) {
	if err := g.Sysctl("ipv4/ip_forward", "1"); err != nil {
		return nil, err
	}
	if err := g.WriteFile(rulesetConf, []byte(ruleset()), 0o644); err != nil {
		return nil, err
	}
	nft, err := g.Node.Start("nft", "-f", rulesetConf)
	if err != nil {
		return nil, err
	}
	<-nft.Done()
	if err := nft.Err(); err != nil {
		return nil, fmt.Errorf("bench: nft on %s: %w\n%s", g.Name, err, nft.Output())
	}
	s := ofPair(g, k.interval, k.virtual)
	s.theirGlobals = k.globals
	return k.run(g.Node, s)
}

// run starts it on a node.
func (k keepalived) run(n *lab.Node, s setup) (*lab.Process, error) {
	if err := n.WriteFile(keepalivedConf, []byte(s.keepalived()), 0o644); err != nil {
		return nil, err
	}
	cmd := exec.Command("keepalived", "--vrrp", "--dont-fork", "--log-console", "--use-file", keepalivedConf,
		"--pid", "/run/keepalived.pid", "--vrrp_pid", "/run/vrrp.pid")
	if k.out != nil {
		cmd.Stdout = k.out(n)
	}
	return n.StartWith(cmd)
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
			lan, err1 := has(g.Node, pair.LANAddress.Addr())
			wan, err2 := has(g.Node, pair.WANAddress.Addr())
			if err := errors.Join(err1, err2); err != nil {
				return err
			}
			if holds := lan && wan; holds != (g == active) {
				return fmt.Errorf("%s holds the addresses: %v", g.Name, holds)
			}
		}
		return nil
	}
}

// has tells whether a node's kernel has an address, on whatever interface.
func has(n *lab.Node, a netip.Addr) (bool, error) {
	all, err := addressesOf(n)
	return all[a], err
}
