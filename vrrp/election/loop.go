package election

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"understudy/vrrp"
	"understudy/vrrp/vrrpnet"
)

// loop is the whole election. Everything in it belongs to one thread.
type loop struct {
	opt     Options
	log     *slog.Logger
	events  *events
	watcher *vrrpnet.Watcher
	fences  *fences
	board   *Board

	set *vrrp.Set
	tables
	old     tables // during a change of configuration
	born    time.Time
	started bool // a daemon has been Ready
	resumed bool

	now      time.Time // of this turn
	onLnk    func(vrrpnet.Link)
	chosen   []vrrpnet.Interface // as they are watched, with their chosen sources
	found    []netip.Addr        // those of one link that are there
	fds      []unix.PollFd
	frame    vrrpnet.Frame
	advert   vrrp.Advert
	refusals [sampleBound]refusal
	unread   int // turns that an expired timer has waited for the ports
	packet   []byte

	kennel  *kennel
	news    *herald
	reloads bool // a reload was asked for, and is not done
	supervision
	relieved relieved
	stopping
	beats
	owed    debt
	outcome error
	ended   bool

	wake        time.Time // when this turn was to begin at the latest; zero: no timer runs
	turns       uint64
	late        Lateness
	apart       *apart
	realtime    error // why it is not in the real-time class; nil: it is
	undelivered uint64
	retryPorts  time.Time
}

// newLoop opens what does not depend on the configuration.
func newLoop(opt Options, log *slog.Logger, ev *events, board *Board) (*loop, error) {
	exec, err := NewExecutor()
	if err != nil {
		return nil, err
	}
	beats, err := newBeats()
	if err != nil {
		exec.Close()
		return nil, err
	}
	w, err := vrrpnet.OpenWatcher(opt.OwnAddresses, nil)
	if err != nil {
		exec.Close()
		return nil, err
	}
	l := &loop{opt: opt, log: log, events: ev, board: board, watcher: w, fences: newFences(exec), beats: beats,
		born: time.Now(), now: time.Now(), packet: make([]byte, 0, 2048), kennel: newKennel(opt.Dogs, log), news: newHerald(opt.Say)}
	l.onLnk = l.onLink
	return l, nil
}

// configure goes over to cfg. On an error nothing has changed.
func (l *loop) configure(cfg vrrp.SetConfig) error {
	fresh, err := vrrp.NewSet(cfg)
	if err != nil {
		return err
	}
	cfg = fresh.Config()
	if l.set == nil {
		l.set = fresh
		l.opt.Tape.Begin(l.now, cfg)
	}
	// Links first, with the old tables: what follows from their news concerns the
	// old routers, and new routers have to find their links known.
	links, err := l.survey(cfg)
	if err != nil {
		return err
	}
	for _, link := range links {
		l.onLink(link)
	}
	l.old, l.tables = l.tables, l.tables.build(cfg)
	names := make([]string, len(l.groups))
	for i := range l.groups {
		names[i] = l.groups[i].name
	}
	l.board.Layout(names)
	for _, p := range l.ports {
		for _, link := range links {
			if link.Name == p.name {
				l.follow(p, link)
			}
		}
	}
	if fresh != l.set {
		out, err := l.set.Reconfigure(l.now, cfg)
		if err != nil { // NewSet has accepted it
			return fmt.Errorf("election: reconfigure: %w", err)
		}
		if l.opt.Tape != nil {
			l.opt.Tape.Do(l.now, "reconfigure", cfg, out, l.set)
		}
		l.apply(l.now, out)
	}
	l.fences.keep(l.index)
	l.drop(l.old)
	l.guard.Layout(l.set)
	l.old = tables{}
	l.reopen() // tells the Set what could not be opened
	l.planReopen()
	return nil
}

// survey watches the interfaces of cfg and returns how they are.
func (l *loop) survey(cfg vrrp.SetConfig) (links []vrrpnet.Link, err error) {
	watch := interests(cfg)
	if l.set != nil {
		// What the present routers send from is not gone because the next ones will
		// send from something else.
		watch = withChosen(watch, interests(l.set.Config()))
	}
	if err := l.watcher.Watch(watch); err != nil {
		return nil, err
	}
	l.chosen = watch
	if err := l.watcher.Drain(func(link vrrpnet.Link) { links = append(links, link) }); err != nil {
		return nil, err
	}
	return links, nil
}

// drop closes the sockets that only the old configuration had.
func (l *loop) drop(old tables) {
	for _, p := range old.ports {
		now := l.find(p.name, p.family)
		switch {
		case now == nil || now.port != p.port:
			p.close()
		case now.port != nil && !now.single:
			now.port.CloseUnicast()
		}
	}
}

// run turns until it is over.
func (l *loop) run() error {
	for !l.ended {
		l.turn()
	}
	return l.outcome
}

