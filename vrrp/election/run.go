package election

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

// memoryLimit is where the collector would set in after all. An election that
// has not leaked never comes near it.
const memoryLimit = 128 << 20

// configureLimit is how long a daemon that has started us may take to say with
// what configuration.
const configureLimit = 5 * time.Second

// relieveLimit is how long one that was started beforehand waits for its predecessor to go.
const relieveLimit = 30 * time.Second

// Run is the election process: it returns when it was told to stop (SIGTERM,
// SIGINT, the end of ctx, or the daemon), or when the daemon cannot be started:
// then the error is an *ExitError. It takes over the process: signals, collector,
// and the thread it runs on.
func Run(ctx context.Context, opt Options) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if opt.Tape == nil { // a recording allocates with every step
		debug.SetGCPercent(-1)
	}
	debug.SetMemoryLimit(memoryLimit)
	// A timer may be rounded up by 50 us otherwise.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)

	opt = opt.withDefaults()
	queue := newQueued(opt.Logger.Handler())
	defer queue.close()
	log := slog.New(queue)

	board, err := opt.board()
	if err != nil {
		return err
	}
	ev, err := newEvents(ctx, opt.Requests)
	if err != nil {
		return err
	}
	defer ev.close()
	l, err := newLoop(opt, log, ev, board)
	if err != nil {
		return err
	}
	defer l.close()
	if opt.Link != nil {
		err = l.adopt()
	} else {
		err = l.configure(opt.Config)
		l.restartAt = l.now
		// What was needed to read a configuration is not needed again, and nobody
		// collects later. There is time now: nothing is Active.
		debug.FreeOSMemory()
	}
	if err != nil {
		return err
	}
	makeThreads(spareThreads)
	if l.realtime = becomeRealtime(); l.realtime != nil {
		log.Warn("not in the real-time class: adverts may be late on a busy machine; allow it with CAP_SYS_NICE or LimitRTPRIO=40", "err", l.realtime)
	}
	if l.apart, err = newApart(); err != nil {
		log.Warn("the election shares every processor with the daemon's dumps", "err", err)
	}
	log.Info("election", "node", l.set.Config().Node, "routers", len(l.routes), "respawned", opt.Link != nil)
	err = l.run()
	l.kennel.end(l.orderly)
	return err
}

func (o Options) board() (*Board, error) {
	if o.Board != nil {
		return OpenBoard(o.Board)
	}
	return NewBoard()
}

// adopt makes the process that has started us our daemon. It says first with what
// configuration; everything after that is the loop's.
func (l *loop) adopt() error {
	c, err := newConn(l.opt.Link)
	if err != nil {
		return err
	}
	pid, err := c.peer()
	if err != nil {
		return err
	}
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("election: the daemon that started us is gone: %w", err)
	}
	l.attach(&daemon{conn: c, pid: pid, pidfd: pidfd, beat: l.now})
	l.everReady = true // it was, or there would have been nothing to respawn for
	end := l.now.Add(configureLimit)
	if l.opt.Begin != nil {
		end = l.now.Add(relieveLimit)
		l.tell(Waiting{})
	}
	for l.set == nil {
		b, err := c.receive()
		if err != nil {
			return fmt.Errorf("election: %w", err)
		}
		if b == nil {
			if time.Now().After(end) {
				return fmt.Errorf("election: no configuration within %v", configureLimit)
			}
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}, 100)
			continue
		}
		m, err := Unmarshal(b)
		if err != nil {
			return err
		}
		if cfg, ok := m.(Configure); ok {
			l.now = time.Now()
			if err := l.configure(cfg.Config); err != nil {
				return err
			}
		}
	}
	l.now = time.Now()
	l.daemon.beat = l.now
	return nil
}
