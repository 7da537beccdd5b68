package nft

import (
	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
)

// MarkPort has rules of an operator's mark what goes to a TCP port.
func MarkPort(c *nftables.Conn, to uint16, mark uint32) error {
	table := c.AddTable(&nftables.Table{Name: "operator", Family: nftables.TableFamilyINet})
	priority := nftables.ChainPriority(-150)
	ch := c.AddChain(&nftables.Chain{Name: "marks", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting, Priority: &priority})
	c.AddRule(&nftables.Rule{Table: table, Chain: ch, Exprs: append(protocol(protoTCP), dport(0), equal(0, bigEndian(to)...),
		&expr.Immediate{Register: word(0), Data: binaryutil.NativeEndian.PutUint32(mark)},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: word(0)})})
	return c.Flush()
}
