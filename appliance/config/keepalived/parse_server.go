package keepalived

import (
	"net/netip"
	"strconv"
)

// virtualServer reads a virtual_server. Nothing of it is judged here beside its
// address: what it becomes is for nat.entry to say.
func (p *parser) virtualServer(block *Node) *VirtualServer {
	v := &VirtualServer{At: block.At}
	switch first := block.arg(0); first {
	case "fwmark":
		mark, err := strconv.ParseUint(block.arg(1), 0, 32)
		if err != nil {
			p.say(block.At, Fault, "virtual_server: '%s' is not a firewall mark", block.arg(1))
		}
		v.Mark = uint32(mark)
	case "group":
		v.Group = block.arg(1)
	default:
		v.Address = p.service(block, block.Args)
	}
	for _, n := range block.Children {
		if n.Word != "real_server" {
			v.Options = append(v.Options, option(n))
			continue
		}
		r := &RealServer{At: n.At, Address: p.service(n, n.Args)}
		for _, c := range n.Children {
			if c.Block {
				r.Checks = append(r.Checks, checker(c))
			} else {
				r.Options = append(r.Options, option(c))
			}
		}
		v.Servers = append(v.Servers, r)
	}
	return v
}

func checker(block *Node) *Checker {
	k := &Checker{At: block.At, Kind: block.Word}
	for _, n := range block.Children {
		if !n.Block {
			k.Options = append(k.Options, option(n))
			continue
		}
		var list []Option
		for _, c := range n.Children {
			list = append(list, option(c))
		}
		k.URLs = append(k.URLs, list)
	}
	return k
}

// service reads "ADDR [PORT]".
func (p *parser) service(n *Node, args []string) netip.AddrPort {
	if len(args) == 0 {
		p.say(n.At, Fault, "%s has no address", n.Word)
		return netip.AddrPort{}
	}
	a, err := netip.ParseAddr(args[0])
	if err != nil {
		p.say(n.At, Fault, "%s: '%s' is not an IP address", n.Word, args[0])
		return netip.AddrPort{}
	}
	port := uint64(0)
	if len(args) > 1 {
		if port, err = strconv.ParseUint(args[1], 10, 16); err != nil {
			p.say(n.At, Fault, "%s: '%s' is not a port", n.Word, args[1])
		}
	}
	return netip.AddrPortFrom(a, uint16(port))
}
