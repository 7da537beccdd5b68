package notify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"understudy/health/program"
)

// PipeConfig is a FIFO.
type PipeConfig struct {
	Path    string
	User    string   // whose it is, and who runs Command; "": whoever we are
	Command []string // reads it: started with the path as its last argument, and again when it ends; none: somebody else does
	Inherit bool     // Command has our environment
	Logger  *slog.Logger
}

// Pipe is a FIFO that events are written into, a line each. Nobody has to read it: what
// finds no room is dropped, counted and logged. It is for one goroutine.
type Pipe struct {
	cfg     PipeConfig
	fd      int
	log     limiter
	lost    uint64
	stop    context.CancelFunc
	endedC  chan struct{} // closed when the program has ended for good
	closing chan struct{} // closed when it is not to be started again
}

// pipeMode is keepalived's, whose umask leaves no more.
const pipeMode = 0o600

// ErrNoPipe tells that something that is no FIFO has its name.
var ErrNoPipe = errors.New("is there, and is no FIFO")

// OpenPipe makes the FIFO, or takes one that a predecessor has left, and starts the
// program that reads it.
func OpenPipe(cfg PipeConfig) (*Pipe, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	uid, gid, err := program.IDs(cfg.User)
	if err != nil {
		return nil, fmt.Errorf("pipe %s: %w", cfg.Path, err)
	}
	p := &Pipe{cfg: cfg, fd: -1, endedC: make(chan struct{}), closing: make(chan struct{}), stop: func() {}}
	if err := p.open(uid, gid); err != nil {
		return nil, fmt.Errorf("pipe %s: %w", cfg.Path, err)
	}
	if len(cfg.Command) == 0 {
		close(p.endedC)
		return p, nil
	}
	reader, err := program.New(program.Config{Argv: append(append([]string{}, cfg.Command...), cfg.Path), User: cfg.User, Inherit: cfg.Inherit})
	if err != nil {
		p.shut()
		return nil, fmt.Errorf("pipe %s: %w", cfg.Path, err)
	}
	var ctx context.Context
	ctx, p.stop = context.WithCancel(context.Background())
	go p.keep(ctx, reader)
	return p, nil
}

func (p *Pipe) open(uid, gid int) error {
	err := unix.Mkfifo(p.cfg.Path, pipeMode)
	if errors.Is(err, unix.ENOENT) {
		if err = os.MkdirAll(filepath.Dir(p.cfg.Path), 0o755); err == nil {
			err = unix.Mkfifo(p.cfg.Path, pipeMode)
		}
	}
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	st, err := os.Lstat(p.cfg.Path)
	if err != nil {
		return err
	}
	if st.Mode().Type() != fs.ModeNamedPipe {
		return ErrNoPipe
	}
	// For reading too: else there could be no writer before there is a reader, and what
	// a reader that is gone has left would be lost.
	if p.fd, err = unix.Open(p.cfg.Path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0); err != nil {
		return err
	}
	if err := unix.Fchown(p.fd, uid, gid); err != nil {
		return errors.Join(err, unix.Close(p.fd))
	}
	return nil
}

// Say writes a line, without waiting.
func (p *Pipe) Say(line string) {
	_, err := unix.Write(p.fd, append([]byte(line), '\n'))
	if err == nil {
		return
	}
	p.lost++
	if ok, _ := p.log.allow(time.Now()); ok {
		p.cfg.Logger.Warn("an event found no room in a pipe: nobody reads it", "pipe", p.cfg.Path, "event", line, "lost", p.lost, "err", err)
	}
}

// Again at the earliest, when the program that reads has ended.
const (
	againSoon = 100 * time.Millisecond
	againLate = 10 * time.Second
)

// keep runs the program again and again.
func (p *Pipe) keep(ctx context.Context, reader *program.Program) {
	defer close(p.endedC)
	for wait := againSoon; ; wait = min(2*wait, againLate) {
		began := time.Now()
		r := program.Result{Code: -1}
		if r.Err = reader.Trusted(); r.Err == nil {
			r = reader.Run(ctx, program.Run{Grace: grace, Output: maxOutput})
		}
		if ctx.Err() != nil {
			return
		}
		select {
		case <-p.closing:
			return
		default:
		}
		if time.Since(began) > againLate {
			wait = againSoon
		}
		p.cfg.Logger.Warn("the reader of a pipe has ended", "pipe", p.cfg.Path, "command", p.cfg.Command[0], "result", r.String(), "output", r.Output, "again_in", wait)
		select {
		case <-time.After(wait):
		case <-p.closing:
			return
		case <-ctx.Done():
			return
		}
	}
}

// Close says nothing more. The program that reads sees the end when it has read all, and has
// until ctx ends to be done with it; then it is ended. The FIFO is gone after it.
func (p *Pipe) Close(ctx context.Context) {
	close(p.closing)
	p.drain(ctx)
	p.shut()
	select {
	case <-p.endedC:
	case <-ctx.Done():
		p.stop()
		<-p.endedC // bounded by grace
	}
	p.stop()
}

// drain waits for our program to read what is there. It may have been started a moment ago, and
// not have opened the FIFO: what nobody has open loses what is in it.
func (p *Pipe) drain(ctx context.Context) {
	for {
		left, err := unix.IoctlGetInt(p.fd, unix.TIOCINQ)
		if err != nil || left == 0 {
			return
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-p.endedC: // or there never was one
			return
		case <-ctx.Done():
			return
		}
	}
}

func (p *Pipe) shut() {
	_ = os.Remove(p.cfg.Path)
	unix.Close(p.fd)
}
