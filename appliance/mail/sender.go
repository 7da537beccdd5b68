package mail

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Config is where alerts go.
type Config struct {
	Server  string // HOST:PORT
	Helo    string // our name to it
	From    string
	To      []string
	Timeout time.Duration // of the connection, then of each mail
}

func (c *Config) equal(o *Config) bool {
	return c != nil && o != nil && c.Server == o.Server && c.Helo == o.Helo && c.From == o.From && slices.Equal(c.To, o.To) && c.Timeout == o.Timeout
}

// Status is what has become of alerts in this process.
type Status struct {
	Sent, Failed, Dropped uint64
	Waiting               int
	Error                 string    // of the last failure; "" since one was sent
	At                    time.Time // when that was
}

const (
	// maxWaiting is how many mails wait at most: a node with a hundred routers that moves
	// and comes back.
	maxWaiting = 512
	// patience is how long a mail is tried.
	patience = 10 * time.Minute
	// The pause after a failure, and what it grows to. A route to the server may be there a
	// moment after an election.
	pauseFirst = time.Second
	pauseLast  = time.Minute
)

// Sender sends alerts. It is safe for concurrent use.
type Sender struct {
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc
	wakeC  chan struct{} // holds one: there is something to do
	endedC chan struct{} // closed when the goroutine has ended
	hurryC chan struct{} // closed when nothing is waited for any more

	mu      sync.Mutex
	cfg     *Config
	queue   []Message
	at      uint64 // number of the first of the queue; each mail has one
	status  Status
	logged  time.Time // when a failure was logged last
	silent  int       // failures since
	closing bool
}

// New returns a Sender that has nowhere to send to yet.
func New(log *slog.Logger) *Sender {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Sender{log: log, wakeC: make(chan struct{}, 1), endedC: make(chan struct{}), hurryC: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	go s.run()
	return s
}

// Set says where to; nil: nowhere, and what waits is dropped. What waits goes to the new
// place.
func (s *Sender) Set(cfg *Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cfg.equal(s.cfg) {
		return
	}
	s.cfg = cfg
	if cfg == nil {
		s.drop(len(s.queue))
	}
	s.wake()
}

// Tell queues an alert. It does not wait.
func (s *Sender) Tell(m Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfg == nil || s.closing {
		return
	}
	if len(s.queue) == maxWaiting {
		s.drop(1)
	}
	s.queue = append(s.queue, m)
	s.wake()
}

func (s *Sender) wake() {
	select {
	case s.wakeC <- struct{}{}:
	default:
	}
}

// drop forgets the oldest. It is called with the lock held.
func (s *Sender) drop(n int) {
	s.status.Dropped += uint64(n)
	s.forget(n)
}

func (s *Sender) forget(n int) {
	s.queue = slices.Delete(s.queue, 0, n)
	s.at += uint64(n)
}

// Status tells what has become of alerts.
func (s *Sender) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.status
	out.Waiting = len(s.queue)
	return out
}

// Finish sends what waits, at once and at most until ctx ends. Nothing is sent after it.
func (s *Sender) Finish(ctx context.Context) {
	s.mu.Lock()
	again := s.closing
	s.closing = true
	s.mu.Unlock()
	if !again {
		close(s.hurryC)
	}
	select {
	case <-s.endedC:
	case <-ctx.Done():
		s.cancel()
		<-s.endedC // its connection is closed
	}
	s.cancel()
}

// Close ends it at once.
func (s *Sender) Close() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.Finish(ctx)
}

func (s *Sender) run() {
	defer close(s.endedC)
	pause := time.Duration(0)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if pause > 0 {
			timer.Reset(pause)
			select {
			case <-timer.C:
			case <-s.hurryC:
			case <-s.ctx.Done():
			}
		}
		hurried := s.hurried()
		if cfg, _, _, ok := s.next(); ok {
			if s.deliver(cfg) {
				pause = 0
			} else {
				pause = min(max(2*pause, pauseFirst), pauseLast)
			}
			if !hurried {
				continue // after the last one comes a look for what came meanwhile
			}
		}
		pause = 0
		if hurried {
			s.giveUp()
			return
		}
		select {
		case <-s.wakeC:
		case <-s.hurryC:
		}
	}
}

func (s *Sender) hurried() bool {
	select {
	case <-s.hurryC:
		return true
	default:
		return false
	}
}

// next is the oldest mail, and where it goes.
func (s *Sender) next() (cfg *Config, m Message, number uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfg == nil || len(s.queue) == 0 || s.ctx.Err() != nil {
		return nil, Message{}, 0, false
	}
	return s.cfg, s.queue[0], s.at, true
}

// deliver sends what waits over one connection; false: there is something left, and the
// server should be left alone for a while.
func (s *Sender) deliver(cfg *Config) bool {
	link, err := dial(s.ctx, cfg)
	if err != nil {
		s.failed(err, 0, false)
		return false
	}
	for {
		now, m, number, ok := s.next()
		if !ok {
			link.quit()
			return true
		}
		if now != cfg {
			link.quit()
			return true // the rest goes elsewhere
		}
		refused, err := link.send(m)
		if err == nil {
			s.sent(number, refused)
			continue
		}
		good := forGood(err)
		s.failed(err, number, good)
		if !good || link.again() != nil {
			link.close()
			return false
		}
	}
}

// sent takes a mail out of the queue, if it has not made way for another meanwhile.
func (s *Sender) sent(number uint64, refused error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Sent++
	s.status.Error = ""
	if refused != nil {
		s.complain(refused)
	}
	s.take(number)
}

// take forgets a mail. One that is not there any more was dropped before its end was
// known: it is not both.
func (s *Sender) take(number uint64) {
	if len(s.queue) > 0 && s.at == number {
		s.forget(1)
	} else {
		s.status.Dropped--
	}
}

// failed notes a failure. The mail of that number is given up if it is for good; each
// that has been tried for long enough is.
func (s *Sender) failed(err error, number uint64, good bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(err, context.Canceled) || s.ctx.Err() != nil {
		return // the end, which counts what is left
	}
	if good {
		s.status.Failed++
		s.take(number)
	}
	for len(s.queue) > 0 && time.Since(s.queue[0].At) > patience {
		s.status.Failed++
		s.forget(1)
	}
	s.complain(err)
}

// logPeriod is how often failures are logged.
const logPeriod = time.Minute

// complain notes why something failed, and logs it now and then.
func (s *Sender) complain(err error) {
	now := time.Now()
	s.status.Error, s.status.At = oneLine(err.Error()), now
	if !s.logged.IsZero() && now.Sub(s.logged) < logPeriod {
		s.silent++
		return
	}
	server := ""
	if s.cfg != nil {
		server = s.cfg.Server
	}
	s.log.Warn("an alert was not sent by mail", "server", server, "err", s.status.Error, "waiting", len(s.queue),
		"failed", s.status.Failed, "dropped", s.status.Dropped, "not_logged", s.silent)
	s.logged, s.silent = now, 0
}

// giveUp counts what is left at the end.
func (s *Sender) giveUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.queue); n > 0 {
		s.status.Failed += uint64(n)
		s.forget(n)
		s.log.Warn("alerts were not sent before the end", "mails", n, "err", s.status.Error)
	}
}
