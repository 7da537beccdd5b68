package dropin

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// dumpMode is what keepalived's umask leaves.
const dumpMode = 0o666 &^ 0o177

// Dumps is where dumps are written, and how.
type Dumps struct {
	State, Stats, JSON string // state_dump_file, stats_dump_file, json_dump_file: paths; see [Dumps.Path]
	Namespace          string // network namespace and instance, which the name of the state has; "": it has not
	Instance           string
	Umask              int // -1: keepalived's
	JSONVersion        int // 2: with processes that are tracked
}

// Path is where a dump goes. What is configured is a path; with '/' at its end, a
// directory with the usual name in it; without any '/' before, a name in the usual
// directory.
func (d Dumps) Path(request string) string {
	usual := "keepalived." + request
	to := map[string]string{RequestData: d.State, RequestStats: d.Stats, RequestJSON: d.JSON}[request]
	dir, name := filepath.Split(to)
	if !filepath.IsAbs(to) {
		dir = os.TempDir()
	}
	name = cmp.Or(name, usual)
	who := d.Namespace + d.Instance
	if d.Namespace != "" && d.Instance != "" {
		who = d.Namespace + "_" + d.Instance
	}
	if who != "" && request == RequestData {
		ext := filepath.Ext(name)
		name = strings.TrimSuffix(name, ext) + "." + who + ext
	}
	return filepath.Join(dir, name)
}

// Write writes one of the files that exporters read, in place of the one before. Its
// directory may be writable for everybody, so nothing that lies there is followed or
// opened.
func (d Dumps) Write(request string, v View) (path string, err error) {
	write, ok := map[string]func(io.Writer, View) error{RequestData: WriteData, RequestStats: WriteStats, RequestJSON: WriteJSON}[request]
	if !ok {
		return "", fmt.Errorf("dump: there is no %q", request)
	}
	if request == RequestJSON && d.JSONVersion == 2 {
		write = WriteJSON2
	}
	path = d.Path(request)
	mode := os.FileMode(dumpMode)
	if d.Umask >= 0 {
		mode = 0o666 &^ os.FileMode(d.Umask)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".keepalived.*")
	if err != nil {
		return "", fmt.Errorf("dump: %w", err)
	}
	defer os.Remove(f.Name()) // it has another name by then
	err = write(f, v)
	if err == nil {
		err = f.Chmod(mode)
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return "", fmt.Errorf("dump: %w", err)
	}
	return path, nil
}
