package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"understudy/nat/entry"
)

// drainedFile is where drained servers are noted, in RunDir: a line each. A daemon that
// takes another one's place reads it, and it is gone when the machine boots.
const drainedFile = "drained-servers"

// drainedName is a server's line.
func drainedName(name string, s entry.Server) string {
	return name + " " + entry.AddressText(s.Address)
}

func readDrained(file string) (out []string) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil // there is none
	}
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

// writeDrained replaces the file as a whole.
func writeDrained(file string, drained []string) error {
	text := strings.Join(drained, "\n") + "\n"
	next := filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+".new")
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		return fmt.Errorf("note drained servers: %w", err)
	}
	if err := os.Rename(next, file); err != nil {
		return fmt.Errorf("note drained servers: %w", err)
	}
	return nil
}
