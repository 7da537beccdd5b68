package entry

import (
	"fmt"
	"strconv"
	"strings"
)

// Tunnel is what packets are put into for their way to a server, which takes them out. The
// zero value: nothing.
type Tunnel struct {
	Kind TunnelKind
	Port uint16 // of GUE alone: UDP port that servers hear it on
}

// TunnelKind is a way to put a packet into another.
type TunnelKind string

// The ways.
const (
	IPIP TunnelKind = "ipip" // RFC 2003; in IPv6 RFC 2473
	GRE  TunnelKind = "gre"  // RFC 2784
	GUE  TunnelKind = "gue"  // draft-ietf-intarea-gue, variant 0
)

// ParseTunnel reads "ipip", "gre" or "gue:PORT".
func ParseTunnel(s string) (Tunnel, error) {
	kind, port, has := strings.Cut(s, ":")
	switch t := (Tunnel{Kind: TunnelKind(kind)}); {
	case (t.Kind == IPIP || t.Kind == GRE) && !has:
		return t, nil
	case t.Kind == GUE:
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return Tunnel{}, fmt.Errorf("%q has no UDP port", s)
		}
		t.Port = uint16(n)
		return t, nil
	}
	return Tunnel{}, fmt.Errorf("%q is no tunnel", s)
}

// String is the tunnel as the file spells it; "" is none.
func (t Tunnel) String() string {
	if t.Kind == GUE {
		return fmt.Sprintf("%s:%d", t.Kind, t.Port)
	}
	return string(t.Kind)
}

// Forward is how packets get to servers, as the file spells it: "nat", "direct" or "tunnel".
func (c *Config) Forward() string {
	switch {
	case c.Tunnel != Tunnel{}:
		return "tunnel"
	case c.Direct:
		return "direct"
	}
	return "nat"
}

// ByMAC tells whether servers have to have one that the gateway can find out.
func (c *Config) ByMAC() bool { return c.Direct && c.Tunnel == Tunnel{} }
