package notify

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Kind is what a program is told of.
type Kind string

// The kinds.
const (
	Router Kind = "router"
	Group  Kind = "group"
	Entry  Kind = "entry"  // an entry point; its states are up, down and end
	Server Kind = "server" // one of its servers; so are its
	// Outranks is a router again, for those who want to hear of each advert of a lower
	// priority while it is active. Its only state is inferior.
	Outranks Kind = "outranks"
)

// Subject is whatever has states that programs are told of.
type Subject struct {
	Kind Kind
	Name string
}

// String is for log lines and file names: "router-lan".
func (s Subject) String() string { return string(s.Kind) + "-" + s.Name }

// Words for [Spec.Line] that are no states: the priority is another, and the router is active, or stands by.
const (
	ActivePriority = "active-priority"
	BackupPriority = "backup-priority"
)

// Style is what arguments a program gets beside its own.
type Style string

// The styles.
const (
	Plain      Style = "none"
	Keepalived Style = "keepalived" // INSTANCE|GROUP, name, MASTER|BACKUP|FAULT|STOP|DELETED, priority
)

// Command is a program and what it wants to know.
type Command struct {
	Argv    []string
	User    string
	States  []string      // it is told of, endings too; none: all
	Before  bool          // activation waits for it; it is told of active only
	Timeout time.Duration // then it is ended
	Style   Style
}

// Spec is a subject and its commands, in their order.
type Spec struct {
	Subject
	Commands []Command
	Env      []string // NAME=value, the same in every run
	// Called is its name in the file, if it has another one there: see Keepalived.
	Called string
}

// Ending says why a subject is in initialize, if it will not come out of it.
type Ending string

// The endings.
const (
	Stop    Ending = "stop"    // the node ends
	Deleted Ending = "deleted" // a reload has taken it out of the file
)

// saysDeleted tells whether somebody wants to hear of the end by a reload as such, and
// not as of a fault, which it is to keepalived otherwise.
func (s Spec) saysDeleted() bool {
	return slices.ContainsFunc(s.Commands, func(c Command) bool { return slices.Equal(c.States, []string{string(Deleted)}) })
}

// Event is a state of a subject.
type Event struct {
	State    string // initialize, backup, active, fault
	Term     uint64
	Cause    string
	Priority int
	Ending   Ending
	// Known: it may have been so for a while. Commands that were told do not run.
	Known bool
}

// Config is what a Notifier needs.
type Config struct {
	Node   string
	Dir    string // where it keeps what was told; it is made if it is not there
	Logger *slog.Logger
	// Inherit: programs have our environment, as keepalived's have.
	Inherit bool
}

// Notifier tells. It is safe for concurrent use.
type Notifier struct {
	cfg    Config
	ctx    context.Context // of all programs
	cancel context.CancelFunc
	// slots bounds how many programs run at once: a thousand routers that move
	// together must not become a thousand processes. What hangs is bounded by its
	// timeout, and what an activation waits for does not ask.
	slots chan struct{}

	mu      sync.Mutex
	lanes   map[Subject]*lane
	closing bool
	running sync.WaitGroup
}

// maxRunning is how many programs run at once.
const maxRunning = 64

// New returns a Notifier that has nobody to tell.
func New(cfg Config) *Notifier {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	n := &Notifier{cfg: cfg, slots: make(chan struct{}, maxRunning), lanes: make(map[Subject]*lane)}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	return n
}

// Set says which commands there are. Subjects that stay keep what their commands
// know. A subject that goes is told that it is in initialize, and is then forgotten.
func (n *Notifier) Set(specs []Spec) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closing {
		return
	}
	stays := make(map[Subject]bool)
	for _, s := range specs {
		if len(s.Commands) == 0 {
			continue
		}
		stays[s.Subject] = true
		l := n.lanes[s.Subject]
		if l == nil {
			l = newLane(n, s.Subject)
			n.lanes[s.Subject] = l
			n.running.Go(l.run)
		}
		l.set(s)
	}
	for s, l := range n.lanes {
		if !stays[s] {
			l.retire()
		}
	}
}

// drop forgets a lane that has nothing to do and will have nothing any more; false
// if it will.
func (n *Notifier) drop(l *lane) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.last || l.next() != nil {
		return false
	}
	if l.retired {
		l.memory.remove()
	}
	delete(n.lanes, l.subject)
	return true
}

// Tell says in which state a subject is. It does not wait.
func (n *Notifier) Tell(s Subject, ev Event) {
	if l := n.lane(s); l != nil {
		l.tell(ev, false)
	}
}

// Before runs the commands that the activation of the subjects waits for, and
// returns when they have ended, when another event makes them pointless, or when
// ctx ends. What they are told must be said by Tell, too: the rest of the commands
// hears it then.
func (n *Notifier) Before(ctx context.Context, events map[Subject]Event) {
	var waits []<-chan struct{}
	for s, ev := range events {
		if l := n.lane(s); l != nil {
			if c := l.tell(ev, true); c != nil {
				waits = append(waits, c)
			}
		}
	}
	for _, c := range waits {
		select {
		case <-c:
		case <-ctx.Done():
			return
		}
	}
}

func (n *Notifier) lane(s Subject) *lane {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lanes[s]
}

// Finish waits until everybody has been told the last event, at most until ctx
// ends; then what still runs is ended. Nothing is told after it.
func (n *Notifier) Finish(ctx context.Context) {
	n.mu.Lock()
	n.closing = true
	for _, l := range n.lanes {
		l.finish()
	}
	n.mu.Unlock()
	endedC := make(chan struct{})
	go func() { n.running.Wait(); close(endedC) }()
	select {
	case <-endedC:
	case <-ctx.Done():
		n.cancel()
		<-endedC // bounded by grace
	}
	n.cancel()
}

// Status is what is known of a subject's commands, in their order.
func (n *Notifier) Status(s Subject) []CommandStatus {
	if l := n.lane(s); l != nil {
		return l.status()
	}
	return nil
}

// CommandStatus is one command and how its last run went.
type CommandStatus struct {
	Command  []string
	State    string    // that it was told last; "" if it never ran
	At       time.Time // when that run began
	Took     time.Duration
	Code     int    // exit code; -1: none
	Error    string // "" if it went well
	Running  bool
	Runs     uint64 // in this process
	Failures uint64
}

// Failing lists the commands whose last run failed, for an alarm.
func (n *Notifier) Failing() string {
	n.mu.Lock()
	lanes := make([]*lane, 0, len(n.lanes))
	for _, l := range n.lanes {
		lanes = append(lanes, l)
	}
	n.mu.Unlock()
	var list []string
	for _, l := range lanes {
		for _, s := range l.status() {
			if s.Error != "" {
				list = append(list, string(l.subject.Kind)+" "+l.subject.Name+": "+filepath.Base(s.Command[0])+": "+s.Error)
			}
		}
	}
	slices.Sort(list)
	return strings.Join(list, "; ")
}
