package bench

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"
)

// One after the other in their order, up to the first that fails; or several at once, and not
// more.
func TestAtOnce(t *testing.T) {
	var done []int
	no := errors.New("no")
	err := atOnce(5, 0, func(i int) error {
		if done = append(done, i); i == 2 {
			return no
		}
		return nil
	})
	if !errors.Is(err, no) || !slices.Equal(done, []int{0, 1, 2}) {
		t.Errorf("did %v, %v", done, err)
	}
	var mu sync.Mutex
	now, most, all := 0, 0, 0
	step := func(n int) (highest int) {
		mu.Lock()
		defer mu.Unlock()
		now += n
		most, all = max(most, now), all+max(0, n)
		return most
	}
	err = atOnce(6, 3, func(int) error {
		step(1)
		for end := time.Now().Add(20 * time.Second); step(0) < 3 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		}
		step(-1)
		return nil
	})
	if err != nil || most != 3 || all != 6 {
		t.Errorf("%d were done, %d at once: %v", all, most, err)
	}
}
