package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"understudy/nat/session"
)

// Config is what a [Journal] is made of. Values of 0 take the default.
type Config struct {
	Dir         string
	SegmentSize int64         // 64 MiB; one may be larger by what is written at once
	Sync        time.Duration // fsync so often, while something was written: 1 s
	SyncRecords int           // and after so many records: 32,768
	Logger      *slog.Logger  // nil: discard

	// Create makes a segment's file, which must not be there; nil: on the disk.
	Create func(path string) (File, error)
}

// Want is what the owner of the sessions wants of the journal.
type Want uint8

const (
	Leave Want = iota // go on with what you do
	Write             // write
	Drop              // stop, and remove what there is: somebody else has it all
)

// Source is who has the sessions. [Journal.Run] alone calls it; what it does must not
// wait for the disk.
type Source interface {
	// Wants is asked several times a second; sync is how often what was written is
	// made last, 0 if that is the journal's to say.
	Wants(now time.Time) (w Want, sync time.Duration)
	// Due tells whether a snapshot must be begun.
	Due(now time.Time) bool
	// Head returns the head of a new segment, and begins a snapshot if asked to.
	Head(now time.Time, sequence uint64, snapshot bool) session.JournalHead
	// Fill is [session.Journal.Fill].
	Fill(now time.Time, b []byte) (out []byte, records int, complete bool)
	// Stop: nothing is written any more, until Head begins a snapshot.
	Stop()
}

// State is what a journal does, by the word of the status.
type State string

const (
	Idle    State = "idle"    // nothing: peers have all, or there is nothing
	Writing State = "writing" // what changes
	Failing State = "failing" // it cannot, and tries again
)

// Status is the state of a journal at one moment.
type Status struct {
	State     State
	Bytes     int64  // in files
	Records   uint64 // written since the start
	Fsyncs    uint64
	Failures  uint64
	LastError string // of the last failure; empty: there was none
}

// Journal is the journal in one directory.
type Journal struct {
	cfg  Config
	log  *slog.Logger
	lock *os.File // nil: not held
	w    writer
	buf  []byte

	writing bool
	pace    time.Duration // between two fsyncs
	dropped bool          // since the last writing
	failed  int           // tries in a row
	again   time.Time     // not before that

	mu     sync.Mutex
	status Status
}

const (
	stepEvery    = 100 * time.Millisecond // how long a record may wait to be written
	fillSize     = 64 << 10
	breath       = time.Millisecond // between full buffers: others want the table too
	pauseMin     = time.Second
	pauseMax     = time.Minute
	giveUpOld    = 6               // tries on a full disk before what is there makes room: half a minute
	finishWithin = 2 * time.Second // at the end
)

