package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The kernel remembers, for a minute, the names of connections that were met in
// their middle, on their way out through source NAT or in through a forward, and that
// nobody knows: after a takeover, those that are lost. There are at most unknownFlows
// of them, each family.
const (
	unknownFlows = 4096
	unknownKept  = time.Minute
)

// unknownSet holds them: source . port . destination . port.
func (f family) unknownSet() *nftables.Set {
	return &nftables.Set{Table: ourTable(), Name: f.name(setUnknown), Concatenation: true,
		KeyType: concat(f.address(), nftables.TypeInetService, f.address(), nftables.TypeInetService),
		Dynamic: true, HasTimeout: true, Timeout: unknownKept, Size: unknownFlows}
}

// remember adds the packet's flow to the set. When the set is full the rule ends
// here, so nothing else may depend on it.
func (f family) remember() []expr.Any {
	n := f.words()
	return []expr.Any{f.saddr(0), sport(n), f.daddr(n + 1), dport(2*n + 1),
		&expr.Dynset{SrcRegKey: word(0), SetName: f.name(setUnknown), Operation: uint32(unix.NFT_DYNSET_OP_ADD)}}
}

// UnknownFlow is a TCP connection that was met in its middle.
type UnknownFlow struct{ Source, Destination netip.AddrPort }

// UnknownFlows lists those of the last minute.
func (a *Applier) UnknownFlows() (flows []UnknownFlow, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := a.link.conn()
	if err != nil {
		return nil, fmt.Errorf("nft: unknown connections: %w", err)
	}
	sets, err := c.GetSets(ourTable())
	if err != nil {
		_ = a.link.close()
		if errors.Is(err, unix.ENOENT) {
			return nil, nil
		}
		return nil, fmt.Errorf("nft: unknown connections: %w", err)
	}
	for _, set := range sets {
		f := family{six: set.Name == family{true, "6"}.name(setUnknown)}
		if !f.six && set.Name != setUnknown {
			continue
		}
		elements, err := c.GetSetElements(set)
		if err != nil {
			_ = a.link.close()
			return nil, fmt.Errorf("nft: unknown connections: %w", err)
		}
		for _, e := range elements {
			if u, ok := f.unknownFlow(e.Key); ok {
				flows = append(flows, u)
			}
		}
	}
	return flows, nil
}

// unknownFlow reads the key of an element: ports are padded to a word.
func (f family) unknownFlow(key []byte) (u UnknownFlow, ok bool) {
	n := int(4 * f.words())
	if len(key) != 2*(n+4) {
		return u, false
	}
	end := func(b []byte) netip.AddrPort {
		a, _ := netip.AddrFromSlice(b[:n])
		return netip.AddrPortFrom(a, binary.BigEndian.Uint16(b[n:]))
	}
	return UnknownFlow{end(key), end(key[n+4:])}, true
}
