package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

// File succeeds while a file is there, whatever it is.
type File struct {
	Path   string
	Absent bool // succeeds while it is not there
}

var _ Prober = (*File)(nil)

// Probe looks once.
func (p *File) Probe(context.Context) error {
	_, err := os.Stat(p.Path)
	switch missing := errors.Is(err, fs.ErrNotExist); {
	case missing && !p.Absent:
		return fmt.Errorf("file %s is missing", p.Path)
	case missing || err == nil && !p.Absent:
		return nil
	case err == nil:
		return fmt.Errorf("file %s exists", p.Path)
	}
	return fmt.Errorf("file %s: %w", p.Path, bare(err))
}

// FileValue measures the number that stands in a file: the switch of
// maintenance, the weight that a script has worked out. A file that is missing
// or empty means 0, because taking the switch away must turn it off and a writer
// may have emptied it a moment ago. Anything but a number is a failure.
type FileValue struct{ Path string }

var _ Measurer = (*FileValue)(nil)

// Probe is Measure without the value.
func (p *FileValue) Probe(ctx context.Context) error {
	_, err := p.Measure(ctx)
	return err
}

// maxNumber is longer than any number, white space included.
const maxNumber = 64

// Measure reads the file once.
func (p *FileValue) Measure(context.Context) (int, error) {
	// Opening a pipe would wait for its writer, without the flag.
	f, err := os.OpenFile(p.Path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("file %s: %w", p.Path, bare(err))
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return 0, fmt.Errorf("file %s is not a regular file", p.Path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxNumber+1))
	if err != nil {
		return 0, fmt.Errorf("file %s: %w", p.Path, bare(err))
	}
	text := string(bytes.TrimSpace(b))
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || len(b) > maxNumber {
		return 0, fmt.Errorf("file %s: %.20q is not a number", p.Path, text)
	}
	return n, nil
}

// initMode is keepalived's: a switch of root's.
const initMode = 0o600

// Init writes a number into the file, if it is not there (else the error is fs.ErrExist); with overwrite, if it is a
// regular file, too. No symbolic link is followed.
func (p *FileValue) Init(value int, overwrite bool) error {
	flags := os.O_WRONLY | os.O_CREATE | syscall.O_NOFOLLOW | syscall.O_NONBLOCK
	if !overwrite {
		flags |= os.O_EXCL
	}
	f, err := os.OpenFile(p.Path, flags, initMode)
	if err != nil {
		return fmt.Errorf("file %s: %w", p.Path, bare(err))
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("file %s is not a regular file", p.Path)
	}
	if err := f.Truncate(0); err != nil {
		return fmt.Errorf("file %s: %w", p.Path, bare(err))
	}
	if _, err := fmt.Fprintln(f, value); err != nil {
		return fmt.Errorf("file %s: %w", p.Path, bare(err))
	}
	return nil
}
