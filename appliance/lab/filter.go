package lab

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// filterTable is where the lab drops packets: one table an interface, beside
// whatever the machine itself does with nftables.
func (l *Link) filterTable() *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyNetdev, Name: "lab-" + l.Name}
}

// Deafen drops what comes in of an IP protocol, before anybody on the machine can
// see it, and lets everything else through: what a switch that loses multicast,
// or a filter, does. [Link.Undeafen] ends it.
func (l *Link) Deafen(protocol uint8) error {
	return l.filter(func(c *nftables.Conn) {
		t := c.AddTable(l.filterTable())
		chain := c.AddChain(&nftables.Chain{Name: "in", Table: t, Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookIngress, Priority: nftables.ChainPriorityFilter, Device: l.Name})
		for _, family := range []struct {
			ethertype []byte
			offset    uint32
		}{{[]byte{0x08, 0x00}, 9}, {[]byte{0x86, 0xdd}, 6}} {
			c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: []expr.Any{
				&expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: 1},
				&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: family.ethertype},
				&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: family.offset, Len: 1},
				&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{protocol}},
				&expr.Verdict{Kind: expr.VerdictDrop},
			}})
		}
	})
}

// Undeafen ends [Link.Deafen].
func (l *Link) Undeafen() error {
	return l.filter(func(c *nftables.Conn) { c.DelTable(l.filterTable()) })
}

func (l *Link) filter(change func(*nftables.Conn)) error {
	err := l.node.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		change(c)
		return c.Flush()
	})
	if err != nil {
		return fmt.Errorf("lab: %s %s: filter: %w", l.node.Name, l.Name, err)
	}
	return nil
}
