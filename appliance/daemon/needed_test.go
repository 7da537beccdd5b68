package daemon

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Nothing is begun before it is needed; what ends is begun anew, after a pause; and nothing once
// ctx is done.
func TestWhenNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		need, over := make(chan struct{}, 1), make(chan struct{})
		var begun, told atomic.Int32
		do := func(ctx context.Context) error {
			switch begun.Add(1) {
			case 1:
				return errors.New("refused")
			case 2:
				return nil
			default:
				<-ctx.Done()
				return nil
			}
		}
		go func() {
			defer close(over)
			whenNeeded(ctx, need, do, func(error) { told.Add(1) })
		}()
		is := func(what string, wantBegun, wantTold int32) {
			t.Helper()
			synctest.Wait()
			if b, n := begun.Load(), told.Load(); b != wantBegun || n != wantTold {
				t.Errorf("%s: begun %d times, %d errors told; want %d and %d", what, b, n, wantBegun, wantTold)
			}
		}
		time.Sleep(time.Hour)
		is("nobody needs it", 0, 0)
		need <- struct{}{}
		is("it is needed", 1, 1)
		time.Sleep(neededRetry)
		is("it was refused", 2, 1)
		time.Sleep(neededRetry)
		is("it has ended", 3, 1)
		time.Sleep(time.Hour)
		cancel()
		is("it is over", 3, 1)
		<-over
	})
}
