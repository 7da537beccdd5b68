package daemon

import (
	"fmt"
	"strings"

	"understudy/appliance"
	"understudy/appliance/replica"
	"understudy/nat/conntrack"
	"understudy/nat/session"
)

func overload(o replica.OverloadStatus) appliance.OverloadStatus {
	return appliance.OverloadStatus{Step: o.Step.String(), Since: o.Since, Reason: o.Reason,
		BufferBytes: o.Buffer.Size, BufferFill: o.Buffer.Fill()}
}

// eventsLost is the detail of the alarm.
func eventsLost(st replica.Status) string {
	if st.Overload.Step == session.Polling {
		return st.Overload.Reason + "; until that is over, sessions are read from the kernel's table every few seconds"
	}
	return "the kernel had more connection events than were read; a dump made up for it"
}

// fullness says what is wrong with the size of the kernel's table; empty: nothing.
func fullness(l conntrack.Limits, st replica.Status) string {
	var why []string
	if l.Max > 0 && l.Count > l.Max/10*9 {
		why = append(why, fmt.Sprintf("%d of at most %d tracked connections", l.Count, l.Max))
	}
	for _, p := range st.Peers {
		if p.Connected && l.Max > 0 && p.Table.Max > uint64(l.Max) {
			why = append(why, fmt.Sprintf("nf_conntrack_max is %d here and %d on %s: there is less room after a takeover", l.Max, p.Table.Max, p.Name))
		}
	}
	return strings.Join(why, "; ")
}
