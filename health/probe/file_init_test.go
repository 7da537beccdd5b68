package probe

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A file begins with a number if it is not there, or if it has to begin anew, and nothing but a file is written to.
func TestFileInit(t *testing.T) {
	dir := t.TempDir()
	p := &FileValue{Path: filepath.Join(dir, "switch")}
	value := func() int {
		t.Helper()
		v, err := p.Measure(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if err := p.Init(-12, false); err != nil || value() != -12 {
		t.Errorf("made: %v, %d", err, value())
	}
	if info, err := os.Stat(p.Path); err != nil || info.Mode() != initMode {
		t.Errorf("mode %v (%v)", info.Mode(), err)
	}
	if err := p.Init(5, false); !errors.Is(err, fs.ErrExist) || value() != -12 {
		t.Errorf("again: %v, %d", err, value())
	}
	if err := os.WriteFile(p.Path, []byte("1234567890"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Init(5, true); err != nil || value() != 5 {
		t.Errorf("overwritten: %v, %d", err, value())
	}
	link, fifo := &FileValue{Path: filepath.Join(dir, "link")}, &FileValue{Path: filepath.Join(dir, "fifo")}
	if err := errors.Join(os.Symlink(p.Path, link.Path), unix.Mkfifo(fifo.Path, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, other := range []*FileValue{link, fifo, {Path: dir}} {
		for _, overwrite := range []bool{false, true} {
			if err := other.Init(7, overwrite); err == nil {
				t.Errorf("%s was written to", other.Path)
			}
		}
	}
	if value() != 5 {
		t.Errorf("through a link: %d", value())
	}
}
