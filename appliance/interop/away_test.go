package interop

import (
	"sync"
	"time"
)

// lapses are the times for which this process was kept from running, though it wanted to
// every few milliseconds. The programs that are watched were kept so as well: by as much may
// they be later than the protocol has it.
var lapses struct {
	mu  sync.Mutex
	all []lapse
}

type lapse struct {
	end   time.Time
	lasts time.Duration
}

func init() {
	go func() {
		for last := time.Now(); ; {
			time.Sleep(5 * time.Millisecond)
			now := time.Now()
			if d := now.Sub(last); d > 100*time.Millisecond {
				lapses.mu.Lock()
				lapses.all = append(lapses.all, lapse{now, d})
				lapses.mu.Unlock()
			}
			last = now
		}
	}()
}

// away is the longest lapse of the last minute; 0 on a machine that is calm.
func away() (longest time.Duration) {
	lapses.mu.Lock()
	defer lapses.mu.Unlock()
	for _, l := range lapses.all {
		if time.Since(l.end) < time.Minute {
			longest = max(longest, l.lasts)
		}
	}
	return longest
}
