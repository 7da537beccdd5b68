package garp

import (
	"fmt"
	"net/netip"
)

// Claim is one thing to announce: the station MAC on Interface answers for
// Addr. A zero MAC means the interface's own address, whatever it is at the
// time of sending.
type Claim struct {
	Interface string
	Addr      netip.Addr
	MAC       MAC
}

// String returns the claim for a log line, as "10.0.0.1 at lan0".
func (c Claim) String() string {
	if c.MAC.IsZero() {
		return fmt.Sprintf("%s at %s", c.Addr, c.Interface)
	}
	return fmt.Sprintf("%s at %s (%s)", c.Addr, c.Interface, c.MAC)
}

// claimKey is what makes two claims the same one: a changed MAC is news about
// the same address.
type claimKey struct {
	iface string
	addr  netip.Addr
}

func (c Claim) key() claimKey { return claimKey{c.Interface, c.Addr} }
