package main

import (
	"context"
	"fmt"
	"log/slog"

	"understudy/appliance/config"
	"understudy/appliance/config/keepalived"
	scripts "understudy/health/program"
)

// hooks are the programs that a keepalived.conf has run before the node begins, and after
// it has ended. In our own language they are systemd's: ExecStartPre, ExecStopPost.
func hooks(cfg *config.Config) (startup, shutdown keepalived.Hook) {
	if cfg == nil || cfg.Spoken == nil {
		return startup, shutdown
	}
	g := cfg.Spoken.File.Global
	return g.AtStart, g.AtEnd
}

// atStart runs the one before; nothing begins meanwhile. That it fails is no reason to be
// no gateway.
func atStart(ctx context.Context, cfg *config.Config, log *slog.Logger) {
	startup, _ := hooks(cfg)
	runHook(ctx, "startup_script", startup, log)
}

// atEnd runs the one behind, as the file has it now: a reload may have changed it. Before
// is the configuration that counts if the file cannot be read any more.
func (f *processFlags) atEnd(before *config.Config, log *slog.Logger) {
	cfg, err := config.LoadSpoken(f.config, f.spokenOptions())
	if err != nil {
		cfg = before
	}
	_, shutdown := hooks(cfg)
	runHook(context.Background(), "shutdown_script", shutdown, log) // the node's own end is over
}

// runHook runs a program within its time.
func runHook(ctx context.Context, word string, h keepalived.Hook, log *slog.Logger) {
	if !h.Command.Set {
		return
	}
	p, err := scripts.New(scripts.Config{Argv: h.Command.V, User: h.User})
	if err == nil {
		err = p.Trusted()
	}
	if err != nil {
		log.Error(word+" is not run", "err", err)
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, h.Bound(), fmt.Errorf("it took longer than %v", h.Bound()))
	defer cancel()
	if r := p.Run(ctx, scripts.Run{Spare: true}); r.Err != nil {
		log.Error(word+" failed", "result", r.String(), "output", r.Output)
	} else {
		log.Info(word+" has run", "program", p.Name())
	}
}
