package election

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/vrrp"
)

// The tests run real processes: this binary again, in one of two roles.
const (
	roleVar = "UNDERSTUDY_TEST_ROLE" // election or daemon
	playVar = "UNDERSTUDY_TEST_PLAY" // a play in JSON
)

// play is what a node of a test is to do.
type play struct {
	Dir      string // where it notes its life, and finds what to do differently
	Config   vrrp.SetConfig
	Extra    int // addresses beside the virtual one
	Watchdog time.Duration
	Budget   time.Duration
	ByeLimit time.Duration
	// DrainLimit is how long a successor is waited for; 0: 1 s.
	DrainLimit time.Duration
	// NoRealtime: the process may not go into the real-time class.
	NoRealtime bool
}

func TestMain(m *testing.M) {
	role := os.Getenv(roleVar)
	if role == "" {
		os.Exit(m.Run())
	}
	var p play
	if err := json.Unmarshal([]byte(os.Getenv(playVar)), &p); err != nil {
		panic(err)
	}
	p.note("%s", role)
	if role == "daemon" {
		os.Exit(p.daemon())
	}
	os.Exit(p.election())
}

// note writes a line of "what pid" for the test to read.
func (p play) note(format string, args ...any) {
	f, err := os.OpenFile(filepath.Join(p.Dir, "notes"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		panic(err)
	}
	what := strings.ReplaceAll(fmt.Sprintf(format, args...), " ", "-")
	fmt.Fprintf(f, "%s %d\n", what, os.Getpid())
	f.Close()
}

// told looks for a file by which the test asks for something.
func (p play) told(what string) bool {
	_, err := os.Stat(filepath.Join(p.Dir, what))
	return err == nil
}

func (p play) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("pid", os.Getpid())
}

func (p play) spawn(role string) Spawn {
	return func(link, board *os.File) (*os.Process, error) {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), roleVar+"="+role)
		cmd.Stderr = os.Stderr
		cmd.ExtraFiles = []*os.File{link, board}
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		return cmd.Process, nil
	}
}

