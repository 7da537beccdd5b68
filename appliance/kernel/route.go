package kernel

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"understudy/appliance/identity"
)

// RouteProtocol is the protocol of each route and routing rule that Understudy
// added (rtm_protocol, FRA_PROTOCOL): their mark, as [Mark] is that of addresses.
// iproute2 has no name for this number.
const RouteProtocol = Mark

// route is a route with its hops by interface number, as the kernel has it.
type route struct {
	identity.Route // without Hops
	hops           []hop
	protocol       uint8
}

// hop is where a route leads; sorted, as in package identity.
type hop struct {
	via    netip.Addr
	index  int
	weight uint16
	onlink bool
	encap  identity.Encap
}

func (h hop) compare(o hop) int {
	onlink := func(h hop) int {
		if h.onlink {
			return 1
		}
		return 0
	}
	return cmp.Or(h.via.Compare(o.via), cmp.Compare(h.index, o.index), cmp.Compare(h.weight, o.weight), onlink(h)-onlink(o), h.encap.Compare(o.encap))
}

// is reports whether the two do the same, whoever put them there.
// What is left of the time of a route that expires does not count.
func (r route) is(o route) bool {
	r.Expires, o.Expires = min(r.Expires, 1), min(o.Expires, 1)
	return r.Route.Compare(o.Route) == 0 && slices.Equal(r.hops, o.hops)
}

var routeTypes = map[identity.RouteKind]uint8{
	identity.Unicast:     unix.RTN_UNICAST,
	identity.Blackhole:   unix.RTN_BLACKHOLE,
	identity.Unreachable: unix.RTN_UNREACHABLE,
	identity.Prohibit:    unix.RTN_PROHIBIT,
	identity.Throw:       unix.RTN_THROW,
}

// routeKind is the reverse; a kind that no identity has is not empty, so that it
// equals none.
func routeKind(typ uint8) identity.RouteKind {
	for kind, t := range routeTypes {
		if t == typ {
			return kind
		}
	}
	return "other"
}

// parseRoute reads an RTM_NEWROUTE or RTM_DELROUTE; false if it is neither IPv4
// nor IPv6, or only a cache entry.
func parseRoute(b []byte) (r route, ok bool) {
	if len(b) < unix.SizeofRtMsg {
		return r, false
	}
	family, bits := b[0], int(b[1])
	if family != unix.AF_INET && family != unix.AF_INET6 {
		return r, false
	}
	flags := binary.NativeEndian.Uint32(b[8:])
	if flags&unix.RTM_F_CLONED != 0 {
		return r, false
	}
	r.TOS, r.Table, r.protocol = b[3], uint32(b[4]), b[5]
	r.Kind = routeKind(b[7])
	to := unspecified(family)
	one := hop{weight: 1, onlink: flags&unix.RTNH_F_ONLINK != 0}
	var wrapped encapsulation
	for typ, v := range attributes(b[unix.SizeofRtMsg:]) {
		switch typ {
		case unix.RTA_DST:
			to, _ = netip.AddrFromSlice(v)
		case unix.RTA_TABLE:
			r.Table = uint32OrZero(v)
		case unix.RTA_PRIORITY:
			r.Metric = uint32OrZero(v)
		case unix.RTA_PREFSRC:
			r.Source, _ = netip.AddrFromSlice(v)
		case unix.RTA_GATEWAY:
			one.via, _ = netip.AddrFromSlice(v)
		case unix.RTA_OIF:
			one.index = int(int32(uint32OrZero(v)))
		case unix.RTA_METRICS:
			for typ, v := range attributes(v) {
				switch {
				case typ == unix.RTAX_MTU:
					r.MTU = uint32OrZero(v)
				case typ == unix.RTAX_CC_ALGO:
					r.Congestion = strings.TrimRight(string(v), "\x00")
				case int(typ) < len(r.Metrics):
					r.Metrics[typ] = uint32OrZero(v)
				}
			}
		case unix.RTA_FLOW:
			r.Realms = uint32OrZero(v)
		case unix.RTA_PREF:
			if len(v) == 1 {
				r.Preference = identity.RoutePreference(v[0])
			}
		case unix.RTA_CACHEINFO:
			r.Expires = expires(v)
		case unix.RTA_ENCAP_TYPE, unix.RTA_ENCAP:
			wrapped.read(typ, v)
		case unix.RTA_MULTIPATH:
			r.hops = parseHops(v)
		}
	}
	one.encap = wrapped.encap()
	r.To = netip.PrefixFrom(to, bits)
	if family == unix.AF_INET {
		r.Scope = identity.Scope(b[6])
	}
	switch {
	case r.Kind != identity.Unicast:
		r.hops = nil // of IPv6 it is the loopback interface
	case r.hops == nil:
		r.hops = []hop{one}
	}
	slices.SortFunc(r.hops, hop.compare)
	return r, r.To.IsValid()
}

