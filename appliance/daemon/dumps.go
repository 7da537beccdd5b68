package daemon

import (
	"sync"

	"understudy/vrrp/election"
)

// dumps tells the election of dumps of the connection table, which several parts of
// the daemon make, so that it keeps off their processor.
type dumps struct {
	mu     sync.Mutex
	client *election.Client // nil: there is nobody to tell yet
	n      int              // under way
}

// tell has the election told through that client from now on.
func (d *dumps) tell(c *election.Client) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.client = c
	if d.n > 0 {
		d.say(election.Dumping{})
	}
}

// note is told when one begins and when it ends.
func (d *dumps) note(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case on:
		if d.n++; d.n == 1 {
			d.say(election.Dumping{})
		}
	default:
		if d.n--; d.n == 0 {
			d.say(election.Dumped{})
		}
	}
}

func (d *dumps) say(m election.Message) {
	if d.client != nil {
		_ = d.client.Send(m) // an election that cannot be told is being restarted, and keeps off nothing
	}
}
