package identity

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
)

// Encap is what packets are wrapped into by a hop (a light-weight tunnel of the
// kernel's). The zero value is nothing. It compares with ==.
type Encap struct {
	Kind   EncapKind
	ID     uint64     // ip, ip6: of the tunnel
	To     netip.Addr // ip, ip6: the other end; invalid: the device knows it
	From   netip.Addr // ip, ip6; invalid: the kernel chooses
	TOS    uint8      // ip, ip6
	TTL    uint8      // ip, ip6; 0: the kernel's own
	Flags  uint16     // ip, ip6: 1 a checksum, 4 a key, 8 a sequence, 0x100 not to fragment (TUNNEL_*)
	Labels string     // mpls: "100/200", the outermost first
	ILA    uint64     // ila: the upper half of the address that is put in place
}

// EncapKind is one kind of [Encap]. Its text is the word of ip-route(8).
type EncapKind string

// The kinds.
const (
	EncapIP   EncapKind = "ip"
	EncapIP6  EncapKind = "ip6"
	EncapMPLS EncapKind = "mpls"
	EncapILA  EncapKind = "ila"
)

// String is in the words of ip-route(8); "": there is none.
func (e Encap) String() string {
	var b strings.Builder
	b.WriteString(string(e.Kind))
	tos, ttl := "tos", "ttl"
	switch e.Kind {
	case EncapMPLS:
		b.WriteString(" " + e.Labels)
		return b.String()
	case EncapILA:
		fmt.Fprintf(&b, " %x:%x:%x:%x", e.ILA>>48, e.ILA>>32&0xffff, e.ILA>>16&0xffff, e.ILA&0xffff)
		return b.String()
	case EncapIP6:
		tos, ttl = "tc", "hoplimit"
	}
	if e.ID != 0 {
		fmt.Fprintf(&b, " id %d", e.ID)
	}
	if e.From.IsValid() {
		b.WriteString(" src " + e.From.String())
	}
	if e.To.IsValid() {
		b.WriteString(" dst " + e.To.String())
	}
	for _, n := range []struct {
		word  string
		value uint8
	}{{tos, e.TOS}, {ttl, e.TTL}} {
		if n.value != 0 {
			fmt.Fprintf(&b, " %s %d", n.word, n.value)
		}
	}
	if e.Flags != 0 {
		fmt.Fprintf(&b, " flags %#x", e.Flags)
	}
	return b.String()
}

// Compare orders somehow, the same each time.
func (e Encap) Compare(o Encap) int {
	if e == o {
		return 0 // as nearly always
	}
	return cmp.Or(strings.Compare(e.String(), o.String()), -1)
}