// parseHops reads RTA_MULTIPATH: a struct rtnexthop each, with attributes.
func parseHops(b []byte) (hops []hop) {
	for len(b) >= unix.SizeofRtNexthop {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofRtNexthop || n > len(b) {
			break
		}
		h := hop{onlink: b[2]&unix.RTNH_F_ONLINK != 0, weight: uint16(b[3]) + 1, index: int(int32(binary.NativeEndian.Uint32(b[4:])))}
		var wrapped encapsulation
		for typ, v := range attributes(b[unix.SizeofRtNexthop:n]) {
			switch typ {
			case unix.RTA_GATEWAY:
				h.via, _ = netip.AddrFromSlice(v)
			case unix.RTA_ENCAP_TYPE, unix.RTA_ENCAP:
				wrapped.read(typ, v)
			}
		}
		h.encap = wrapped.encap()
		hops = append(hops, h)
		b = b[min(align(n), len(b)):]
	}
	return hops
}

func uint32OrZero(v []byte) uint32 {
	if len(v) != 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(v)
}

func unspecified(family uint8) netip.Addr {
	if family == unix.AF_INET6 {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

func familyOf(a netip.Addr) uint8 {
	if a.Is6() {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// routeChange is one route to be added, or the one of ours that has its key to be
// removed, whatever it does.
type routeChange struct {
	remove bool
	route
}

// message returns the netlink message of the change.
func (c routeChange) message(flags int, seq uint32) []byte {
	typ := unix.RTM_NEWROUTE
	flags |= unix.NLM_F_REQUEST
	family := familyOf(c.To.Addr())
	head := &nl.RtMsg{RtMsg: unix.RtMsg{Family: family, Dst_len: uint8(c.To.Bits()), Tos: c.TOS, Protocol: RouteProtocol}}
	if c.remove {
		// Any type and scope: the key and the mark are enough.
		typ = unix.RTM_DELROUTE
		head.Scope = unix.RT_SCOPE_NOWHERE
	} else {
		flags |= unix.NLM_F_CREATE | unix.NLM_F_EXCL
		head.Type, head.Scope = routeTypes[c.Kind], uint8(c.Scope)
	}
	if c.Table < 256 {
		head.Table = uint8(c.Table)
	}
	data := []*nl.RtAttr{nl.NewRtAttr(unix.RTA_TABLE, nl.Uint32Attr(c.Table))}
	if c.To.Bits() > 0 {
		data = append(data, nl.NewRtAttr(unix.RTA_DST, c.To.Addr().AsSlice()))
	}
	if c.Metric > 0 {
		data = append(data, nl.NewRtAttr(unix.RTA_PRIORITY, nl.Uint32Attr(c.Metric)))
	}
	if !c.remove {
		data = append(data, c.attributes(head)...)
	}
	req := nl.NetlinkRequest{NlMsghdr: unix.NlMsghdr{Type: uint16(typ), Flags: uint16(flags), Seq: seq}}
	req.AddData(head)
	for _, d := range data {
		req.AddData(d)
	}
	return req.Serialize()
}

// attributes are those that a new route has beside its key.
func (c routeChange) attributes(head *nl.RtMsg) (data []*nl.RtAttr) {
	if c.Source.IsValid() {
		data = append(data, nl.NewRtAttr(unix.RTA_PREFSRC, c.Source.AsSlice()))
	}
	if c.Realms != 0 {
		data = append(data, nl.NewRtAttr(unix.RTA_FLOW, nl.Uint32Attr(c.Realms)))
	}
	if c.Preference != identity.PreferenceMedium {
		data = append(data, nl.NewRtAttr(unix.RTA_PREF, []byte{uint8(c.Preference)}))
	}
	if c.Expires != 0 {
		data = append(data, nl.NewRtAttr(unix.RTA_EXPIRES, nl.Uint32Attr(c.Expires)))
	}
	data = append(data, c.metrics()...)
	switch len(c.hops) {
	case 0:
	case 1:
		h := c.hops[0]
		if h.via.IsValid() {
			data = append(data, nl.NewRtAttr(unix.RTA_GATEWAY, h.via.AsSlice()))
		}
		data = append(data, nl.NewRtAttr(unix.RTA_OIF, nl.Uint32Attr(uint32(h.index))))
		data = append(data, encapAttributes(h.encap)...)
		if h.onlink {
			head.Flags |= unix.RTNH_F_ONLINK
		}
	default:
		data = append(data, nl.NewRtAttr(unix.RTA_MULTIPATH, multipath(c.hops)))
	}
	return data
}

// metrics are the attribute with all metrics that are set; none if none is.
func (c routeChange) metrics() []*nl.RtAttr {
	all := nl.NewRtAttr(unix.RTA_METRICS, nil)
	set := false
	for n, v := range c.Metrics {
		if n == unix.RTAX_MTU {
			v = c.MTU
		}
		if v != 0 {
			all.AddRtAttr(n, nl.Uint32Attr(v))
			set = true
		}
	}
	if c.Congestion != "" {
		all.AddRtAttr(unix.RTAX_CC_ALGO, nl.ZeroTerminated(c.Congestion))
		set = true
	}
	if !set {
		return nil
	}
	return []*nl.RtAttr{all}
}

// multipath is the reverse of parseHops.
func multipath(hops []hop) (b []byte) {
	for _, h := range hops {
		next := nl.RtNexthop{RtNexthop: unix.RtNexthop{Hops: uint8(h.weight - 1), Ifindex: int32(h.index)}}
		if h.onlink {
			next.Flags = unix.RTNH_F_ONLINK
		}
		if h.via.IsValid() {
			next.Children = []nl.NetlinkRequestData{nl.NewRtAttr(unix.RTA_GATEWAY, h.via.AsSlice())}
		}
		for _, a := range encapAttributes(h.encap) {
			next.Children = append(next.Children, a)
		}
		b = append(b, next.Serialize()...)
	}
	return b
}

// routes returns the routes of a family: ours only, or all of one table. The
// kernel leaves out the rest, so that a table with the routes of the Internet
// costs 0.1 us a route.
func (s *socket) routes(family uint8, protocol uint8, table uint32) (all []route, err error) {
	build := func(seq uint32) []byte {
		head := &nl.RtMsg{RtMsg: unix.RtMsg{Family: family, Protocol: protocol}}
		req := nl.NetlinkRequest{NlMsghdr: unix.NlMsghdr{Type: unix.RTM_GETROUTE, Flags: unix.NLM_F_REQUEST | unix.NLM_F_DUMP, Seq: seq}}
		req.AddData(head)
		if table != 0 {
			req.AddData(nl.NewRtAttr(unix.RTA_TABLE, nl.Uint32Attr(table)))
		}
		return req.Serialize()
	}
	err = s.request(unix.RTM_NEWROUTE, build, func() { all = all[:0] }, func(m message) {
		r, ok := parseRoute(m.data)
		if ok && familyOf(r.To.Addr()) == family && (protocol == 0 || r.protocol == protocol) {
			all = append(all, r)
		}
	})
	return all, noSuchTable(err)
}

// noSuchTable makes nothing of an answer that says there is nothing: the table
// has never been used, or the kernel is without IPv6.
func noSuchTable(err error) error {
	switch err {
	case unix.ENOENT, unix.EAFNOSUPPORT, unix.EOPNOTSUPP:
		return nil
	}
	return err
}