// New returns the journal in cfg.Dir. Nothing is touched yet.
func New(cfg Config) *Journal {
	if cfg.SegmentSize <= 0 {
		cfg.SegmentSize = 64 << 20
	}
	if cfg.Sync <= 0 {
		cfg.Sync = time.Second
	}
	if cfg.SyncRecords <= 0 {
		cfg.SyncRecords = 1 << 15
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Create == nil {
		cfg.Create = createFile
	}
	return &Journal{cfg: cfg, log: cfg.Logger, buf: make([]byte, 0, fillSize), status: Status{State: Idle},
		w: writer{dir: cfg.Dir, size: cfg.SegmentSize, create: cfg.Create}}
}

// Look reads what is there; nil, if nothing is. Run must not have begun.
func (j *Journal) Look() (*Found, error) {
	if _, err := os.Stat(j.cfg.Dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err := j.prepare(); err != nil {
		return nil, err
	}
	f, err := look(j.cfg.Dir)
	if err == nil && f != nil {
		j.note(func(s *Status) { s.Bytes = sizeOf(f.segs) })
	}
	return f, err
}

// prepare makes the directory and keeps others out of it.
func (j *Journal) prepare() error {
	if j.lock != nil {
		return nil
	}
	if err := os.MkdirAll(j.cfg.Dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(j.cfg.Dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("%s is used by another program", j.cfg.Dir)
		}
		return os.NewSyscallError("flock", err)
	}
	j.lock = f
	return nil
}

// Close lets others use the directory. Run must have returned.
func (j *Journal) Close() error {
	if j.lock == nil {
		return nil
	}
	err := j.lock.Close()
	j.lock = nil
	return err
}

// Status returns the journal's state.
func (j *Journal) Status() Status {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.status
}

func (j *Journal) note(change func(*Status)) {
	j.mu.Lock()
	change(&j.status)
	j.mu.Unlock()
}

// Run writes what src wants written, until ctx ends; then what is left, for a
// moment. No failure ends it. A disk that does not answer at the end is left alone
// with its goroutine: what else the program has to tidy up must not wait for it.
func (j *Journal) Run(ctx context.Context, src Source) {
	done := make(chan struct{})
	go func() { defer close(done); j.loop(ctx, src) }()
	select {
	case <-done:
		return
	case <-ctx.Done():
	}
	select {
	case <-done:
	case <-time.After(2 * finishWithin):
		j.log.Warn("the disk does not answer: the last sessions are not on it", "dir", j.cfg.Dir)
	}
}

func (j *Journal) loop(ctx context.Context, src Source) {
	tick := time.NewTicker(stepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			j.finish(time.Now(), src)
			return
		case now := <-tick.C:
			j.step(ctx, now, src)
		}
	}
}

func (j *Journal) step(ctx context.Context, now time.Time, src Source) {
	want, pace := src.Wants(now)
	if j.pace = pace; pace <= 0 {
		j.pace = j.cfg.Sync
	}
	switch want {
	case Write:
		if !j.writing && !now.Before(j.again) {
			j.start(now, src)
		}
	case Drop:
		j.drop(src)
	}
	if !j.writing {
		return
	}
	if err := j.work(ctx, now, src); err != nil {
		j.fail(now, src, err)
	}
	j.count()
}

func (j *Journal) start(now time.Time, src Source) {
	err := j.prepare()
	if err == nil {
		err = j.w.begin()
	}
	if err != nil {
		j.fail(now, src, err)
		return
	}
	j.writing, j.dropped = true, false
	if j.failed == 0 {
		j.log.Info("sessions are written to disk", "dir", j.cfg.Dir)
		j.note(func(s *Status) { s.State = Writing })
	}
}

// work writes all there is to write.
func (j *Journal) work(ctx context.Context, now time.Time, src Source) error {
	w := &j.w
	if src.Due(now) {
		if err := w.open(src.Head(now, w.next(), true)); err != nil {
			return err
		}
	}
	for ctx.Err() == nil {
		b, n, complete := src.Fill(now, j.buf[:0])
		if len(b) == 0 {
			break
		}
		if w.full(len(b)) {
			if err := w.open(src.Head(now, w.next(), false)); err != nil {
				return err
			}
			j.note(func(s *Status) { s.Fsyncs++ }) // of the one before
		}
		if err := w.write(b, n); err != nil {
			return err
		}
		j.note(func(s *Status) { s.Records += uint64(n) })
		if complete || w.unsynced >= j.cfg.SyncRecords {
			if err := j.sync(now); err != nil {
				return err
			}
		}
		if complete {
			if err := w.settle(); err != nil {
				return err
			}
			j.healed()
		}
		if len(b) > fillSize/2 {
			time.Sleep(breath)
		}
	}
	if now.Sub(w.synced) >= j.pace {
		return j.sync(now)
	}
	return nil
}

func (j *Journal) sync(now time.Time) error {
	touched := j.w.touched
	err := j.w.sync(now)
	if touched && err == nil {
		j.note(func(s *Status) { s.Fsyncs++ })
	}
	return err
}

func (j *Journal) count() {
	size := sizeOf(j.w.segs)
	j.note(func(s *Status) { s.Bytes = size })
}

// fail gives up what is being written, until the next try.
func (j *Journal) fail(now time.Time, src Source, err error) {
	src.Stop()
	j.writing = false
	j.w.abandon()
	if errors.Is(err, fs.ErrNotExist) {
		j.Close() // the directory is gone, and the lock with it
	}
	j.failed++
	pause := pauseMax
	if j.failed < 7 {
		pause = pauseMin << (j.failed - 1)
	}
	j.again = now.Add(pause)
	if j.failed == 1 {
		j.log.Warn("sessions are not written to disk", "dir", j.cfg.Dir, "err", err)
	} else {
		j.log.Debug("sessions are still not written to disk", "dir", j.cfg.Dir, "err", err, "again", pause)
	}
	if errors.Is(err, unix.ENOSPC) && j.failed >= giveUpOld {
		// It is old by now, and perhaps what fills the disk.
		if err := j.w.empty(); err != nil {
			j.log.Debug("the journal was not removed", "err", err)
		}
	}
	j.note(func(s *Status) { s.State, s.LastError = Failing, err.Error(); s.Failures++ })
}

// healed: a snapshot is on the disk.
func (j *Journal) healed() {
	if j.failed == 0 {
		return
	}
	j.log.Info("sessions are written to disk again", "dir", j.cfg.Dir, "tries", j.failed)
	j.failed = 0
	j.note(func(s *Status) { s.State = Writing })
}

// drop ends the writing and removes what was written.
func (j *Journal) drop(src Source) {
	if j.dropped {
		return
	}
	src.Stop()
	j.writing, j.dropped, j.failed = false, true, 0
	err := j.w.close()
	j.note(func(s *Status) { s.State = Idle })
	segs, err2 := list(j.cfg.Dir)
	if err = errors.Join(err, err2); len(segs) > 0 {
		if err = j.prepare(); err == nil {
			j.w.segs = segs
			err = j.w.empty()
			j.log.Info("the journal of sessions is removed", "dir", j.cfg.Dir)
		}
	}
	if err != nil {
		j.log.Warn("the journal was not removed", "dir", j.cfg.Dir, "err", err)
		j.note(func(s *Status) { s.LastError = err.Error(); s.Failures++ })
	}
	j.count()
}

// finish writes what is left, at an orderly end.
func (j *Journal) finish(now time.Time, src Source) {
	if !j.writing {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), finishWithin)
	defer cancel()
	err := j.work(ctx, now, src)
	if err == nil {
		err = j.sync(now)
	}
	if err == nil {
		err = j.w.close()
	}
	src.Stop()
	j.writing = false
	if err != nil {
		j.w.abandon()
		j.log.Warn("the last sessions were not written to disk", "dir", j.cfg.Dir, "err", err)
	}
	j.count()
}