// turn waits for something to happen or a deadline to come, and handles it.
func (l *loop) turn() {
	l.wait()
	l.turns++
	l.now = time.Now()
	l.board.Alive(l.now)
	l.excuse()
	var at time.Time
	if l.set != nil {
		at = l.set.Deadline()
	}
	due, heard := expired(at, l.now), true
	// Ports first, and all of them when a timer has run out: the advert that
	// proves it wrong may lie in a socket, behind more than is taken in a turn.
	for i, p := range l.ports {
		if due || l.fds[fixedFDs+i].Revents != 0 {
			heard = l.receive(p, at) && heard
		}
	}
	if due || l.fds[fdBeats].Revents != 0 {
		l.receiveBeats()
	}
	l.readLinks()
	switch {
	case due && !heard && l.unread < patience:
		l.unread++
	case due:
		l.unread = 0
		l.tick()
	}
	l.readEvents()
	l.readDaemon()
	l.timers()
	l.samples()
	l.beat()
	l.vouch()
}

// vouch gives the dogs our word, while there is a daemon or one may be back in
// time. In an orderly end there need be none.
func (l *loop) vouch() {
	if expired(l.kennel.next, l.now) {
		l.kennel.next = l.now.Add(vouchEvery)
		if !l.lost {
			l.kennel.vouch(l.now)
		}
	}
}

// The descriptors of every poll; the ports follow. -1 is ignored by poll.
const (
	fdEvents = iota
	fdWatcher
	fdLink
	fdProcess
	fdBeats
	fixedFDs
)

func (l *loop) wait() {
	link, process, beats := -1, -1, -1
	if l.socket != nil {
		beats = l.socket.FD()
	}
	if d := l.daemon; d != nil {
		if !d.gone {
			process = d.pidfd
		}
		if !d.mute {
			link = d.conn.fd
		}
	}
	l.fds = append(l.fds[:0],
		unix.PollFd{Fd: int32(l.events.fd), Events: unix.POLLIN},
		unix.PollFd{Fd: int32(l.watcher.FD()), Events: unix.POLLIN},
		unix.PollFd{Fd: int32(link), Events: unix.POLLIN},
		unix.PollFd{Fd: int32(process), Events: unix.POLLIN},
		unix.PollFd{Fd: int32(beats), Events: unix.POLLIN})
	for _, p := range l.ports {
		fd := -1
		if p.port != nil {
			fd = p.port.FD()
		}
		l.fds = append(l.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	var timeout *unix.Timespec
	at := l.deadline()
	l.wake = at
	if !at.IsZero() {
		ts := unix.NsecToTimespec(int64(max(time.Until(at), 0)))
		timeout = &ts
	}
	if _, err := unix.Ppoll(l.fds, timeout, nil); err != nil && err != unix.EINTR {
		// Not on a working kernel; do not spin on it.
		l.log.Error("poll", "error", err)
		time.Sleep(10 * time.Millisecond)
	}
}

// deadline is the next of all timers; zero: none.
func (l *loop) deadline() time.Time {
	var first time.Time
	if l.set != nil {
		first = earlier(l.set.Deadline(), l.guard.Deadline())
		first = earlier(first, l.retry)
	}
	first = earlier(first, l.supervisionDeadline())
	first = earlier(first, l.stopping.until)
	first = earlier(first, l.hurry())
	first = earlier(first, l.owed.retry)
	first = earlier(first, l.kennel.next)
	if len(l.fences.slow) > 0 {
		first = l.now // at once; what is due goes first in each turn
	}
	return earlier(first, l.retryPorts)
}

func (l *loop) tick() {
	l.late.note(l.now, l.now.Sub(l.set.Deadline()), l.shortest)
	l.step(vrrp.SetInput{Kind: vrrp.InTick})
}

func (l *loop) readLinks() {
	if l.fds[fdWatcher].Revents == 0 {
		return
	}
	if err := l.watcher.Drain(l.onLnk); err != nil {
		l.log.Warn("links not read", "error", err)
	}
	l.planReopen()
}

func (l *loop) readEvents() {
	if l.fds[fdEvents].Revents == 0 {
		return
	}
	l.events.clear()
	select {
	case r := <-l.events.reaped:
		l.onExit(r)
	case s := <-l.events.spawned:
		l.onSpawned(s)
	default:
	}
	if l.events.reload.Swap(false) {
		l.log.Info("reload requested")
		l.say(NewsReloading)
		l.tell(Reload{})
	}
	l.readRequests()
	for range l.events.stop.Swap(0) {
		l.stop(true)
	}
}

// timers handles what is not the Set's.
func (l *loop) timers() {
	if expired(l.owed.retry, l.now) {
		l.pay()
	}
	if expired(l.retryPorts, l.now) {
		l.reopen()
		l.planReopen()
	}
	l.supervise()
	l.relieveNow()
	l.checkStop()
	l.lower()
}

// lower does one piece of the slow part of fences: each can keep the kernel busy
// for some milliseconds, in which nothing is sent.
func (l *loop) lower() {
	if err := l.fences.slowly(); err != nil {
		l.log.Error("fenced, but a link is still up", "error", err)
	}
}

func (l *loop) close() {
	l.news.close()
	for len(l.fences.slow) > 0 {
		l.lower()
	}
	for _, p := range l.ports {
		p.close()
	}
	l.closeBeats()
	l.watcher.Close()
	l.fences.exec.Close()
}

func expired(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

// earlier is the first of two times, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
