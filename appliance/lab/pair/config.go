package pair

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
)

// Where a gateway's files are, inside it.
const (
	configPath = "/run/lab/understudy.toml"
	secretPath = "/run/lab/secret"
	socketPath = "/run/understudy/control.sock"
	journalDir = "/run/lab/sessions"
)

// Config returns the configuration file of the gateway.
func (g *Gateway) Config() string {
	opt := g.pair.opt
	var b strings.Builder
	fmt.Fprintf(&b, "node = %q\n%s", g.Name, opt.Top)
	for _, r := range []struct {
		name, iface       string
		address, address6 netip.Prefix
		vrid              int
	}{
		{"lan", "lan0", LANAddress, LANAddress6, 51},
		{"wan", "wan0", WANAddress, WANAddress6, 52},
	} {
		addresses := fmt.Sprintf("%q", r.address)
		if opt.IPv6 {
			addresses += fmt.Sprintf(", %q, %q", r.address6, LinkLocal)
		}
		if opt.mirrors() && r.name == "wan" {
			addresses += fmt.Sprintf(", %q", ServerAddress)
		}
		fmt.Fprintf(&b, "\n[[router]]\nname = %q\ninterface = %q\nvrid = %d\npriority = %d\nadvertise = %q\naddresses = [%s]\n",
			r.name, r.iface, r.vrid, opt.Priorities[g.index], opt.Interval.String(), addresses)
		if opt.Unicast {
			peer := r.address.Addr().Next() // gw1, then gw2
			for range g.pair.Other(g).index {
				peer = peer.Next()
			}
			fmt.Fprintf(&b, "unicast = [%q]\n", peer)
		}
		if opt.RouterKeys != "" {
			b.WriteString(strings.TrimSpace(opt.RouterKeys) + "\n")
		}
	}
	fmt.Fprintf(&b, "\n[[group]]\nname = %q\nrouters = [\"lan\", \"wan\"]\n", Group)
	if !opt.NoNAT {
		wan := WANAddress.Addr()
		fmt.Fprintf(&b, "\n[nat]\nsource = [%s]\nforward = [\n", strings.Join(opt.sources(), ", "))
		for _, f := range []struct {
			name, proto string
			port        int
		}{{"tcp", "tcp", TCPPort}, {"udp", "udp", UDPPort}} {
			fmt.Fprintf(&b, "  { name = %q, address = \"%s:%d/%s\", to = \"%s:%d\" },\n", f.name, wan, f.port, f.proto, Server, f.port)
		}
		b.WriteString("]\n")
	}
	if !opt.NoSessions {
		peer := g.pair.Other(g)
		fmt.Fprintf(&b, "\n[sessions]\nlisten = \"10.255.0.%d:7788\"\npeers = [{ name = %q, address = \"10.255.0.%d:7788\" }]\nsecret_file = %q\nmode = %q\n",
			g.index+1, peer.Name, peer.index+1, secretPath, opt.Mode)
		if opt.mirrors() {
			fmt.Fprintf(&b, "mirror = %q\n", MirrorLink)
		}
		fmt.Fprintf(&b, "journal_dir = %q\n", g.JournalDir())
		if opt.Journal != "" {
			fmt.Fprintf(&b, "journal = %q\n", opt.Journal)
		}
		if opt.SessionKeys != "" {
			b.WriteString(strings.TrimSpace(opt.SessionKeys) + "\n")
		}
	}
	if extra := opt.Extra + opt.Alone[g.index]; extra != "" {
		b.WriteString("\n" + strings.TrimSpace(extra) + "\n")
	}
	return b.String()
}

// sources are the elements of nat.source: all hosts share the address of the WAN, or, where
// both gateways must translate alike without asking, each has one for itself.
func (o *Options) sources() (all []string) {
	one := func(from netip.Prefix, to netip.Addr) {
		all = append(all, fmt.Sprintf("{ from = %q, out = \"wan0\", to = %q }", from, to))
	}
	if !o.mirrors() {
		one(InsideNet, WANAddress.Addr())
		return all
	}
	one(netip.PrefixFrom(InsideHost, 32), WANAddress.Addr())
	one(netip.PrefixFrom(Server, 32), ServerAddress.Addr())
	return all
}

// JournalDir is where the gateway writes its sessions.
func (g *Gateway) JournalDir() string {
	if d := g.pair.opt.Disk; d != "" {
		return filepath.Join(d, g.Name)
	}
	return journalDir
}
