package dropin

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrRunning tells that the process which a file names is alive.
var ErrRunning = errors.New("daemon is already running")

// PIDFile is a file with the number of this process. It is locked as long as the
// process lives, so that one which a dead process has left stops nobody.
type PIDFile struct {
	path string
	file *os.File
}

// pidMode is keepalived's; it does not follow the umask.
const pidMode = 0o644

// LockPID writes the number of this process to a file.
func LockPID(path string) (*PIDFile, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, pidMode)
		if errors.Is(err, os.ErrNotExist) {
			if err = os.MkdirAll(filepath.Dir(path), 0o755); err == nil {
				continue
			}
		}
		if err != nil {
			return nil, fmt.Errorf("pid file: %w", err)
		}
		lock := unix.Flock_t{Type: unix.F_WRLCK}
		if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lock); err != nil {
			f.Close()
			if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
				return nil, fmt.Errorf("%w: %s", ErrRunning, path)
			}
			return nil, fmt.Errorf("pid file: %s: %w", path, err)
		}
		// One that has just ended may have taken the name away from what we have locked.
		if !stillThere(f, path) {
			f.Close()
			continue
		}
		p := &PIDFile{path: path, file: f}
		if err := p.write(); err != nil {
			p.Remove()
			return nil, fmt.Errorf("pid file: %w", err)
		}
		return p, nil
	}
}

func stillThere(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(path)
	return err == nil && os.SameFile(a, b)
}

func (p *PIDFile) write() error {
	if err := p.file.Chmod(pidMode); err != nil {
		return err
	}
	if err := p.file.Truncate(0); err != nil {
		return err
	}
	_, err := p.file.WriteAt([]byte(fmt.Sprintf("%d\n", os.Getpid())), 0)
	return err
}

// Remove takes the file away, and lets go of it after that.
func (p *PIDFile) Remove() {
	_ = os.Remove(p.path)
	p.file.Close()
}

// PIDFiles are those of one process: whoever signals any of keepalived's finds the
// one that takes signals.
type PIDFiles []*PIDFile

// LockPIDs writes several files, or none.
func LockPIDs(paths ...string) (all PIDFiles, err error) {
	for _, path := range paths {
		p, err := LockPID(path)
		if err != nil {
			all.Remove()
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// Remove takes them away.
func (all PIDFiles) Remove() {
	for _, p := range all {
		p.Remove()
	}
}
