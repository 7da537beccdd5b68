package replica

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// Engine is a node's session plane. Its methods may be called by anyone at any
// time between Open and Close.
type Engine struct {
	cfg       Config
	log       *slog.Logger
	keys      atomic.Pointer[keyring]
	listeners []net.Listener
	byName    map[string]*peer
	changes   chan Change
	handler   func(*conntrack.Event) // e.onEvent, made once

	// Kicks: somebody has work to do. Capacity 1 each.
	install, dump chan struct{}
	looked        chan struct{} // a peer wants to know how this node stands

	tasks sync.WaitGroup // one for each incoming connection

	// kmu is held around everything that changes the kernel's table, so that
	// what was decided is done in that order. It is taken before mu.
	kmu    sync.Mutex
	kernel *conntrack.Kernel
	batch  batch
	dumpMu sync.Mutex
	dumper *conntrack.Kernel // dumps must not wait for installs, or hold them up

	// mu guards all below. It is held for a batch of work at most, never over a
	// system call that can wait.
	mu          sync.Mutex
	events      *conntrack.Listener
	joined      bool // NEW and UPDATE
	owner       bool // should be, but for an overload
	overload    session.Overload
	passed      bool // events were passed over, since the last dump began
	table       *session.Table
	groups      *session.Groups
	scope       *session.Scope
	flows       Config // what the scope and the classes were made of
	young       *session.Nursery
	expecting   expecting
	ready       readiness
	offloaded   int // flows of ours in flowtables, as the last dump saw them
	heralds     map[session.Key]herald
	tunnels     tunnels // of keepDumping alone
	disk        disk
	holder      *session.Holder
	peers       []*peer
	gen         uint16                       // mark of the last dump
	taking      session.GroupSet             // activation under way: events count already
	kernelDone  uint64                       // position of the kernel's queue that is done
	arrived     [session.MaxGroups]uint64    // its position behind what the last full transfer brought
	distrusted  bool                         // an installed entry was found wrong
	audits      session.GroupSet             // groups whose kernel entries must be compared
	unaudited   session.GroupSet             // groups of which they never were, since this program runs
	reconcile   time.Time                    // when the owner's dump is due
	lost        bool                         // events were, since the last dump began
	owed        bool                         // so they were before it, and it is not through yet
	anew        bool                         // what counts is another than when the last dump began
	dumped      time.Time                    // when it last was
	dumpPause   time.Duration                // how long after that the next may come early
	dumpTook    time.Duration                // how long it took
	compared    time.Time                    // up to here the table is known to have all of our sessions
	hasty       time.Time                    // a hand-over is under way until then; zero: none is
	hastened    time.Time                    // since when
	mustRead    bool                         // it takes a dump since then to know all of our sessions
	departing   session.GroupSet             // given up here, and not told in full: see departure.go
	departures  [session.MaxGroups]departure // how far that is
	retry       []session.Key                // what the kernel refused and may take later
	strict      [session.MaxGroups]time.Time // when window checks are due to be restored
	passing     strictPass
	loosening   loosePass
	asked       [session.MaxGroups]uint64 // the term of the last activation, as it was asked for
	unsure      session.GroupSet          // resumed, and perhaps Active elsewhere since: see loose.go
	salvages    [session.MaxGroups]salvage
	counters    Counters
	takeovers   []*Takeover                  // the last ones, the latest last
	underway    [session.MaxGroups]*Takeover // reports of activations that are not over
	unworthy    unworthy                     // flows without a record, as the last dump saw them
	seen        unworthy                     // as the one under way does
	merged      session.Record               // scratch of onEvent
	refusalTold time.Time
}

// Open makes an engine: its sockets, its table, no activity. Every group is
// standby until Activate. nf_conntrack_events must be 1 already.
func Open(cfg Config) (e *Engine, err error) {
	cfg.defaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	e = &Engine{cfg: cfg, log: cfg.Logger, byName: map[string]*peer{}, changes: make(chan Change, 64),
		install: make(chan struct{}, 1), dump: make(chan struct{}, 1), looked: make(chan struct{}, 1)}
	e.handler = e.onEvent
	e.heralds = map[session.Key]herald{}
	e.expecting = expecting{kernel: map[session.Key][]session.Expect{}, orphans: map[session.Key][]session.Expect{}}
	opened := e // what is returned is nil when something fails
	defer func() {
		if err != nil {
			opened.Close()
		}
	}()
	if err := e.Rekey(cfg.Secrets); err != nil {
		return nil, err
	}
	e.overload = session.NewOverload(time.Now(), cfg.Ladder)
	e.newTable()
	e.table.SetCold(e.cold())
	if err := cfg.Namespace(e.openSockets); err != nil {
		return nil, fmt.Errorf("replica: %w", err)
	}
	e.lookAround()
	e.lookAtTable()
	e.openDisk()
	return e, nil
}

