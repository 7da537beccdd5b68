package notify

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"understudy/health/program"
)

// lane tells the commands of one subject, one after the other. Its goroutine ends
// when the subject goes, or with the Notifier.
type lane struct {
	n       *Notifier
	subject Subject
	wakeC   chan struct{} // holds one: there may be something to do
	memory  *memory

	mu       sync.Mutex
	spec     Spec
	commands []*command
	event    Event
	seq      uint64 // of event; 0: there was none
	early    bool   // only those that an activation waits for may hear of it
	waiting  []chan struct{}
	last     bool // nothing more will come
	retired  bool // the subject is no more
}

// command is one of a lane's, and what it knows.
type command struct {
	Command
	program *program.Program
	broken  error  // why it cannot be run at all
	told    uint64 // the event that it has heard, or did not want to hear
	knows   state  // what it was told last, by us or by a predecessor
	status  CommandStatus
	log     limiter
}

// state is what a command knows after it was told.
type state struct {
	State string `json:"state"`
	Term  uint64 `json:"term"` // of an activation; 0 otherwise
}

func (e Event) known() state {
	if e.State != active {
		return state{State: e.State}
	}
	return state{State: e.State, Term: e.Term}
}

const (
	active     = "active"
	initialize = "initialize"
)

func newLane(n *Notifier, s Subject) *lane {
	return &lane{n: n, subject: s, wakeC: make(chan struct{}, 1), memory: remember(n.cfg.Dir, s)}
}

// same tells whether a command of a new configuration is one of the old.
func (c Command) same(o Command) bool {
	return slices.Equal(c.Argv, o.Argv) && c.User == o.User && c.Before == o.Before && c.Style == o.Style && slices.Equal(c.States, o.States)
}

// hears tells whether the command is told of an event.
func (c Command) hears(ev Event) bool {
	if c.Before && ev.State != active {
		return false
	}
	return len(c.States) == 0 || slices.Contains(c.States, ev.State) || ev.Ending != "" && slices.Contains(c.States, string(ev.Ending))
}

// set goes over to other commands. One that is new hears how things are. A lane
// that was about to end goes on.
func (l *lane) set(s Spec) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last, l.retired = false, false
	before := l.commands
	l.spec, l.commands = s, nil
	for _, c := range s.Commands {
		i := slices.IndexFunc(before, func(o *command) bool { return o != nil && o.same(c) })
		if i >= 0 {
			before[i].Timeout = c.Timeout
			l.commands, before[i] = append(l.commands, before[i]), nil
			continue
		}
		k := &command{Command: c, status: CommandStatus{Command: c.Argv}}
		k.program, k.broken = program.New(program.Config{Argv: c.Argv, User: c.User, Inherit: l.n.cfg.Inherit})
		l.commands = append(l.commands, k)
	}
	l.settle()
	l.wake()
}

func (l *lane) wake() {
	select {
	case l.wakeC <- struct{}{}:
	default:
	}
}

// tell takes in an event. early: only for the commands that an activation waits for;
// the channel is closed when they have heard it, and nil if there are none.
func (l *lane) tell(ev Event, early bool) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last || early && !slices.ContainsFunc(l.commands, func(c *command) bool { return c.Before }) {
		return nil
	}
	switch same := l.seq > 0 && l.event.known() == ev.known(); {
	case same && l.early && !early:
		l.early = false // the rest of the commands may hear it now
	case same && ev.Known: // whoever has not heard it yet will
	default:
		l.release()
		l.seq++
		l.event, l.early = ev, early
		for _, c := range l.commands {
			if ev.Known && l.known(c) == ev.known() {
				c.told = l.seq
			}
		}
	}
	l.wake()
	if !early {
		return nil
	}
	done := make(chan struct{})
	l.waiting = append(l.waiting, done)
	l.settle()
	return done
}

// known is what a command was told last: by us, or by a predecessor.
func (l *lane) known(c *command) state {
	if c.knows.State == "" {
		c.knows = l.memory.of(c.Command)
	}
	return c.knows
}

// release lets those go on who wait for an event that is over.
func (l *lane) release() {
	for _, c := range l.waiting {
		close(c)
	}
	l.waiting = nil
}

// settle passes over commands that do not want to hear the event, and lets those go
// on who wait for the others, if there are none left.
func (l *lane) settle() {
	open := false
	for _, c := range l.commands {
		if c.told < l.seq && !c.hears(l.event) {
			c.told = l.seq
		}
		open = open || c.Before && c.told < l.seq
	}
	if !open {
		l.release()
	}
}

// next is the first command that has to hear the latest event; nil if there is
// none. The caller has the lock.
func (l *lane) next() *command {
	l.settle()
	for _, c := range l.commands {
		if c.told < l.seq && (!l.early || c.Before) {
			return c
		}
	}
	return nil
}

