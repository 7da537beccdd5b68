package bench

import (
	"errors"
	"sync"
)

// atOnce does something for each of n, in their order, so many at a time. After an error
// none is begun any more.
func atOnce(n, together int, do func(i int) error) error {
	var (
		wait  sync.WaitGroup
		mu    sync.Mutex
		errs  []error
		turns = make(chan struct{}, max(1, together))
	)
	for i := range n {
		turns <- struct{}{}
		mu.Lock()
		failed := len(errs) > 0
		mu.Unlock()
		if failed {
			break
		}
		wait.Go(func() {
			defer func() { <-turns }()
			if err := do(i); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}
