package runner

import (
	"context"

	"understudy/appliance"
)

// mailbox holds at most one Want: a newer one replaces one not yet taken.
type mailbox struct{ c chan appliance.Want }

func newMailbox() mailbox { return mailbox{c: make(chan appliance.Want, 1)} }

// put replaces whatever is in the box. Only the loop puts.
func (m mailbox) put(w appliance.Want) {
	select {
	case <-m.c:
	default:
	}
	m.c <- w
}

// take waits for a Want; false when ctx has ended.
func (m mailbox) take(ctx context.Context) (appliance.Want, bool) {
	select {
	case w := <-m.c:
		return w, true
	case <-ctx.Done():
		return appliance.Want{}, false
	}
}
