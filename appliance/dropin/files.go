package dropin

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// dumpMode is what keepalived's umask leaves.
const dumpMode = 0o666 &^ 0o177

// Dump writes one of the files that exporters read, in place of the one before. Its
// directory is writable for everybody, so nothing that lies there is followed or
// opened.
func Dump(request string, umask int, v View) (path string, err error) {
	write, ok := map[string]func(io.Writer, View) error{RequestData: WriteData, RequestStats: WriteStats, RequestJSON: WriteJSON}[request]
	if !ok {
		return "", fmt.Errorf("dump: there is no %q", request)
	}
	path = filepath.Join(os.TempDir(), "keepalived."+request)
	mode := os.FileMode(dumpMode)
	if umask >= 0 {
		mode = 0o666 &^ os.FileMode(umask)
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
