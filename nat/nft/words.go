package nft

import (
	"encoding/binary"
	"fmt"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Some rules the library writes and cannot read: it refuses the one byte in which the
// kernel reports the direction of a tuple, and knows no dup. They are compared by their
// comments alone, which therefore say all that can differ.

// inWords tells whether rules of a chain are compared so.
func inWords(chain string) bool { return chain == chainEvents || chain == chainHairpin }

// readWords returns the comments of a chain's rules, in order, as the kernel holds them.
func readWords(nl *netlink.Conn, table *nftables.Table, chain string) (out []string, err error) {
	a := netlink.NewAttributeEncoder()
	a.String(unix.NFTA_RULE_TABLE, table.Name)
	a.String(unix.NFTA_RULE_CHAIN, chain)
	attributes, err := a.Encode()
	if err != nil {
		return nil, err
	}
	header := []byte{byte(table.Family), unix.NFNETLINK_V0, 0, 0}
	messages, err := nl.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETRULE, Flags: netlink.Request | netlink.Dump},
		Data:   append(header, attributes...),
	})
	if err != nil {
		return nil, fmt.Errorf("read chain %s: %w", chain, err)
	}
	for _, m := range messages {
		if len(m.Data) < nfgenmsgSize {
			return nil, fmt.Errorf("read chain %s: a rule of %d bytes", chain, len(m.Data))
		}
		d, err := netlink.NewAttributeDecoder(m.Data[nfgenmsgSize:])
		if err != nil {
			return nil, fmt.Errorf("read chain %s: %w", chain, err)
		}
		d.ByteOrder = binary.BigEndian
		words := ""
		for d.Next() {
			if d.Type() == unix.NFTA_RULE_USERDATA {
				words = string(d.Bytes())
			}
		}
		if err := d.Err(); err != nil {
			return nil, fmt.Errorf("read chain %s: %w", chain, err)
		}
		out = append(out, words)
	}
	return out, nil
}
