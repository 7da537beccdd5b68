package interop

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// rareRoutes are what the library does not read of routes: that they expire, and what
// packets are wrapped into, as the kernel has it. The thread is in the node's namespace.
func (s state) rareRoutes() error {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		req := nl.NewNetlinkRequest(unix.RTM_GETROUTE, unix.NLM_F_DUMP)
		req.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{Family: uint8(family)}})
		list, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWROUTE)
		if err != nil {
			return err
		}
		for _, m := range list {
			head := nl.DeserializeRtMsg(m)
			attrs, err := nl.ParseRouteAttr(m[unix.SizeofRtMsg:])
			if err != nil {
				return err
			}
			to := netip.Addr{}
			for _, a := range attrs {
				if a.Attr.Type == unix.RTA_DST {
					to, _ = netip.AddrFromSlice(a.Value)
				}
			}
			what := fmt.Sprintf("route %s/%d of table %d", to, head.Dst_len, head.Table)
			for _, a := range attrs {
				switch {
				case a.Attr.Type == unix.RTA_CACHEINFO && int32(binary.NativeEndian.Uint32(a.Value[8:])) > 0:
					s.say("%s expires", what)
				case a.Attr.Type == unix.RTA_ENCAP_TYPE:
					s.say("%s wraps packets, kind %x", what, a.Value)
				case a.Attr.Type == unix.RTA_ENCAP:
					s.say("%s wraps packets into %x", what, a.Value)
				case a.Attr.Type == unix.RTA_MULTIPATH:
					for b := a.Value; len(b) >= unix.SizeofRtNexthop; {
						n := int(binary.NativeEndian.Uint16(b))
						more, err := nl.ParseRouteAttr(b[unix.SizeofRtNexthop:n])
						if err != nil {
							return err
						}
						for _, h := range more {
							if h.Attr.Type == unix.RTA_ENCAP {
								s.say("%s: a nexthop wraps packets into %x", what, h.Value)
							}
						}
						b = b[min((n+3)&^3, len(b)):]
					}
				}
			}
		}
	}
	return nil
}
