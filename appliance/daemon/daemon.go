package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"understudy/appliance"
	"understudy/appliance/config"
	"understudy/appliance/control"
	"understudy/appliance/dropin"
	"understudy/appliance/history"
	"understudy/appliance/identity"
	"understudy/appliance/kernel"
	"understudy/appliance/mail"
	"understudy/appliance/metrics"
	"understudy/appliance/notify"
	"understudy/appliance/replay"
	"understudy/appliance/runner"
	"understudy/garp/garpnet"
	"understudy/garp/ranet"
	"understudy/nat"
	"understudy/nat/nft"
	"understudy/vrrp/election"
	"understudy/vrrp/record"
)

// Options is what Run needs.
type Options struct {
	ConfigFile string
	Control    string // path of the control socket
	Version    string
	// Link and Board are the daemon's ends of what it shares with the election.
	Link, Board *os.File
	// SpawnElection starts an election process in place of a dead one.
	SpawnElection election.Spawn
	// RelieveElection starts one that waits for its predecessor to go; nil: an election is
	// exchanged by a restart only.
	RelieveElection election.Spawn
	// Program is the file that an upgrade starts the next daemon from.
	Program string
	// Keepalived is what the process was started with as keepalived; nil: it is none.
	Keepalived *dropin.Options
	Logger     *slog.Logger
	// LogLevel is what Logger logs; it can be changed at run time.
	LogLevel *slog.LevelVar
	Tape     *record.Tape // of what Core is given and decides; nil: none
}

// Run is the daemon process: it returns nil after an orderly stop. A wrong
// configuration comes back as config.Problems.
func Run(ctx context.Context, o Options) error {
	cfg, err := o.load(rememberedNames(o.Logger))
	if err != nil {
		return err
	}
	n, err := open(o, cfg)
	if err != nil {
		return err
	}
	defer n.close()
	return n.run(ctx)
}

// node is a running daemon: every edge, open.
type node struct {
	opt     Options
	log     *slog.Logger
	started time.Time
	undo    []func() error // in the order of opening; close goes backwards

	client     *election.Client
	dumps      dumps
	addresses  *kernel.Applier
	watcher    *kernel.Watcher
	known      map[string]int  // interfaces that were there at the start, and their numbers: no news
	up         map[string]bool // each interface, as last seen
	table      *nft.Applier
	tableWatch *nft.Watcher
	entryTable *nft.Entries
	entryWatch *nft.Watcher
	direct     *nft.Direct
	directSeen *nft.Watcher
	entries    *entries
	sessions   *sessions // nil without [sessions]
	checks     *checks
	bonds      *bonds
	notify     *notify.Notifier
	pipes      *pipes
	priorities priorities
	mail       *mail.Sender
	announce   *announcer
	speaker    *ranet.Speaker
	sysctls    *kernel.Sysctls
	fences     *fences
	runner     *runner.Runner
	control    *control.Server
	shown      *shown
	looked     *looked
	spoken     spoken // what is asked for by keepalived's signals
	history    *remembered

	respawned  chan error // of one, which readElection takes: there is one death at a time
	stats      *asker[election.Stats]
	configured *asker[election.Configured]

	settleC   chan struct{} // holds one: something was left for settle
	suspectC  chan struct{} // holds one: the table is to be looked at again
	settled   settled       // what a reload changes
	reloading sync.Mutex    // one reload at a time
	upgradeC  chan struct{} // holds one: make way for another daemon
	attachedC chan struct{} // holds one: an election has told how things stand
}

