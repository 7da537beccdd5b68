package pair

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"understudy/appliance/lab/probe"
)

// What [Gateway.MoreConfig] adds: an address, a forward of it, and one of the address that
// was there to a host that was no server before.
var (
	MoreAddress = netip.MustParsePrefix("203.0.113.9/24")
	MoreForward = Forward{netip.AddrPortFrom(MoreAddress.Addr(), 8090), netip.AddrPortFrom(Server, 8090)}
	MoreHost    = Forward{netip.AddrPortFrom(WANAddress.Addr(), 8091), netip.AddrPortFrom(InsideHost, 8091)}
)

// Forward is a port that leads inside.
type Forward struct{ Public, Server netip.AddrPort }

// MoreConfig is [Gateway.Config] with an address and two forwards added.
func (g *Gateway) MoreConfig() string {
	c := strings.Replace(g.Config(), fmt.Sprintf("addresses = [%q]", WANAddress), fmt.Sprintf("addresses = [%q, %q]", WANAddress, MoreAddress), 1)
	return strings.Replace(c, "forward = [\n", fmt.Sprintf(`forward = [
  { name = "more", address = "%s/tcp", to = %q },
  { name = "host", address = "%s/tcp", to = %q },
`, MoreForward.Public, MoreForward.Server, MoreHost.Public, MoreHost.Server), 1)
}

// SetConfig replaces the gateway's file; it is read when the program is asked to.
func (g *Gateway) SetConfig(text string) error {
	return g.WriteFile(configPath, []byte(text), 0o644)
}

// Through opens connections from the outside through a forward.
func (p *Pair) Through(ctx context.Context, f Forward, count int) (*probe.Conns, error) {
	c, err := probe.StartConns(ctx, probe.ConnsOptions{Client: p.Outside, Server: p.Inside, Listen: f.Server, Target: f.Public, Count: count})
	if err != nil {
		return nil, fmt.Errorf("pair: connections to %s: %w", f.Public, err)
	}
	return c, nil
}