func (e *Engine) newTable() {
	var random [24]byte
	rand.Read(random[:])
	word := func(i int) uint64 { return binary.NativeEndian.Uint64(random[8*i:]) }
	e.table = session.NewTable([2]uint64{word(0), word(1)}, time.Now(), e.cfg.Limit)
	names := make([]string, 0, len(e.cfg.Groups))
	for _, g := range e.cfg.Groups {
		names = append(names, g.Name)
	}
	e.groups = session.NewGroups(e.cfg.Node, names...)
	e.unaudited = e.groups.All()
	e.scope, e.flows = session.NewScope(e.cfg.scopeOf(nil)), flowsOf(&e.cfg)
	e.young = session.NewNursery(e.cfg.Classes)
	e.holder = session.NewHolder(e.cfg.Renew)
	hello := session.Hello{Node: e.cfg.Node, Boot: word(2), Config: e.cfg.Hash, Features: uint64(session.FeatureMove)}
	for i, pc := range e.cfg.Peers {
		p := &peer{Peer: pc, index: i, failed: make([]time.Time, 1+len(pc.Also)), send: make(chan struct{}, 1), reply: make(chan struct{}, 1),
			sender:   session.NewSender(e.table, e.groups, i+1, hello),
			receiver: session.NewReceiver(e.table, e.groups, e.scope, hello)}
		p.sender.SetKnobs(e.cfg.Knobs)
		p.receiver.SetSink(i + 1)
		e.peers = append(e.peers, p)
		e.byName[p.Name] = p
	}
}

func (e *Engine) openSockets() (err error) {
	if e.kernel, err = conntrack.OpenKernel(); err != nil {
		return err
	}
	if e.dumper, err = conntrack.OpenKernel(); err != nil {
		return err
	}
	e.dumper.Dumping = e.cfg.Dumping
	if e.events, err = e.openListener(); err != nil {
		return err
	}
	if err = e.events.Ignore(e.kernel.PortID(), e.dumper.PortID()); err != nil {
		return err
	}
	if err = e.events.SkipClosing(); err != nil {
		return err
	}
	e.events.OnExpect(e.onExpect)
	if err = e.events.Join(conntrack.GroupDestroy); err != nil {
		return err
	}
	return e.listen()
}

// openListener opens the event socket with the buffer that this kernel's table asks
// for.
func (e *Engine) openListener() (*conntrack.Listener, error) {
	size := e.cfg.RcvBuf
	if limits, err := conntrack.ReadLimits(); size == 0 && err == nil {
		size = conntrack.RcvBufFor(limits.Max)
	}
	l, err := conntrack.OpenListener(conntrack.ListenerConfig{RcvBuf: size})
	if err != nil {
		return nil, err
	}
	if b, err := l.Buffer(); err == nil && b.Short() {
		e.log.Warn("the buffer for connection events is smaller than it should be; it takes CAP_NET_ADMIN, or a larger net.core.rmem_max",
			"bytes", b.Size, "want", b.Asked, "events", b.Size/conntrack.EventBytes)
	}
	return l, nil
}

// Addr is where the engine listens first of all.
func (e *Engine) Addr() netip.AddrPort {
	return e.listeners[0].Addr().(*net.TCPAddr).AddrPort()
}

// Run works until ctx ends or something breaks that cannot be healed.
func (e *Engine) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	slots := make(chan struct{}, handshakes) // full: accepting waits, the kernel's backlog holds
	for _, l := range e.listeners {
		g.Go(func() error { return e.accept(ctx, l, slots) })
	}
	for _, p := range e.peers {
		g.Go(func() error { return e.keepDialling(ctx, p) })
	}
	g.Go(func() error { return e.keepHarvesting(ctx) })
	g.Go(func() error { return e.keepInstalling(ctx) })
	g.Go(func() error { return e.keepDumping(ctx) })
	g.Go(func() error { e.keepShowing(ctx); return nil })
	if e.disk.files != nil {
		g.Go(func() error { e.disk.files.Run(ctx, diskSource{e}); return nil })
	}
	err := g.Wait()
	e.tasks.Wait()
	return err
}

// Close closes the sockets; sessions stay in the kernel. Run must have returned.
func (e *Engine) Close() error {
	var errs []error
	for _, l := range e.listeners {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if e.events != nil {
		errs = append(errs, e.events.Close())
	}
	if e.kernel != nil {
		errs = append(errs, e.kernel.Close())
	}
	if e.dumper != nil {
		errs = append(errs, e.dumper.Close())
	}
	if e.disk.files != nil {
		errs = append(errs, e.disk.files.Close())
	}
	return errors.Join(errs...)
}

// EventPort is the netlink port that the engine hears connection events at.
func (e *Engine) EventPort() uint32 { return e.events.PortID() }

func (e *Engine) group(name string) (int, error) {
	g := e.groups.Index(name)
	if g < 0 {
		return 0, fmt.Errorf("replica: no group %q", name)
	}
	return g, nil
}
