package nft

import (
	"errors"
	"fmt"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// ErrNoCopies says that this kernel's nftables cannot copy what passes a device, both ways
// (CONFIG_NFT_DUP_NETDEV; CONFIG_NETFILTER_EGRESS, of Linux 5.16).
var ErrNoCopies = errors.New("nftables of this kernel cannot copy what passes a device (module nft_dup_netdev, and Linux 5.16 with NETFILTER_EGRESS)")

// Can tells whether the kernel can have connections logged: nil, [ErrNoCopies], or another reason. It
// leaves nothing behind.
func (m *Logged) Can() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, err := m.link.conn()
	if err != nil {
		return fmt.Errorf("nft: log: %w", err)
	}
	t := &transaction{c: c, table: loggedTable()}
	t.table.Name += "_try"
	t.addTable()
	// lo is in every network namespace, and in one of ours in vain: the table is gone when the transaction is over.
	sides := Side{Index: 1, Peer: "lo"}
	var hooks []deviceHook
	var sets []set
	for _, f := range bothFamilies() {
		of := protectedSet(f)
		of.Table = t.table
		sets = append(sets, of)
		rules := []rule{f.loggedRule("try", sides, do(f.saddr(0), sport(f.words())))}
		hooks = append(hooks, deviceHook{"in" + f.suffix, sides.Peer, nftables.ChainHookIngress, priorityCopy, rules},
			deviceHook{"out" + f.suffix, sides.Peer, nftables.ChainHookEgress, priorityCopy, rules})
	}
	if err := t.addHooks(hooks, sets); err != nil {
		return fmt.Errorf("nft: log: %w", err)
	}
	t.deleteTable()
	switch err := m.link.commit(t); {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("%w: %w", ErrNoCopies, err)
	case err != nil:
		return fmt.Errorf("nft: log: %w", err)
	}
	return nil
}