// open acquires everything, in the order in which it is needed: what must be
// true before traffic comes first.
func open(o Options, cfg *config.Config) (_ *node, err error) {
	if o.LogLevel == nil {
		o.LogLevel = new(slog.LevelVar)
	}
	n := &node{opt: o, log: o.Logger, started: time.Now(),
		respawned: make(chan error, 1),
		settleC:   make(chan struct{}, 1),
		suspectC:  make(chan struct{}, 1),
		upgradeC:  make(chan struct{}, 1),
		attachedC: make(chan struct{}, 1),
		stats:     newAsker[election.Stats](), configured: newAsker[election.Configured]()}
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	unlock, err := lock(lockDaemon)
	if err != nil {
		return nil, err
	}
	n.undo = append(n.undo, func() error { unlock(); return nil })

	n.history = openHistory(historyDir(), n.log)
	n.undo = append(n.undo, n.history.file.Close)
	n.history.note(history.Process, "daemon-started", "the daemon begins, version "+o.Version)
	plan, err := n.planOf(cfg)
	if err != nil {
		return nil, fmt.Errorf("daemon: %w", err)
	}
	n.settled.set(cfg, plan)
	n.rememberNames(cfg)
	if err := n.openKernel(cfg, plan); err != nil {
		return nil, err
	}
	if cfg.Sessions != nil {
		if n.sessions, err = openSessions(cfg, n.table.NATHooks, n.View, n.dumps.note, n.log); err != nil {
			return nil, err
		}
		n.undo = append(n.undo, n.sessions.Close)
		n.sessions.taken, n.entries.stands.table = n.entries.taken, n.sessions
	}
	n.client, err = election.Dial(election.ClientConfig{
		Link: o.Link, Board: o.Board, Config: cfg.Election(), SpawnElection: o.SpawnElection,
		Fenced: n.onFenced, Logger: n.log,
	})
	if err != nil {
		return nil, err
	}
	n.undo = append(n.undo, func() error { n.client.Close(); return nil })
	n.dumps.tell(n.client)
	n.fences = &fences{addresses: n.addresses, gated: n.settled.gated, log: n.log}
	n.fences.set(coreConfig(cfg).Groups)
	// Before anything is held: an election that takes this one's place is told what
	// we have told, and may have to let go before we are ready.
	n.tellFences()
	if err := n.tellGuard(cfg); err != nil && !errors.Is(err, election.ErrLost) {
		return nil, err
	}
	n.speaker = newSpeaker(n.client.Board(), n.log)
	n.advertise(cfg)
	n.runner = n.newRunner(cfg)
	n.checks = newChecks(cfg, n.told)
	n.bonds = newBonds(cfg, n.runner.Post, n.log)
	n.notify = newNotifier(n, cfg)
	n.pipes = &pipes{log: n.log, inherit: cfg.Spoken != nil}
	n.pipes.set(context.Background(), cfg.Pipes) // there was none: nothing is waited for
	n.mail = mail.New(n.log)
	n.mail.Set(mailConfig(cfg))
	n.undo = append(n.undo, func() error { n.mail.Close(); return nil })
	n.entries.tell = n.tellOfEntries
	n.entries.begin(nil)
	if n.control, err = control.Listen(o.Control, n); err != nil {
		return nil, err
	}
	n.shown = newShown(cfg.Web)
	if n.looked, err = newLooked(n); err != nil {
		return nil, err
	}
	return n, nil
}

func (n *node) openKernel(cfg *config.Config, plan nat.Plan) (err error) {
	dir, err := kernel.RuntimeDir(RunDir)
	if err != nil {
		return err
	}
	if n.table, err = nft.Open(nft.Config{}); err != nil {
		return err
	}
	n.undo = append(n.undo, n.table.Close)
	if n.tableWatch, err = nft.OpenWatcher(nft.Config{}); err != nil {
		return err
	}
	n.undo = append(n.undo, n.tableWatch.Close)
	if _, err := n.table.Apply(plan); err != nil {
		return err
	}
	if err := n.openEntries(cfg, dir); err != nil {
		return err
	}
	// Forwarding is among them. Hosts that knew this box before it booted send to it
	// already, and what they send must not leave untranslated.
	n.sysctls = kernel.NewSysctls(dir)
	if err := n.sysctls.Apply(settings(cfg)); err != nil {
		return err
	}
	if n.addresses, err = kernel.Open(); err != nil {
		return err
	}
	n.undo = append(n.undo, n.addresses.Close)
	// Behind shut gates, and before the watcher, to whom they would be news.
	if err := n.makeDevices(cfg); err != nil {
		return err
	}
	n.known, n.up = make(map[string]int), make(map[string]bool)
	for _, name := range watched(cfg) {
		if l, err := n.addresses.Link(name); err == nil {
			n.known[name] = l.Index
		}
	}
	if n.watcher, err = kernel.OpenWatcher(n.addresses.PortID()); err != nil {
		return err
	}
	n.undo = append(n.undo, n.watcher.Close)
	sender, err := garpnet.New()
	if err != nil {
		return err
	}
	n.announce = newAnnouncer(sender, n.log)
	n.announce.pace(cfg.Paces())
	return nil
}

