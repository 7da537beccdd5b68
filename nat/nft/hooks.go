package nft

import (
	"fmt"

	"github.com/google/nftables"
)

// NATHooks tells for which families a chain translates both ways, whoever's: without
// one the kernel accepts a translated flow from outside and does not translate it.
func (a *Applier) NATHooks() (ipv4, ipv6 bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := a.link.conn()
	if err != nil {
		return false, false, fmt.Errorf("nft: read NAT chains: %w", err)
	}
	chains, err := c.ListChains()
	if err != nil {
		return false, false, fmt.Errorf("nft: read NAT chains: %w", err)
	}
	for _, ch := range chains {
		// One chain of a family has the kernel hook all four places.
		if ch.Type != nftables.ChainTypeNAT || ch.Hooknum == nil {
			continue
		}
		f := ch.Table.Family
		ipv4 = ipv4 || f == nftables.TableFamilyIPv4 || f == nftables.TableFamilyINet
		ipv6 = ipv6 || f == nftables.TableFamilyIPv6 || f == nftables.TableFamilyINet
	}
	return ipv4, ipv6, nil
}
