// Package logs is where log records of a process go: text for a person's terminal, fields
// for journald, JSON for everything else; at a level that can be changed while it
// runs, and at a bounded rate.
//
//	logger, level := logs.New(logs.Options{Level: slog.LevelInfo, …})
package logs