func (n *node) newRunner(cfg *config.Config) *runner.Runner {
	h := &holder{gate: gate{n.table, n.entryTable}, addresses: n.addresses, gated: n.settled.gated, settle: n.settleSoon, early: early{announce: n.announce}}
	drain := func(context.Context, string) error { return nil }
	if n.sessions != nil {
		h.sessions = n.sessions
		drain = n.sessions.Drain
	}
	edges := runner.Edges{
		Election: &electionEdge{client: n.client, log: n.log, fences: n.fences, respawn: n.respawn, weights: map[string]int{}, weighed: n.weighed},
		Hold:     h.Hold,
		Drain:    drain,
		Announce: func(group string, addresses []identity.Address) {
			n.announce.announce(group, addresses)
			n.speaker.Start(group)
			n.entries.setActive(group, true)
		},
		Withdraw: func(group string) {
			n.entries.setActive(group, false)
			n.speaker.Stop(group)
			n.announce.withdraw(group)
		},
		Notify:  n.tellPrograms,
		Prepare: n.beforeActivation,
	}
	now := time.Now()
	r := runner.New(appliance.NewCore(now, coreConfig(cfg)), edges, n.log)
	if n.opt.Tape != nil {
		n.opt.Tape.Begin(now, coreConfig(cfg))
		r.Record(replay.Core(n.opt.Tape))
	}
	r.Tell(n.history.told)
	return r
}

// run works until an orderly stop, or until something fails that cannot be
// repaired; then everything of ours is left in place for the next daemon.
func (n *node) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { n.announce.run(ctx); return nil })
	g.Go(func() error { n.speaker.Run(ctx); return nil })
	g.Go(func() error { return n.watcher.Run(ctx, n.onKernel) })
	g.Go(func() error { return n.tableWatch.Run(ctx, n.table.PortID, n.repairTable) })
	g.Go(func() error {
		return n.entryWatch.Run(ctx, n.entryTable.PortID, n.entries.repair)
	})
	g.Go(func() error {
		return n.directSeen.Run(ctx, n.direct.PortID, n.entries.repair)
	})
	g.Go(func() error { n.entries.run(ctx); return nil })
	g.Go(func() error { n.watchAlarm(ctx, appliance.AlarmServers, n.entries.lacking); return nil })
	g.Go(func() error { n.audit(ctx); return nil })
	g.Go(func() error { n.settle(ctx); return nil })
	g.Go(func() error { n.checks.run(ctx); return nil })
	g.Go(func() error { n.bonds.run(ctx); return nil })
	g.Go(func() error { n.watchAlarm(ctx, appliance.AlarmBond, n.bonds.wrong); return nil })
	g.Go(func() error { n.watchAlarm(ctx, appliance.AlarmCheckFlapping, n.checks.flapping); return nil })
	g.Go(func() error { n.watchAlarm(ctx, appliance.AlarmMirrorDown, n.mirrorDown); return nil })
	g.Go(func() error { n.watchAlarm(ctx, appliance.AlarmNotifyFailed, n.notify.Failing); return nil })
	g.Go(func() error { n.watchElection(ctx); return nil })
	g.Go(func() error { return n.readElection(ctx) })
	g.Go(func() error { n.dumpConf(ctx); return nil })
	scraped := metrics.Handler(n)
	n.control.Handle("GET /metrics", scraped)
	g.Go(func() error { return n.control.Serve(ctx) })
	g.Go(func() error {
		pages := http.NewServeMux()
		pages.Handle("GET /metrics", scraped)
		pages.Handle("GET /v1/live", n.looked.live)
		pages.Handle("GET /{$}", n.looked.page)
		n.show(ctx, pages)
		return nil
	})
	g.Go(func() error { n.looked.live.Run(ctx); return nil })
	g.Go(func() error { n.looked.sample(ctx); return nil })
	g.Go(func() error { n.looked.follow(ctx); return nil })
	g.Go(func() error { n.beat(ctx); return nil })
	g.Go(func() error { return n.awaitUpgrade(ctx) })
	if n.sessions != nil {
		g.Go(func() error { return n.sessions.Run(ctx) })
		g.Go(func() error { n.watchSessions(ctx); return nil })
	}
	left := func() {}
	g.Go(func() error {
		defer cancel() // the end of the loop is the end of all
		if err := n.runner.Run(ctx); err != nil {
			return err
		}
		left = n.leaving()
		n.farewell(ctx)
		return nil
	})
	err := g.Wait()
	defer left()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	if err != nil {
		return err
	}
	return n.leave()
}

// leaveBound is how long an orderly end may take: what the election gives us for it.
const leaveBound = 5 * time.Second

