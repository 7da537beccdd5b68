package vrrp

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// String is one line: what was noticed, and where it is not plain, what to do about it.
func (n Notice) String() string {
	var b strings.Builder
	switch n.Kind {
	case NoticeRefused:
		fmt.Fprintf(&b, "adverts refused: %v", n.Reason)
	case NoticeInterval:
		fmt.Fprintf(&b, "%v advertises every %v, we have %v; its interval is used", n.Src, n.Interval, n.Expected)
	case NoticeAddresses:
		fmt.Fprintf(&b, "%v advertises other addresses than ours", n.Src)
	case NoticeOwned:
		fmt.Fprintf(&b, "we own the addresses, and %v advertises them with priority %d", n.Src, n.Priority)
	case NoticeOwners:
		fmt.Fprintf(&b, "%v says that it owns the addresses, and so do we: only one router of a VRID may have priority 255", n.Src)
	case NoticeEqual:
		fmt.Fprintf(&b, "%v has our priority %d: the higher address decides", n.Src, n.Priority)
	case NoticeClose:
		fmt.Fprintf(&b, "priorities %d (%s) and %d (%s) are %v apart with adverts every %v: both may take over at once; let them differ by %d or more",
			n.Priority, who(n.Src), n.OtherPriority, who(n.Other), n.Apart.Round(10*time.Microsecond), n.Interval, neededApart(n.Interval))
	case NoticeFlapping:
		if n.Lower {
			fmt.Fprintf(&b, "we took over from %v (priority %d) and it was alive, again and again: its adverts come too late or not at all", n.Src, n.Priority)
		} else {
			fmt.Fprintf(&b, "%v (priority %d) took over though we are alive, again and again: our adverts reach it too late or not at all; they left up to %v late",
				n.Src, n.Priority, n.Late.Round(10*time.Microsecond))
		}
	case NoticeDuplicate:
		fmt.Fprintf(&b, "somebody else advertises with priority %d from our address %v: give each router an address of its own; both may be active until then", n.Priority, n.Src)
	}
	return b.String()
}

func who(a netip.Addr) string {
	if !a.IsValid() {
		return "ours"
	}
	return a.String()
}

// neededApart is the difference of two priorities that keeps Backups apart.
func neededApart(interval time.Duration) int {
	if interval <= 0 {
		return 0
	}
	return int((256*MinApart + interval - 1) / interval)
}