func (p play) election() int {
	if p.NoRealtime {
		if err := unix.Setrlimit(unix.RLIMIT_RTPRIO, &unix.Rlimit{}); err != nil {
			panic(err)
		}
	}
	opt := Options{Config: p.Config, SpawnDaemon: p.spawn("daemon"), OwnAddresses: addressMark,
		Watchdog: p.Watchdog, Budget: p.Budget, ByeLimit: p.ByeLimit, DrainLimit: cmp.Or(p.DrainLimit, time.Second), Logger: p.logger()}
	if os.Getenv("UNDERSTUDY_TEST_RESPAWNED") != "" {
		opt.Link, opt.Board = InheritedFiles()
		if p.told("slow-election") {
			time.Sleep(3 * p.Config.Routers[0].Interval) // more than two, and less than what a start may take
		}
	}
	err := Run(context.Background(), opt)
	var exit *ExitError
	switch {
	case errors.As(err, &exit):
		return exit.Code
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// daemon is a daemon without anything but its dealings with the election.
type daemon0 struct {
	play
	c      *Client
	held   bool
	stop   bool
	exec   *Executor
	vip    netip.Addr
	all    []netip.Prefix
	index  int
	config vrrp.SetConfig
}

func (p play) daemon() int {
	if p.told("bad-config") {
		return 2
	}
	os.Setenv("UNDERSTUDY_TEST_RESPAWNED", "1")
	link, board := InheritedFiles()
	c, err := Dial(ClientConfig{Link: link, Board: board, Config: p.Config, SpawnElection: p.spawn("election"),
		Fenced: func(g string, err error) { p.note("fenced-here") }, Logger: p.logger()})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	d := &daemon0{play: p, c: c, vip: p.Config.Routers[0].Addresses[0], index: interfaceIndex("lan0"), config: p.Config}
	d.all = []netip.Prefix{netip.PrefixFrom(d.vip, 24)}
	for i := range p.Extra {
		d.all = append(d.all, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 32))
	}
	if d.exec, err = NewExecutor(); err != nil {
		return 1
	}
	_ = makeGate() // or it is there from before
	go func() {
		dumping := false
		for range time.Tick(50 * time.Millisecond) {
			if on := p.told("dumping"); on != dumping {
				dumping = on
				if on {
					d.send(Dumping{})
				} else {
					d.send(Dumped{})
				}
			}
			if err := c.Beat(); err != nil && !errors.Is(err, ErrLost) {
				p.logger().Error("beat", "error", err)
			}
		}
	}()
	for p.told("hold-daemon") {
		time.Sleep(10 * time.Millisecond)
	}
	fence := Fence{Group: "gw", GateClose: []NetlinkBatch{closeGateBatch(d.vip)}, Remove: []NetlinkBatch{d.batch(unix.RTM_DELADDR)}}
	if p.told("bad-fence") {
		nonsense := addressMessage(unix.RTM_NEWADDR, d.index, netip.PrefixFrom(d.vip, 24))
		nonsense[unix.NLMSG_HDRLEN+1] = 77 // a prefix longer than an address
		fence.GateClose = []NetlinkBatch{{Family: unix.NETLINK_ROUTE, Bytes: nonsense}}
		fence.Remove = fence.GateClose
	}
	d.send(fence)
	d.send(Ready{})
	p.note("ready")
	for {
		m, err := c.Recv()
		if errors.Is(err, ErrLost) {
			d.respawn()
			continue
		}
		if done := d.on(m); done {
			p.note("bye")
			d.send(Bye{})
			return 0
		}
	}
}

func (d *daemon0) on(m Message) (done bool) {
	switch m := m.(type) {
	case Attached:
		for _, g := range m.Groups {
			d.note("attached-%s-%d-%v", g.State, g.Term, m.Resumed)
			d.hold(g.State == vrrp.Active)
		}
	case Transition:
		d.note("transition-%s-%d-%s", m.To, m.Term, m.Cause)
		d.hold(m.To == vrrp.Active)
	case Fenced:
		d.note("fenced")
	case Reload:
		d.config.Routers[0].Priority--
		d.send(Configure{Config: d.config})
	case Configured:
		d.note("configured")
	case Stop:
		d.note("stop")
		if d.told("stubborn") {
			return false
		}
		d.stop = true
		d.send(HandOver{})
	case Stats:
		d.note("stats-%d", m.Status.Routers[0].Priority)
	}
	return d.stop && !d.held
}

func (d *daemon0) respawn() {
	d.note("lost")
	if d.told("late-respawn") {
		time.Sleep(5 * d.Config.Routers[0].Interval)
	}
	resume := d.c.Resumable()
	if len(resume) == 0 {
		d.hold(false)
		d.note("let-go")
	}
	if err := d.c.Respawn(resume); err != nil {
		d.logger().Error("respawn", "error", err)
		time.Sleep(100 * time.Millisecond)
	}
}

func (d *daemon0) hold(on bool) {
	if on {
		_ = openGate(d.vip)
		d.exec.Run([]NetlinkBatch{d.batch(unix.RTM_NEWADDR)})
	} else if !d.told("stubborn") {
		d.exec.Run([]NetlinkBatch{closeGateBatch(d.vip), d.batch(unix.RTM_DELADDR)})
	}
	d.held = on
}

func (d *daemon0) batch(kind uint16) (b NetlinkBatch) {
	b.Family = unix.NETLINK_ROUTE
	for _, a := range d.all {
		b.Bytes = append(b.Bytes, addressMessage(kind, d.index, a)...)
	}
	return b
}

func (d *daemon0) send(m Message) {
	if err := d.c.Send(m); err != nil {
		d.logger().Error("send", "error", err)
	}
}