// leaving beats in place of the control loop, which has ended, until it is stopped: on a busy
// machine it takes longer to tidy up than the election takes silence for.
func (n *node) leaving() (stop func()) {
	ctx, cancel := context.WithTimeout(context.Background(), leaveBound)
	done := make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(beatPeriod)
		defer t.Stop()
		for ctx.Err() == nil {
			n.client.Beat()
			select {
			case <-ctx.Done():
			case <-t.C:
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// farewellBound is how long an orderly stop waits for peers.
const farewellBound = 500 * time.Millisecond

// farewell waits for the peers to have heard the last of our sessions.
func (n *node) farewell(ctx context.Context) {
	if n.sessions == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, farewellBound)
	defer cancel()
	n.sessions.Farewell(ctx)
}

// leave tidies up after an orderly stop, and says goodbye: nothing of ours is left.
// If that is not true it goes without a word, and the election does what it can.
func (n *node) leave() error {
	out, err := clean()
	n.sayGoodbye() // to programs, which hear of what is gone
	if err != nil {
		return fmt.Errorf("tidying up: %w", err)
	}
	n.log.Info("stopped", "addresses_removed", out.Addresses, "devices_removed", out.Devices,
		"routes_removed", out.Routes, "rules_removed", out.Rules)
	if err := n.client.Send(election.Bye{}); err != nil && !errors.Is(err, election.ErrLost) {
		return err
	}
	return nil
}

func (n *node) close() {
	for i := len(n.undo) - 1; i >= 0; i-- {
		if err := n.undo[i](); err != nil {
			n.log.Debug("closing", "err", err)
		}
	}
	n.undo = nil
}

// beatPeriod is a quarter of the shortest silence that the election process
// takes for death.
const beatPeriod = 250 * time.Millisecond

// beat tells the election process that the control loop turns: it goes through
// the loop, so a loop that hangs is a daemon that is dead.
func (n *node) beat(ctx context.Context) {
	t := time.NewTicker(beatPeriod)
	defer t.Stop()
	for {
		if n.runner.Ask(ctx, func(*appliance.Core) {}) {
			n.client.Beat() // an error is noticed by the reader
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// onFenced hears that a group had to be let go of because no new election came in
// time.
func (n *node) onFenced(group string, err error) {
	if err != nil {
		n.log.Error("the fence was not complete", "group", group, "err", err)
	}
	n.runner.Post(appliance.Fenced{Group: group})
}

// onKernel hears what others do to the kernel.
func (n *node) onKernel(ev kernel.Event) {
	if n.ofDevice(ev) || n.ofRoutes(ev) {
		return
	}
	if ev.Kind == kernel.Overrun {
		n.tellLinks()
	} else if ev.Kind != kernel.AddressLost {
		n.tellLinks(ev.Interface)
	}
	switch ev.Kind {
	case kernel.AddressLost, kernel.Overrun:
		n.runner.Post(appliance.Drifted{Why: ev.Kind.String() + " " + ev.Prefix.String() + " " + ev.Interface})
	case kernel.LinkNew:
		n.recopy(ev)
		if !slices.Contains(watched(n.settled.config()), ev.Interface) || n.known[ev.Interface] == ev.Link.Index {
			return
		}
		delete(n.known, ev.Interface)
		// Interface numbers are part of the prepared messages, and a new interface
		// has none of our settings.
		n.tellFences()
		if err := n.sysctls.Apply(settings(n.settled.config())); err != nil {
			n.log.Debug("sysctls of a new interface", "err", err)
		}
		n.prepareDevices() // they went with the old one
		n.runner.Post(appliance.Drifted{Why: "interface " + ev.Interface + " is new"})
	}
}

// tellFences tells the election how to take each group out of service without us.
func (n *node) tellFences() { n.fences.sendAll(func(m election.Message) { n.client.Send(m) }) }

// auditPeriod is how often the kernel is compared with what was applied though
// nobody told of a change; one that gave way to a gate is made up for auditAgain later.
const (
	auditPeriod = time.Minute
	auditAgain  = time.Second
)

func (n *node) audit(ctx context.Context) {
	t := time.NewTicker(auditPeriod)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			n.refilter()
			n.repairTable()
			n.entries.repair()
			n.prepareDevices()
		case <-n.suspectC:
			select {
			case <-ctx.Done():
			case <-time.After(auditAgain):
				n.repairTable()
			}
		}
	}
}

// repairTable puts back what others took from our nftables table, as a reload of
// the system's own rules does with all tables. The gates of a new table are shut,
// so Core has the holder open those that should be open.
func (n *node) repairTable() {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	report, err := n.table.Audit(n.settled.current())
	switch {
	case errors.Is(err, nft.ErrInterrupted):
		wakeUp(n.suspectC)
	case err != nil:
		n.log.Error("repairing the nftables table", "err", err)
	case report.NewGate || report.Rebuilt || report.Copies || len(report.Chains) > 0 || report.Added+report.Removed > 0:
		n.runner.Post(appliance.Drifted{Why: "the nftables table was changed by someone else"})
	}
}

// gate adapts the nftables appliers to the holder.
type gate struct {
	*nft.Applier
	entries *nft.Entries
}

func (g gate) SetUnknown(reset bool) error {
	u := nft.UnknownDrop
	if reset {
		u = nft.UnknownReset
	}
	return errors.Join(g.Applier.SetUnknown(u), g.entries.SetUnknown(u))
}
