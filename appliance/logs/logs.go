package logs

import (
	"fmt"
	"log/slog"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Options say where a process logs.
type Options struct {
	Level    slog.Leveler
	Stderr   *os.File
	Terminal bool                // it is a person's
	Getenv   func(string) string // JOURNAL_STREAM says whether journald reads Stderr
	Journal  string              // its socket
}

// NewHandler returns where records go: to a terminal as text, to journald as fields if that is
// what reads the standard error, else as JSON, an object a line.
func NewHandler(o Options) slog.Handler {
	opts := &slog.HandlerOptions{Level: o.Level}
	var h slog.Handler
	switch {
	case o.Terminal:
		h = slog.NewTextHandler(o.Stderr, opts)
	case readByJournal(o.Stderr, o.Getenv("JOURNAL_STREAM")):
		j, err := NewJournal(o.Journal, "understudy", o.Level)
		if err == nil {
			h = j
			break
		}
		fallthrough
	default:
		h = slog.NewJSONHandler(o.Stderr, opts)
	}
	return newLimited(h)
}

// readByJournal tells whether a file is the stream that JOURNAL_STREAM (DEVICE:INODE)
// names: the variable is inherited, also by those whose output goes elsewhere.
func readByJournal(f *os.File, stream string) bool {
	if stream == "" {
		return false
	}
	var st unix.Stat_t
	return unix.Fstat(int(f.Fd()), &st) == nil && stream == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// ParseLevel reads the name of a level.
func ParseLevel(s string) (slog.Level, error) {
	for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if strings.EqualFold(s, l.String()) {
			return l, nil
		}
	}
	return 0, fmt.Errorf("%q is no level: debug, info, warn or error", s)
}

// LevelName is what ParseLevel reads.
func LevelName(l slog.Level) string { return strings.ToLower(l.String()) }
