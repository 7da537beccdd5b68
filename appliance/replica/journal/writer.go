package journal

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"understudy/nat/session"
)

// File is what is written to.
type File interface {
	io.WriteCloser
	Sync() error
}

// createFile makes a file that must not be there.
func createFile(path string) (File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

// writer writes segments. It belongs to the goroutine of [Journal.Run].
type writer struct {
	dir    string
	size   int64 // of a segment
	create func(path string) (File, error)

	file     File
	written  int64     // bytes of it that were written whole
	segs     []segment // all there are; the last is the one that is written
	snapshot int       // place in segs of the first segment of the snapshot
	complete bool      // that is all there

	unsynced int // records
	touched  bool
	synced   time.Time
}

// begin looks at what is there already. It is kept until a snapshot has replaced it.
func (w *writer) begin() (err error) {
	w.segs, err = list(w.dir)
	w.snapshot, w.complete = len(w.segs), false
	return err
}

// next is the number of the next segment.
func (w *writer) next() uint64 {
	if len(w.segs) == 0 {
		return 1
	}
	return w.segs[len(w.segs)-1].sequence + 1
}

// open begins a segment.
func (w *writer) open(head session.JournalHead) error {
	if err := w.close(); err != nil {
		return err
	}
	path := filepath.Join(w.dir, segmentName(head.Sequence))
	f, err := w.create(path)
	if err != nil {
		return err
	}
	w.file, w.written = f, 0
	w.segs = append(w.segs, segment{path: path, sequence: head.Sequence})
	if head.Snapshot {
		w.snapshot, w.complete = len(w.segs)-1, false
	}
	if err := w.write(session.AppendJournalHead(nil, &head), 0); err != nil {
		return err
	}
	return syncDir(w.dir)
}

func (w *writer) write(b []byte, records int) error {
	if _, err := w.file.Write(b); err != nil {
		return err
	}
	w.written += int64(len(b))
	w.segs[len(w.segs)-1].size = w.written
	w.unsynced += records
	w.touched = true
	return nil
}

func (w *writer) full(more int) bool { return w.written+int64(more) > w.size }

// sync makes all that is written last.
func (w *writer) sync(now time.Time) error {
	w.synced = now
	if w.file == nil || !w.touched {
		return nil
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	w.unsynced, w.touched = 0, false
	return nil
}

// settle removes what the snapshot has replaced, once that is on the disk.
func (w *writer) settle() error {
	w.complete = true
	err := remove(w.segs[:w.snapshot])
	w.segs = append(w.segs[:0], w.segs[w.snapshot:]...)
	w.snapshot = 0
	return errors.Join(err, syncDir(w.dir))
}

func (w *writer) close() error {
	if w.file == nil {
		return nil
	}
	err := w.sync(w.synced)
	err = errors.Join(err, w.file.Close())
	w.file = nil
	return err
}

// abandon ends the writing after a failure. An incomplete snapshot gives back the
// space that it takes, as what was there before it counts still; of a segment that
// goes on counting, the frame that was not written whole is cut off. Neither may work
// on such a disk, and a reader can do without.
func (w *writer) abandon() {
	if w.file != nil {
		w.file.Close()
		w.file, w.touched, w.unsynced = nil, false, 0
		if w.complete {
			os.Truncate(w.segs[len(w.segs)-1].path, w.written)
		}
	}
	if !w.complete && w.snapshot < len(w.segs) {
		remove(w.segs[w.snapshot:])
		w.segs = w.segs[:w.snapshot]
	}
}

// empty removes all there is.
func (w *writer) empty() error {
	err := remove(w.segs)
	w.segs, w.snapshot, w.complete = nil, 0, false
	return errors.Join(err, syncDir(w.dir))
}

// remove takes the newest first: what is left is a journal at each moment.
func remove(segs []segment) error {
	var errs []error
	for i := len(segs) - 1; i >= 0; i-- {
		if err := os.Remove(segs[i].path); !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// syncDir makes names last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) { // some file systems need none
		return err
	}
	return nil
}
