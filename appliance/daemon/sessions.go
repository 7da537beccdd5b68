package daemon

import (
	"context"
	"errors"
	"log/slog"

	"understudy/appliance"
	"understudy/appliance/config"
)

type sessions struct{}

func openSessions(cfg *config.Config, log *slog.Logger) (*sessions, error) {
	return nil, errors.New("[sessions] is not supported yet")
}

func (s *sessions) Close() error                                     { return nil }
func (s *sessions) Run(ctx context.Context) error                    { return nil }
func (s *sessions) Drain(context.Context, string) error              { return nil }
func (s *sessions) Activate(context.Context, string, uint64) error   { return nil }
func (s *sessions) Deactivate(string)                                {}
func (s *sessions) reconfigure(*config.Config)                       {}
func (s *sessions) status(mode string) *appliance.SessionsStatus     { return nil }
func (n *node) watchSessions(ctx context.Context)                    {}
