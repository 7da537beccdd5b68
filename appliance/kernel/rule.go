package kernel

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"understudy/appliance/identity"
)

// actions of rules, by their numbers in the kernel (linux/fib_rules.h).
var ruleActions = map[identity.RuleAction]uint8{
	identity.ActionTable: 1, identity.ActionGoto: 2, identity.ActionNop: 3,
	identity.ActionBlackhole: 6, identity.ActionUnreachable: 7, identity.ActionProhibit: 8,
}

// ruleAction is the reverse.
func ruleAction(n uint8) (identity.RuleAction, bool) {
	for a, number := range ruleActions {
		if number == n {
			return a, true
		}
	}
	return "", false
}

// FRA_SPORT_MASK and FRA_DPORT_MASK (Linux 6.15), which no library names.
const (
	fraSourcePortMask = 28
	fraPortMask       = 29
)

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
	r.Table, r.TOS = uint32(b[4]), tos
	r.Action, r.simple = ruleAction(b[7])
	r.simple = r.simple && binary.NativeEndian.Uint32(b[8:])&invert == 0
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
		case nl.FRA_SUPPRESS_PREFIXLEN:
			r.SuppressPrefix = uint32OrZero(v) + 1 // none is all ones
		case nl.FRA_SUPPRESS_IFGROUP:
			r.SuppressGroup = uint32OrZero(v) + 1
		case nl.FRA_GOTO:
			r.Goto = uint32OrZero(v)
		case nl.FRA_FLOW:
			r.Realms = uint32OrZero(v)
		case nl.FRA_TUN_ID:
			if len(v) == 8 {
				r.Tunnel = binary.BigEndian.Uint64(v)
			}
		case nl.FRA_UID_RANGE:
			if len(v) == 8 {
				r.Users = identity.UserRange{First: binary.NativeEndian.Uint32(v), Last: binary.NativeEndian.Uint32(v[4:]), Set: true}
			}
		case nl.FRA_IP_PROTO:
			if len(v) == 1 {
				r.Protocol = v[0]
			}
		case nl.FRA_SPORT_RANGE:
			r.SourcePorts = parsePorts(v)
		case nl.FRA_DPORT_RANGE:
			r.Ports = parsePorts(v)
		case fraSourcePortMask, fraPortMask: // of one port it is all ones
			r.simple = r.simple && len(v) == 2 && binary.NativeEndian.Uint16(v) == 1<<16-1
		case nl.FRA_PAD:
		case nl.FRA_L3MDEV:
			r.L3MDev = len(v) == 1 && v[0] != 0
		default:
			r.simple = false
		}
	}
	return r, true
}

// parsePorts reads a struct fib_rule_port_range, which is in the host's byte order.
func parsePorts(v []byte) (p identity.PortRange) {
	if len(v) == 4 {
		p.First, p.Last = binary.NativeEndian.Uint16(v), binary.NativeEndian.Uint16(v[2:])
	}
	return p
}

func appendPorts(p identity.PortRange) []byte {
	return binary.NativeEndian.AppendUint16(binary.NativeEndian.AppendUint16(nil, p.First), p.Last)
}

// options are the attributes for what few rules say.
func (c ruleChange) options() (data []*nl.RtAttr) {
	add := func(typ int, v []byte) { data = append(data, nl.NewRtAttr(typ, v)) }
	if c.Action == identity.ActionGoto {
		add(nl.FRA_GOTO, nl.Uint32Attr(c.Goto))
	}
	if c.Protocol != 0 {
		add(nl.FRA_IP_PROTO, []byte{c.Protocol})
	}
	if c.SourcePorts.Last != 0 {
		add(nl.FRA_SPORT_RANGE, appendPorts(c.SourcePorts))
	}
	if c.Ports.Last != 0 {
		add(nl.FRA_DPORT_RANGE, appendPorts(c.Ports))
	}
	if c.Users.Set {
		add(nl.FRA_UID_RANGE, binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(nil, c.Users.First), c.Users.Last))
	}
	if c.Tunnel != 0 {
		add(nl.FRA_TUN_ID, binary.BigEndian.AppendUint64(nil, c.Tunnel))
	}
	if c.Realms != 0 {
		add(nl.FRA_FLOW, nl.Uint32Attr(c.Realms))
	}
	if c.SuppressPrefix != 0 {
		add(nl.FRA_SUPPRESS_PREFIXLEN, nl.Uint32Attr(c.SuppressPrefix-1))
	}
	if c.SuppressGroup != 0 {
		add(nl.FRA_SUPPRESS_IFGROUP, nl.Uint32Attr(c.SuppressGroup-1))
	}
	if c.L3MDev {
		add(nl.FRA_L3MDEV, []byte{1})
	}
	return data
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
	head := &nl.RtMsg{RtMsg: unix.RtMsg{Family: family, Tos: c.TOS, Type: ruleActions[c.Action]}}
	if c.Table < 256 {
		head.Table = uint8(c.Table)
	}
	data := []*nl.RtAttr{
		nl.NewRtAttr(nl.FRA_PRIORITY, nl.Uint32Attr(c.Priority)),
		nl.NewRtAttr(nl.FRA_TABLE, nl.Uint32Attr(c.Table)),
		nl.NewRtAttr(nl.FRA_PROTOCOL, []byte{RouteProtocol}),
	}
	data = append(data, c.options()...)
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
