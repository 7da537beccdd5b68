package daemon

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"understudy/appliance"
	"understudy/appliance/history"
	"understudy/nat/entry/entrynet/splicenet"
	"understudy/nat/splice"
)

// tell logs what came of the moves of a server's connections, and has the history remember it.
// Of those that stay, each has a line in the log; of very many the log leaves out some.
func (m *moves) tell(name, server string, outcomes []splicenet.Outcome) {
	var longest time.Duration
	reasons, moved := map[string]int{}, 0
	for _, o := range outcomes {
		if o.Reason != splice.None {
			reasons[o.Reason.String()]++
			m.log.Info("connection not moved", "entry", name, "client", o.Flow.Client, "server", server, "to", o.Flow.To, "reason", o.Reason.String())
			continue
		}
		moved++
		longest = max(longest, o.Took)
	}
	m.log.Info("connections moved to other servers", "entry", name, "server", server, "moved", moved, "longest", longest, "not_moved", fmt.Sprint(reasons))
	m.event(history.Event{Kind: history.Moved, Subject: server, Cause: "server-down", Text: movedText(name, server, moved, longest, reasons)})
}

// movedText is a line for people.
func movedText(name, server string, moved int, longest time.Duration, reasons map[string]int) string {
	text := fmt.Sprintf("%s: server %s died: ", name, server)
	switch {
	case moved == 1:
		text += "1 connection went on at another one"
	case moved > 0:
		text += fmt.Sprintf("%d connections went on at others", moved)
	default:
		text += "no connection went on at another one"
	}
	if moved > 0 {
		text += fmt.Sprintf(", the longest pause %v", longest.Round(100*time.Microsecond))
	}
	var why []string
	for _, r := range slices.Sorted(maps.Keys(reasons)) {
		why = append(why, fmt.Sprintf("%d %s", reasons[r], r))
	}
	if len(why) > 0 {
		text += "; reset: " + strings.Join(why, ", ")
	}
	return text
}

// stall is how long connections were frozen that were moved. The zero value is ready.
type stall struct {
	counts  [len(stallBounds) + 1]uint64
	sum, at time.Duration // at: the longest
}

// stallBounds are the buckets: less than what the new server is listened to is not to be had, and a
// client that has to be asked three times takes two seconds.
var stallBounds = [...]time.Duration{5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond,
	200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second}

func (s *stall) add(d time.Duration) {
	i, _ := slices.BinarySearch(stallBounds[:], d)
	s.counts[i]++
	s.sum, s.at = s.sum+d, max(s.at, d)
}

func (s *stall) status() *appliance.Histogram {
	out := &appliance.Histogram{SumSeconds: s.sum.Seconds(), MaxSeconds: s.at.Seconds()}
	for i, n := range s.counts {
		b := appliance.Bucket{Count: n}
		if i < len(stallBounds) {
			b.UpToSeconds = appliance.Seconds(stallBounds[i])
		}
		out.Count += n
		out.Buckets = append(out.Buckets, b)
	}
	return out
}
