package daemon

import (
	"errors"
	"io/fs"
	"log/slog"
	"slices"

	"understudy/appliance/config"
	"understudy/health/probe"
)

// InitFiles writes what files of checks begin with, when a node starts (old is nil), or when a reload has added the checks. A
// daemon that is started again leaves them alone: somebody may have turned a switch since.
func InitFiles(old, now *config.Config, log *slog.Logger) {
	for _, k := range now.Checks {
		known := old != nil && slices.ContainsFunc(old.Checks, func(o config.Check) bool { return o.Name == k.Name && o.Path == k.Path })
		if k.Init == nil || known {
			continue
		}
		if err := (&probe.FileValue{Path: k.Path}).Init(*k.Init, k.Overwrite); err != nil && !errors.Is(err, fs.ErrExist) {
			log.Error("a file that is tracked could not be written; it counts as 0 if it is missing", "check", k.Name, "err", err)
		}
	}
}
