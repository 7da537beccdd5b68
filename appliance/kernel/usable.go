package kernel

import (
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// usablePoll is how often the kernel is asked whether an IPv6 address is in use by
// now, usableBound for how long. It takes a fraction of a millisecond, on a busy
// machine some.
const (
	usablePoll  = 100 * time.Microsecond
	usableBound = 200 * time.Millisecond
)

// awaitUsable waits until what comes to the added addresses is taken for this box's.
// For IPv4 that is so when they have been added. For IPv6 the kernel has a worker do
// it, a moment later; meanwhile it sends from the address, for example the question
// who a neighbour is, and takes the answer for somebody else's. The question is asked
// again after a second: what is forwarded on to that neighbour waits so long. If it is
// not so after the bound we go on as if it were.
func (a *Applier) awaitUsable(added []change) error {
	until := time.Now().Add(usableBound)
	for _, c := range added {
		for c.prefix.Addr().Is6() {
			local, err := a.s.isLocal(c)
			if err != nil {
				return err
			}
			if local || time.Now().After(until) {
				break
			}
			time.Sleep(usablePoll)
		}
	}
	return nil
}

// isLocal asks the way to the address by its own interface: whether it ends here.
func (s *socket) isLocal(c change) (local bool, err error) {
	build := func(seq uint32) []byte {
		head := &nl.RtMsg{RtMsg: unix.RtMsg{Family: unix.AF_INET6, Dst_len: 128}}
		req := nl.NetlinkRequest{NlMsghdr: unix.NlMsghdr{Type: unix.RTM_GETROUTE, Flags: unix.NLM_F_REQUEST, Seq: seq}}
		req.AddData(head)
		req.AddData(nl.NewRtAttr(unix.RTA_DST, c.prefix.Addr().AsSlice()))
		req.AddData(nl.NewRtAttr(unix.RTA_OIF, nl.Uint32Attr(uint32(c.index))))
		return req.Serialize()
	}
	err = s.request(unix.RTM_NEWROUTE, build, func() {}, func(m message) {
		const typ = 7 // rtm_type in struct rtmsg
		local = len(m.data) > typ && m.data[typ] == unix.RTN_LOCAL
	})
	switch err {
	case unix.ENETUNREACH, unix.EHOSTUNREACH:
		return false, nil // no way at all yet
	}
	return local, err
}
