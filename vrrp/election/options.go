package election

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"understudy/vrrp"
	"understudy/vrrp/record"
)

// Spawn starts the other process of the pair with these two descriptors as its
// files 3 and 4. The child must outlive its parent: no parent death signal.
type Spawn func(link, board *os.File) (*os.Process, error)

// InheritedFiles are the descriptors that a Spawn has passed.
func InheritedFiles() (link, board *os.File) {
	return os.NewFile(3, "link"), os.NewFile(4, "board")
}

// Options is what Run needs. Zero durations have the defaults that are given.
type Options struct {
	Config      vrrp.SetConfig // of the first start; a later election is told by its daemon
	SpawnDaemon Spawn
	// Unfit, if set, is called when a daemon could not be started, or has ended
	// before it was Ready: SpawnDaemon may start another program the next time.
	Unfit func()
	// Version is of the program, for the status.
	Version string

	// Link and Board are set in an election that a daemon has started in place of
	// a dead one.
	Link, Board *os.File

	// Begin, if set, makes it an election that is started before its predecessor goes: it
	// waits for its configuration, and calls Begin when that comes.
	Begin func() error

	// Relieved, if set, is called when it makes way for another one, which may begin then.
	Relieved func()

	// OwnAddresses is the protocol (IFA_PROTO) of addresses that we put into the
	// kernel: adverts are never sent from one of those.
	OwnAddresses uint8

	Watchdog   time.Duration // silence after which a daemon is killed: 2 s
	Budget     time.Duration // how long a dead daemon may be away before we let go: 2 s
	StartLimit time.Duration // how long a daemon may take to its first beat: 10 s
	DrainLimit time.Duration // how long a stopping daemon may wait for its peer: 1.5 s
	ByeLimit   time.Duration // how long it may then take to tidy up: 5 s

	// Ready, if set, is called once, on a goroutine of its own, when a daemon is
	// Ready for the first time.
	Ready func()

	// Requests are signals that are no affair of the election: the daemon is asked for
	// what they are called here.
	Requests map[os.Signal]string

	// Say, if set, is told on a goroutine of its own what service managers want to
	// know, in its order.
	Say func(News)

	// Dogs are timers that reset the machine or end the service unless they are fed.
	Dogs []DogConfig

	Logger *slog.Logger
	// Level is what Logger logs, if the daemon may change it.
	Level *slog.LevelVar
	Tape  *record.Tape // of what the Set is given and decides; nil: none
}

// News is what service managers want to know of a process.
type News uint8

// The news. That the node is ready for the first time is Options.Ready's.
const (
	NewsReloading News = iota // SIGHUP came
	NewsReloaded              // and the daemon is done with it, or another daemon has begun
	NewsStopping
)

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{
		{&o.Watchdog, 2 * time.Second},
		{&o.Budget, 2 * time.Second},
		{&o.StartLimit, 10 * time.Second},
		{&o.DrainLimit, 1500 * time.Millisecond},
		{&o.ByeLimit, 5 * time.Second},
	} {
		if *d.v == 0 {
			*d.v = d.def
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// ExitError tells that the daemon cannot be started.
type ExitError struct{ Code int }

func (e *ExitError) Error() string {
	return fmt.Sprintf("election: the daemon does not start: exit code %d", e.Code)
}