// finish lets the lane end once everybody has heard the latest event.
func (l *lane) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last, l.early = true, false
	l.wake()
}

// retire ends the lane of a subject that is no more: that is the last that its
// commands hear.
func (l *lane) retire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.release()
	if l.seq > 0 && l.event.State != initialize {
		l.seq++
		l.event = Event{State: initialize, Term: l.event.Term, Cause: "reconfigure", Priority: l.event.Priority, Ending: Deleted}
	}
	l.last, l.retired, l.early = true, true, false
	l.wake()
}

// run is the lane's goroutine.
func (l *lane) run() {
	if n := l.memory.endOrphans(); n > 0 {
		l.n.cfg.Logger.Warn("a predecessor's program was still running and was ended", l.attrs("processes", n)...)
	}
	for {
		l.mu.Lock()
		c, last, early := l.next(), l.last, l.early
		l.mu.Unlock()
		switch {
		case l.n.ctx.Err() != nil:
			return
		case c != nil:
			l.turn(early)
		case last && l.n.drop(l):
			return
		case last: // not any more
		default:
			select {
			case <-l.wakeC:
			case <-l.n.ctx.Done():
			}
		}
	}
}

// turn runs one command, when there is room.
func (l *lane) turn(early bool) {
	if !early {
		select {
		case l.n.slots <- struct{}{}:
			defer func() { <-l.n.slots }()
		case <-l.n.ctx.Done():
			return
		}
	}
	l.mu.Lock()
	c := l.next() // there may have been another event
	if c == nil {
		l.mu.Unlock()
		return
	}
	ev, seq, spec, previous := l.event, l.seq, l.spec, l.known(c)
	timeout := c.Timeout
	c.status.Running = true
	l.mu.Unlock()

	began := time.Now()
	r := l.execute(c, timeout, ev, spec, previous)
	cut := l.n.ctx.Err() != nil // it may not have come to its end
	l.mu.Lock()
	if !cut {
		c.told, c.knows = seq, ev.known()
	}
	c.status = CommandStatus{Command: c.Argv, State: ev.State, At: began, Took: time.Since(began), Code: r.Code,
		Runs: c.status.Runs + 1, Failures: c.status.Failures}
	if r.Err != nil {
		c.status.Failures++
		c.status.Error = r.String()
	}
	knows := make([]memo, 0, len(l.commands))
	for _, c := range l.commands {
		if k := l.known(c); k.State != "" {
			knows = append(knows, memo{Argv: c.Argv, User: c.User, Style: c.Style, state: k})
		}
	}
	l.settle()
	l.mu.Unlock()
	l.memory.ended(knows, !cut)
	l.report(c, ev, r, time.Since(began))
}

// grace is how long a program has to end by itself after SIGTERM.
const grace = time.Second

// maxOutput is how much of what a program writes is logged.
const maxOutput = 2048

// errTooLong is the cause of a program's end by its timeout.
var errTooLong = errors.New("ended by its timeout")

func (l *lane) execute(c *command, timeout time.Duration, ev Event, spec Spec, previous state) program.Result {
	err := c.broken
	if err == nil {
		err = c.program.Trusted()
	}
	if err != nil {
		return program.Result{Err: fmt.Errorf("not run: %w", err), Code: -1}
	}
	ctx, cancel := contextWithin(l.n.ctx, timeout)
	defer cancel()
	mark := newMark()
	return c.program.Run(ctx, program.Run{
		Args: arguments(c.Style, ev, spec), Env: append(environment(l.n.cfg.Node, l.subject, ev, spec, previous), mark),
		Grace: grace, Spare: true, Output: maxOutput,
		Started: func(pid int) { l.memory.began(pid, mark) },
	})
}

func (l *lane) attrs(more ...any) []any {
	return append([]any{string(l.subject.Kind), l.subject.Name}, more...)
}

// report writes one line about a run; what one command writes is bounded in length
// and in number.
func (l *lane) report(c *command, ev Event, r program.Result, took time.Duration) {
	attrs := l.attrs("command", c.Argv[0], "state", ev.State, "term", ev.Term, "result", r.String(), "took", took)
	ok, left := c.log.allow(time.Now())
	switch {
	case ok && r.Output != "":
		attrs = append(attrs, "output", r.Output)
	case !ok:
		attrs = append(attrs, "output", "left out: too much of it")
	}
	if left > 0 {
		attrs = append(attrs, "outputs_left_out", left)
	}
	if r.Err != nil {
		l.n.cfg.Logger.Warn("notify", attrs...)
		return
	}
	l.n.cfg.Logger.Info("notify", attrs...)
}

func (l *lane) status() (out []CommandStatus) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.commands {
		out = append(out, c.status)
	}
	return out
}
