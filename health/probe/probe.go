package probe

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Prober tries once. It returns nil if what it tried works. It has to return
// soon after ctx is done, and must not be called twice at the same time.
type Prober interface {
	Probe(ctx context.Context) error
}

// Measurer is a Prober whose success comes with a value: Measure is called
// instead of Probe.
type Measurer interface {
	Prober
	Measure(ctx context.Context) (int, error)
}

// ErrTimeout is in the chain of every error of a probe whose time ran out.
var ErrTimeout = errors.New("timeout")

// timeout is the cause of a context that Run has ended: its text reaches people.
type timeout struct{ after time.Duration }

func (t timeout) Error() string { return fmt.Sprintf("no answer in %v", t.after) }

func (t timeout) Is(target error) bool { return target == ErrTimeout }

// because returns why a probe failed: the end of its time, whatever error that
// has come out as, before anything else. A socket has the same deadline as the
// context and may notice first.
func because(ctx context.Context, err error) error {
	if end, ok := ctx.Deadline(); ok && !time.Now().Before(end) {
		<-ctx.Done()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
