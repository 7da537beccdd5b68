package daemon

import (
	"context"
	"errors"

	"understudy/appliance/history"
	"understudy/appliance/logs"
	"understudy/vrrp/election"
)

// LogLevel changes what both processes log, unless name is empty, and returns what it is
// here.
func (n *node) LogLevel(_ context.Context, name string) (string, error) {
	if name == "" {
		return logs.LevelName(n.opt.LogLevel.Level()), nil
	}
	level, err := logs.ParseLevel(name)
	if err != nil {
		return "", err
	}
	n.opt.LogLevel.Set(level)
	n.history.note(history.Operator, "log-level", "what is logged was changed to "+logs.LevelName(level))
	n.log.Warn("log level", "level", logs.LevelName(level)) // at any of them but one
	if err := n.client.Send(election.LogLevel{Level: int(level)}); err != nil && !errors.Is(err, election.ErrLost) {
		return "", err
	}
	return logs.LevelName(level), nil
}
