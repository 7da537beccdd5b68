package daemon

import (
	"context"
	"time"
)

// neededRetry is the pause before what has ended is begun anew.
const neededRetry = time.Second

// whenNeeded begins something when it is needed for the first time, and begins it anew whenever it
// ends, until ctx is done. It waits for its end then. What it ends with is told, if that is an error.
func whenNeeded(ctx context.Context, need <-chan struct{}, do func(context.Context) error, failed func(error)) {
	select {
	case <-ctx.Done():
		return
	case <-need:
	}
	for ctx.Err() == nil {
		if err := do(ctx); err != nil {
			failed(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(neededRetry):
		}
	}
}
