package entry

import (
	"fmt"
	"testing"
	"time"

	"understudy/health"
)

// With "move", what cannot be moved is cut; a server that has a policy of its own goes by that.
func TestWhoseConnectionsMove(t *testing.T) {
	now := time.Now()
	cfg := config(Primary, 1, 1, 1)
	cfg.OnFailure, cfg.Servers[1].OnFailure, cfg.Servers[2].OnFailure = Move, Keep, Reset
	for i := range cfg.Servers {
		cfg.Servers[i].Check = fmt.Sprint("c", i)
	}
	s := New(now, cfg)
	s.Step(now, Input{Kind: InActive, On: true})
	if got := fmt.Sprint(s.Point().Move); got != "[true false false]" {
		t.Errorf("moved: %s", got)
	}
	var cut []int
	for i := range cfg.Servers {
		cut = append(cut, s.Step(now, Input{Kind: InHealth, Check: fmt.Sprint("c", i), State: health.Down}).Cut...)
	}
	if fmt.Sprint(cut) != "[0 2]" {
		t.Errorf("cut: %v", cut)
	}
	cfg.OnFailure = Reset
	if p := New(now, cfg).Point(); p.Move != nil {
		t.Errorf("moved with reset: %v", p.Move)
	}
}
