package election

import (
	"encoding/binary"
	"net"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/vrrp"
)

// downMessage takes a link down (rtnetlink(7)).
func downMessage(index int) NetlinkBatch {
	n := binary.NativeEndian
	b := make([]byte, unix.NLMSG_HDRLEN+unix.SizeofIfInfomsg)
	n.PutUint32(b, uint32(len(b)))
	n.PutUint16(b[4:], unix.RTM_NEWLINK)
	n.PutUint16(b[6:], unix.NLM_F_REQUEST)
	n.PutUint32(b[unix.NLMSG_HDRLEN+4:], uint32(index))
	n.PutUint32(b[unix.NLMSG_HDRLEN+12:], unix.IFF_UP) // change; the flags are zero
	return NetlinkBatch{Family: unix.NETLINK_ROUTE, Bytes: b}
}

func isUp(name string) bool {
	ifi, err := net.InterfaceByName(name)
	return err == nil && ifi.Flags&net.FlagUp != 0
}

// What the kernel is slow at comes after everything else, a piece a turn, and not
// at all once the group serves again.
func TestFenceLowersLinksLast(t *testing.T) {
	c := newCable(t)
	within(c[0], func() {
		var lower []NetlinkBatch
		for _, name := range []string{"dev1", "dev2"} {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = name
			if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: name + "p"}); err != nil {
				panic(err)
			}
			link, err := netlink.LinkByName(name)
			if err != nil {
				panic(err)
			}
			lower = append(lower, downMessage(link.Attrs().Index))
		}
		raise := func() {
			for _, name := range []string{"dev1", "dev2"} {
				link, err := netlink.LinkByName(name)
				if err == nil {
					err = netlink.LinkSetUp(link)
				}
				if err != nil {
					panic(err)
				}
			}
		}
		raise()
		l, tell := loopHere(t, configOf(200))
		tell(Fence{Group: "gw", Lower: append(lower, downMessage(9999))})
		l.fence("gw")
		if !isUp("dev1") || !isUp("dev2") {
			t.Error("the fence has waited for a link")
		}
		l.turn()
		if isUp("dev1") || !isUp("dev2") {
			t.Error("after a turn: want the first one down")
		}
		l.turn()
		l.turn()
		if isUp("dev2") || len(l.fences.slow) != 0 || l.fences.stats.Failed != 0 {
			t.Errorf("want all down, and one that is gone no failure: %+v", l.fences.stats)
		}
		if d := l.deadline(); !d.After(l.now) {
			t.Error("nothing is left to do, and it does not wait")
		}

		raise()
		l.fence("gw")
		l.apply(l.now, vrrp.SetOutput{Ops: []vrrp.Op{{Kind: vrrp.OpTransition, Group: "gw", From: vrrp.Backup, To: vrrp.Active, Term: 9}}})
		l.turnFor(20 * time.Millisecond)
		if !isUp("dev1") || !isUp("dev2") {
			t.Error("links of a group that serves again were taken down")
		}
	})
}
