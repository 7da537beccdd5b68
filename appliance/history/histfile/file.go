// Package histfile keeps a node's history on disk, over restarts of the daemon.
//
// A line a version of an event: what has changed is written again, and of several lines
// with one id the youngest counts. The file is bounded: when it is full it becomes the
// old one, in place of the one before, and the next begins. A line that was torn by a
// crash, or by whatever else, is skipped.
package histfile

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"understudy/appliance/history"
)

// Names of the files in their directory.
const (
	Name = "events.jsonl"
	old  = "events.old.jsonl"
)

const (
	// size is at which a file is full. The two hold what the rings do, and more.
	size = 1 << 20
	// queue is how many events may wait for the disk; more are lost here, and counted.
	queue = 256
	// lineBound is what a line can have at most; longer ones are nobody's of ours.
	lineBound = 64 << 10
)

// File is an open history. Its methods are for any goroutine, and do not wait for the
// disk. The zero value is not usable; nil keeps nothing.
type File struct {
	path   string
	log    *slog.Logger
	lines  chan history.Event // of queue
	done   chan struct{}
	failed bool  // said once
	size   int64 // of the file
}

// Open reads what is kept in a directory, which is made if it is not there, and goes on
// with it.
func Open(dir string, log *slog.Logger) (saved []history.Event, f *File, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("history: %w", err)
	}
	path := filepath.Join(dir, Name)
	for _, p := range []string{filepath.Join(dir, old), path} {
		more, err := read(p)
		if err != nil {
			log.Warn("a part of the history cannot be read", "file", p, "err", err)
		}
		saved = append(saved, more...)
	}
	f = &File{path: path, log: log, lines: make(chan history.Event, queue), done: make(chan struct{})}
	to, err := f.open()
	if err != nil {
		return saved, nil, fmt.Errorf("history: %w", err)
	}
	go f.write(to)
	return saved, f, nil
}

// read returns what is in a file, as far as it is whole.
func read(path string) (out []history.Event, err error) {
	f, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, 2*size))
	lines.Buffer(make([]byte, 0, 4096), lineBound)
	for lines.Scan() {
		var e history.Event
		if json.Unmarshal(lines.Bytes(), &e) == nil {
			out = append(out, e)
		}
	}
	return out, lines.Err()
}

// open opens the file at its end, behind a whole line.
func (f *File) open() (*os.File, error) {
	to, err := os.OpenFile(f.path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	fi, err := to.Stat()
	if err == nil {
		f.size = fi.Size()
	}
	if f.size > 0 {
		last := []byte{'\n'}
		if _, err = to.ReadAt(last, f.size-1); err == nil && last[0] != '\n' {
			_, err = to.Write([]byte{'\n'}) // what was torn ends here
			f.size++
		}
	}
	if err != nil {
		to.Close()
		return nil, err
	}
	return to, nil
}

// Keep notes an event. A disk that does not keep up loses the event, not our time.
func (f *File) Keep(e history.Event) {
	if f == nil {
		return
	}
	select {
	case f.lines <- e:
	default:
	}
}

// Close writes what waits.
func (f *File) Close() error {
	if f == nil {
		return nil
	}
	close(f.lines)
	<-f.done
	return nil
}

// write is the one goroutine that touches the disk.
func (f *File) write(to *os.File) {
	defer close(f.done)
	defer func() { to.Close() }()
	var b bytes.Buffer
	for e := range f.lines {
		b.Reset()
		n := 1
		err := encode(&b, e)
		for len(f.lines) > 0 && err == nil && n < queue { // together, and synced once
			err = encode(&b, <-f.lines)
			n++
		}
		if err == nil && f.size+int64(b.Len()) > size {
			to, err = f.rotate(to)
		}
		if err == nil {
			_, err = to.Write(b.Bytes())
			f.size += int64(b.Len())
		}
		if err == nil {
			err = unix.Fdatasync(int(to.Fd()))
		}
		if err != nil && !f.failed {
			f.log.Warn("events are not kept over a restart", "file", f.path, "err", err)
		}
		f.failed = err != nil
	}
}

func encode(b *bytes.Buffer, e history.Event) error { return json.NewEncoder(b).Encode(e) }

// rotate makes the file the old one. On an error the one that is open is gone on with.
func (f *File) rotate(to *os.File) (*os.File, error) {
	if err := os.Rename(f.path, filepath.Join(filepath.Dir(f.path), old)); err != nil {
		return to, err
	}
	next, err := f.open()
	if err != nil {
		return to, err
	}
	to.Close()
	return next, nil
}
