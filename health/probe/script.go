package probe

import (
	"context"
	"fmt"

	"understudy/health/program"
)

// ScriptConfig is a program and who runs it.
type ScriptConfig = program.Config

// Script runs a program: exit code 0 is success. It is killed with all that it
// has started when the time is up, when it has ended and left something behind,
// and when this process dies. The last line that it writes is kept for the error.
type Script struct{ program *program.Program }

var _ Prober = (*Script)(nil)

// NewScript looks the user up and returns a prober.
func NewScript(cfg ScriptConfig) (*Script, error) {
	p, err := program.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("script: %w", err)
	}
	return &Script{p}, nil
}

// Probe runs the program once.
func (s *Script) Probe(ctx context.Context) error {
	return s.judge(ctx, s.program.Run(ctx, program.Run{}))
}

func (s *Script) judge(ctx context.Context, r program.Result) error {
	switch said := r.LastLine(); {
	case r.Err == nil:
		return nil
	case ctx.Err() == nil && said != "":
		return fmt.Errorf("script %s: %w: %s", s.program.Name(), r.Err, said)
	}
	return fmt.Errorf("script %s: %w", s.program.Name(), because(ctx, r.Err))
}

// ScriptValue is a Script whose exit code is a measure: 1 is a failure, and any other a
// success with that value.
type ScriptValue struct{ *Script }

var _ Measurer = ScriptValue{}

// Measure runs the program once.
func (s ScriptValue) Measure(ctx context.Context) (int, error) {
	r := s.program.Run(ctx, program.Run{})
	if ctx.Err() == nil && r.Code > 1 {
		return r.Code, nil
	}
	return 0, s.judge(ctx, r)
}
