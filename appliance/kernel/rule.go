package kernel

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"understudy/appliance/identity"
)

// frToTable is the action of a rule that names a table (linux/fib_rules.h).
const frToTable = 1

// rule is a routing rule as the kernel has it.
type rule struct {
	identity.Rule
	// simple: it looks at nothing that Rule cannot say.
	simple   bool
	protocol uint8
}

// parseRule reads an RTM_NEWRULE or RTM_DELRULE; false if it is neither IPv4 nor
// IPv6.
func parseRule(b []byte) (r rule, ok bool) {
	// struct fib_rule_hdr: family, dst_len, src_len, tos, table, two reserved
	// octets, action, flags in host byte order.
	const size = unix.SizeofRtMsg
	if len(b) < size {
		return r, false
	}
	family, toBits, fromBits, tos := b[0], int(b[1]), int(b[2]), b[3]
	switch family {
	case unix.AF_INET:
		r.Family = 4
	case unix.AF_INET6:
		r.Family = 6
	default:
		return r, false
	}
	const invert = 2 // FIB_RULE_INVERT
	r.Table = uint32(b[4])
	r.simple = tos == 0 && b[7] == frToTable && binary.NativeEndian.Uint32(b[8:])&invert == 0
	for typ, v := range attributes(b[size:]) {
		switch typ {
		case nl.FRA_DST:
			a, _ := netip.AddrFromSlice(v)
			r.To = netip.PrefixFrom(a, toBits)
		case nl.FRA_SRC:
			a, _ := netip.AddrFromSlice(v)
			r.From = netip.PrefixFrom(a, fromBits)
		case nl.FRA_IIFNAME:
			r.In = strings.TrimRight(string(v), "\x00")
		case nl.FRA_OIFNAME:
			r.Out = strings.TrimRight(string(v), "\x00")
		case nl.FRA_PRIORITY:
			r.Priority = uint32OrZero(v)
		case nl.FRA_FWMARK:
			r.Mark = uint32OrZero(v)
		case nl.FRA_FWMASK:
			r.Mask = uint32OrZero(v)
		case nl.FRA_TABLE:
			r.Table = uint32OrZero(v)
		case nl.FRA_PROTOCOL:
			if len(v) == 1 {
				r.protocol = v[0]
			}
		case nl.FRA_SUPPRESS_PREFIXLEN, nl.FRA_SUPPRESS_IFGROUP:
			r.simple = r.simple && uint32OrZero(v) == ^uint32(0) // none
		case nl.FRA_PAD:
		case nl.FRA_L3MDEV:
			r.simple = r.simple && len(v) == 1 && v[0] == 0
		default:
			r.simple = false
		}
	}
	return r, true
}

// ruleChange is one rule to be added or removed.
type ruleChange struct {
	remove bool
	identity.Rule
}

// message returns the netlink message of the change. A removal finds only a rule
// with our mark.
func (c ruleChange) message(flags int, seq uint32) []byte {
	typ := unix.RTM_NEWRULE
	flags |= unix.NLM_F_REQUEST
	if c.remove {
		typ = unix.RTM_DELRULE
	} else {
		flags |= unix.NLM_F_CREATE | unix.NLM_F_EXCL
	}
	family := uint8(unix.AF_INET)
	if c.Family == 6 {
		family = unix.AF_INET6
	}
	// The header is that of a route, with the action for the type.
	head := &nl.RtMsg{RtMsg: unix.RtMsg{Family: family, Type: frToTable}}
	if c.Table < 256 {
		head.Table = uint8(c.Table)
	}
	data := []*nl.RtAttr{
		nl.NewRtAttr(nl.FRA_PRIORITY, nl.Uint32Attr(c.Priority)),
		nl.NewRtAttr(nl.FRA_TABLE, nl.Uint32Attr(c.Table)),
		nl.NewRtAttr(nl.FRA_PROTOCOL, []byte{RouteProtocol}),
	}
	if c.From.IsValid() {
		head.Src_len = uint8(c.From.Bits())
		data = append(data, nl.NewRtAttr(nl.FRA_SRC, c.From.Addr().AsSlice()))
	}
	if c.To.IsValid() {
		head.Dst_len = uint8(c.To.Bits())
		data = append(data, nl.NewRtAttr(nl.FRA_DST, c.To.Addr().AsSlice()))
	}
	if c.Mark != 0 || c.Mask != 0 {
		data = append(data, nl.NewRtAttr(nl.FRA_FWMARK, nl.Uint32Attr(c.Mark)), nl.NewRtAttr(nl.FRA_FWMASK, nl.Uint32Attr(c.Mask)))
	}
	if c.In != "" {
		data = append(data, nl.NewRtAttr(nl.FRA_IIFNAME, nl.ZeroTerminated(c.In)))
	}
	if c.Out != "" {
		data = append(data, nl.NewRtAttr(nl.FRA_OIFNAME, nl.ZeroTerminated(c.Out)))
	}
	req := nl.NetlinkRequest{NlMsghdr: unix.NlMsghdr{Type: uint16(typ), Flags: uint16(flags), Seq: seq}}
	req.AddData(head)
	for _, d := range data {
		req.AddData(d)
	}
	return req.Serialize()
}

// rules returns all rules of a family.
func (s *socket) rules(family uint8) (all []rule, err error) {
	build := func(seq uint32) []byte {
		return dump(unix.RTM_GETRULE, seq, &nl.RtMsg{RtMsg: unix.RtMsg{Family: family}})
	}
	err = s.request(unix.RTM_NEWRULE, build, func() { all = all[:0] }, func(m message) {
		if r, ok := parseRule(m.data); ok {
			all = append(all, r)
		}
	})
	return all, noSuchTable(err)
}
