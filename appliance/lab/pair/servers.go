package pair

import (
	"errors"
	"fmt"
	"net/netip"

	"understudy/appliance/lab"
)

// ServerHost is the address of the n-th server of an entry point, from 1, on the LAN.
func ServerHost(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(20 + n)}) }

// ServerHost6 is its IPv6 address.
func ServerHost6(n int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("2001:db8:1::2%d", n))
}

// Servers adds n machines to the LAN, for the servers of entry points. Their way out is
// the active gateway.
func (p *Pair) Servers(n int) (out []*lab.Node, err error) {
	for i := 1; i <= n; i++ {
		node, err := p.Net.Node(fmt.Sprintf("server%d", i))
		if err != nil {
			return nil, err
		}
		addrs := []string{netip.PrefixFrom(ServerHost(i), 24).String()}
		if p.opt.IPv6 {
			addrs = append(addrs, netip.PrefixFrom(ServerHost6(i), 64).String())
		}
		if _, err := node.Join(p.LAN, "eth0", addrs...); err != nil {
			return nil, err
		}
		err = node.Route("default", LANAddress.Addr().String())
		if p.opt.IPv6 {
			err = errors.Join(err, node.Route("::/0", LinkLocal.Addr().WithZone("eth0").String()))
		}
		if err != nil {
			return nil, err
		}
		out = append(out, node)
	}
	return out, nil
}
