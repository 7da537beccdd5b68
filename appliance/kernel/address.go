package kernel

import (
	"encoding/binary"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"understudy/appliance/identity"
)

// Mark is the IFA_PROTO value of each address that Understudy added. The kernel
// itself uses 1 to 3; the rest is free, like the protocols of routes.
const Mark = 0x75

// ifaProto is IFA_PROTO (Linux 5.18), which x/sys does not name.
const ifaProto = 11

// infinite is the lifetime of an address that does not expire, in seconds.
const infinite = 0xffffffff

// holding is an address that an interface has now.
type holding struct {
	index     int
	prefix    netip.Prefix // with host part
	peer      netip.Addr   // the other end of the link; invalid: none
	ours      bool
	secondary bool
}

// parseAddress reads an RTM_NEWADDR or RTM_DELADDR; false if it is neither
// IPv4 nor IPv6.
func parseAddress(b []byte) (h holding, ok bool) {
	if len(b) < unix.SizeofIfAddrmsg {
		return h, false
	}
	family, bits, flags := b[0], int(b[1]), b[2]
	h.index = int(binary.NativeEndian.Uint32(b[4:]))
	// For IPv6 the same bit means "temporary"; there is no primary there.
	h.secondary = family == unix.AF_INET && flags&unix.IFA_F_SECONDARY != 0
	var local, addr netip.Addr
	for typ, v := range attributes(b[unix.SizeofIfAddrmsg:]) {
		switch typ {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(v)
		case unix.IFA_ADDRESS:
			addr, _ = netip.AddrFromSlice(v)
		case ifaProto:
			h.ours = len(v) == 1 && v[0] == Mark
		}
	}
	// Of a link with a far end IFA_ADDRESS is that, and IFA_LOCAL is there too.
	if local.IsValid() {
		if addr != local {
			h.peer = addr
		}
		addr = local
	}
	h.prefix = netip.PrefixFrom(addr, bits)
	return h, h.prefix.IsValid()
}

// change is one address to be added or removed, exactly as the kernel is to
// have it or has it.
type change struct {
	remove bool
	index  int
	prefix netip.Prefix
	peer   netip.Addr          // invalid: none
	as     identity.Attributes // of one to be added
}

// network is the one that the address gives its interface a route to.
func (h holding) network() netip.Prefix {
	if h.peer.IsValid() {
		return netip.PrefixFrom(h.peer, h.prefix.Bits())
	}
	return h.prefix
}

// removal is the change that takes it away.
func (h holding) removal() change {
	return change{remove: true, index: h.index, prefix: h.prefix, peer: h.peer}
}

// message returns the netlink message of the change.
func (c change) message(flags int, seq uint32) []byte {
	typ := unix.RTM_NEWADDR
	flags |= unix.NLM_F_REQUEST
	if c.remove {
		typ = unix.RTM_DELADDR
	} else {
		flags |= unix.NLM_F_CREATE | unix.NLM_F_EXCL
	}
	addr := c.prefix.Addr()
	family := unix.AF_INET
	if addr.Is6() {
		family = unix.AF_INET6
	}
	head := nl.NewIfAddrmsg(family)
	head.Prefixlen = uint8(c.prefix.Bits())
	head.Index = uint32(c.index)
	head.Scope = unix.RT_SCOPE_UNIVERSE
	if linkLocal(addr) {
		head.Scope = unix.RT_SCOPE_LINK
	}
	if c.as.Scope != 0 {
		head.Scope = c.as.Scope
	}
	flags32 := uint32(0)
	if addr.Is6() && !c.remove {
		flags32 = unix.IFA_F_NODAD
		if c.as.Home {
			flags32 |= unix.IFA_F_HOMEADDRESS
		}
	}
	if c.as.NoPrefixRoute {
		flags32 |= unix.IFA_F_NOPREFIXROUTE
	}
	if c.as.Join {
		flags32 |= unix.IFA_F_MCAUTOJOIN
	}
	if c.as.Temporaries {
		flags32 |= unix.IFA_F_MANAGETEMPADDR
	}
	head.Flags = uint8(flags32)
	req := nl.NetlinkRequest{NlMsghdr: unix.NlMsghdr{Type: uint16(typ), Flags: uint16(flags), Seq: seq}}
	req.AddData(head)
	req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, addr.AsSlice()))
	far := addr
	if c.peer.IsValid() {
		far = c.peer
	}
	req.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, far.AsSlice()))
	if !c.remove {
		req.AddData(nl.NewRtAttr(ifaProto, []byte{Mark}))
		if flags32 > 0xff {
			req.AddData(nl.NewRtAttr(unix.IFA_FLAGS, binary.NativeEndian.AppendUint32(nil, flags32)))
		}
		if c.as.Label != "" {
			req.AddData(nl.NewRtAttr(unix.IFA_LABEL, append([]byte(c.as.Label), 0)))
		}
		if c.as.Broadcast.IsValid() {
			req.AddData(nl.NewRtAttr(unix.IFA_BROADCAST, c.as.Broadcast.AsSlice()))
		}
		if preferred := preferredSeconds(addr.Is6(), c.as.Preferred); addr.Is6() || preferred != infinite {
			life := nl.IfaCacheInfo{IfaCacheinfo: unix.IfaCacheinfo{Prefered: preferred, Valid: infinite}}
			req.AddData(nl.NewRtAttr(unix.IFA_CACHEINFO, life.Serialize()))
		}
	}
	return req.Serialize()
}

// preferredSeconds is for how long an address is preferred.
func preferredSeconds(six bool, p identity.Preference) uint32 {
	switch {
	case p > 0:
		return uint32(min(p, infinite-1))
	case p == identity.PreferredNever || six && p == identity.PreferredUsually:
		return 0
	}
	return infinite
}

// addresses returns what the interface with the index has; all interfaces'
// addresses for index 0.
func (s *socket) addresses(index int) (all []holding, err error) {
	build := func(seq uint32) []byte {
		head := nl.NewIfAddrmsg(unix.AF_UNSPEC)
		head.Index = uint32(index)
		return dump(unix.RTM_GETADDR, seq, head)
	}
	err = s.request(unix.RTM_NEWADDR, build, func() { all = all[:0] }, func(m message) {
		if h, ok := parseAddress(m.data); ok {
			all = append(all, h)
		}
	})
	return all, err
}

func dump(typ int, seq uint32, head nl.NetlinkRequestData) []byte {
	req := nl.NetlinkRequest{NlMsghdr: unix.NlMsghdr{
		Type: uint16(typ), Flags: unix.NLM_F_REQUEST | unix.NLM_F_DUMP, Seq: seq,
	}}
	req.AddData(head)
	return req.Serialize()
}
