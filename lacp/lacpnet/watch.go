package lacpnet

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"understudy/lacp"
)

// Poll is how often aggregates are looked at though nothing was said of them: the
// kernel gives no notice of most of what LACP does.
const Poll = time.Second

// Event is something about an aggregate. It is valid until the function that it
// was given to returns.
type Event struct {
	Kind EventKind
	At   time.Time
	Bond string     // its name; not of Woken
	Seen *lacp.Bond // of Seen

	// Of Heard: the member, the frame, and how many frames of that member found no
	// room before this one.
	Member string
	Frame  Frame
	Lost   uint32
}

// EventKind is the kind of an [Event].
type EventKind uint8

// The kinds.
const (
	Seen  EventKind = iota // how an aggregate stands, all of it
	Gone                   // there is no aggregate of that name
	Heard                  // a frame on one of its members, in or out
	Woken                  // the time has come that the function asked for
)

// Watcher watches aggregates by name, whether they are there yet or not.
type Watcher struct {
	log    *slog.Logger
	setC   chan struct{} // holds one: names are others
	frameC chan heard    // few: a member that floods waits in its socket, which counts what it drops

	mu    sync.Mutex
	names []string
}

// heard is a frame on its way from a port's goroutine to Run's; taken gives the
// port's buffer back.
type heard struct {
	port  *watched
	frame Frame
	lost  uint32
	taken chan<- struct{}
}

// watched is one member's port.
type watched struct {
	*Port
	bond, member string
	seen         lacp.Member // as it was when its own PDU was asked for
	knows        bool        // its own PDU was seen since
	always       bool        // outgoing frames are shown all the time
	sends        bool        // LACPDUs of its own were seen
	ended        chan struct{}
}

// NewWatcher returns a watcher of the named aggregates.
func NewWatcher(log *slog.Logger, names ...string) *Watcher {
	return &Watcher{log: log, setC: make(chan struct{}, 1), frameC: make(chan heard), names: slices.Clone(names)}
}

// Set replaces the names.
func (w *Watcher) Set(names ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names = slices.Clone(names)
	select {
	case w.setC <- struct{}{}:
	default:
	}
}

// Run watches until ctx ends, in the namespace of the calling thread. fn is called
// from this goroutine alone, and says when it wants to be woken; zero: not at all.
// Each aggregate is told of at once, then whenever the kernel says something of it,
// and once in every [Poll].
func (w *Watcher) Run(ctx context.Context, fn func(Event) time.Time) error {
	reader, err := OpenReader()
	if err != nil {
		return err
	}
	defer reader.Close()
	notices, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{Groups: unix.RTMGRP_LINK})
	if err != nil {
		return fmt.Errorf("lacpnet: rtnetlink: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	var lanes sync.WaitGroup
	defer lanes.Wait()
	defer notices.Close()
	defer cancel()
	v := &view{w: w, reader: reader, fn: fn, ports: map[int]*watched{}, indexes: map[int]bool{}, warned: map[string]string{}, alarm: newAlarm()}
	defer v.alarm.Stop()
	defer v.closePorts()
	noticeC := make(chan notice)
	lanes.Go(func() { listen(ctx, notices, noticeC) })
	tick := time.NewTicker(Poll)
	defer tick.Stop()
	for v.lookAll(ctx); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-w.setC:
			v.lookAll(ctx)
		case now := <-tick.C:
			if now.Sub(v.looked) > Poll/2 {
				v.lookAll(ctx)
			}
		case n := <-noticeC:
			if n.concerns(v.indexes, v.missing) {
				v.lookAll(ctx)
			}
		case h := <-w.frameC:
			v.heard(h)
		case now := <-v.alarm.C:
			v.woken(now)
		}
	}
}

// notice is what a message of the kernel is about: interface indexes. A lost
// message is about anything.
type notice struct {
	index, master int
	lost          bool
}

// concerns tells whether a notice is reason to look. While an aggregate is not
// there any interface may become it.
func (n notice) concerns(indexes map[int]bool, missing bool) bool {
	return n.lost || missing || indexes[n.index] || indexes[n.master]
}

// newAlarm returns a timer that does not run.
func newAlarm() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// tell passes an event on, and sets the alarm.
func (v *view) tell(e Event) {
	v.due = v.fn(e)
	v.alarm.Stop()
	if !v.due.IsZero() {
		v.alarm.Reset(max(time.Until(v.due), time.Millisecond))
	}
}

// A process that was stopped finds its timers run out and its sockets full. What
// waits in these came in time: it is let in first, once, for so long.
const (
	stalled = Poll / 2
	letIn   = Poll / 10
)

func (v *view) woken(now time.Time) {
	if now.Sub(v.due) > stalled && !v.excused {
		v.excused = true
		v.alarm.Reset(letIn)
		return
	}
	v.excused = false
	v.tell(Event{Kind: Woken, At: now})
}

// listen passes notices on until its socket is closed.
func listen(ctx context.Context, conn *netlink.Conn, noticeC chan<- notice) {
	tell := func(n notice) {
		select {
		case noticeC <- n:
		case <-ctx.Done():
		}
	}
	for ctx.Err() == nil {
		msgs, err := conn.Receive()
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			tell(notice{lost: true}) // most likely messages were lost
			select {
			case <-ctx.Done():
			case <-time.After(Poll / 10): // were it something lasting, not in a hot loop
			}
			continue
		}
		for _, m := range msgs {
			if index, master, ok := indexOf(m); ok {
				tell(notice{index: index, master: master})
			}
		}
	}
}

// view is what Run knows.
type view struct {
	w       *Watcher
	reader  *Reader
	fn      func(Event) time.Time
	alarm   *time.Timer
	due     time.Time        // when alarm rings
	excused bool             // it was late, and frames have been let in first
	ports   map[int]*watched // by interface index
	indexes map[int]bool     // of the aggregates and their members
	missing bool             // one of the aggregates is not there
	looked  time.Time
	warned  map[string]string // what was said of a name last
}

// lookAll reads every aggregate, keeps a port on each member, and tells.
func (v *view) lookAll(ctx context.Context) {
	v.w.mu.Lock()
	names := slices.Clone(v.w.names)
	v.w.mu.Unlock()
	indexes, stale := map[int]bool{}, map[int]bool{}
	for index := range v.ports {
		stale[index] = true
	}
	v.missing, v.looked = false, time.Now()
	for _, name := range names {
		a, ok, err := v.reader.Read(name)
		now := time.Now()
		if err != nil {
			v.warn(name, err)
			v.keep(name, indexes, stale) // the next look may tell more
			continue
		}
		if !ok {
			v.missing = true
			v.tell(Event{Kind: Gone, At: now, Bond: name})
			continue
		}
		delete(v.warned, name)
		indexes[a.Index] = true
		for i, index := range a.Indexes {
			indexes[index] = true
			delete(stale, index)
			v.port(ctx, name, a, i)
		}
		if a.Team && a.Mode == lacp.ModeBalance && v.speaks(name) {
			a.Mode = lacp.ModeLACP
		}
		v.tell(Event{Kind: Seen, At: now, Bond: name, Seen: &a.Bond})
	}
	for index := range stale {
		v.closePort(index)
	}
	v.indexes = indexes
}

// keep leaves what an aggregate had that could not be read.
func (v *view) keep(name string, indexes, stale map[int]bool) {
	v.missing = true
	for index, p := range v.ports {
		if p.bond == name {
			indexes[index] = true
			delete(stale, index)
		}
	}
}

func (v *view) warn(name string, err error) {
	if v.warned[name] != err.Error() {
		v.warned[name] = err.Error()
		v.w.log.Warn("looking at an aggregate", "bond", name, "err", err)
	}
}

// port sees to it that member i of a has its port, and shows what it should.
func (v *view) port(ctx context.Context, bond string, a Aggregate, i int) {
	m, index := a.Members[i], a.Indexes[i]
	p := v.ports[index]
	if p != nil {
		select {
		case <-p.ended: // its interface is another one
			v.closePort(index)
			p = nil
		default:
		}
	}
	if p == nil {
		port, err := OpenPort(m.Interface)
		if err != nil {
			v.warn(m.Interface, fmt.Errorf("no frames of it are seen: %w", err))
			return
		}
		if port.Index != index {
			port.Close() // it was exchanged just now: the next look sees that
			return
		}
		delete(v.warned, m.Interface)
		p = &watched{Port: port, bond: bond, member: m.Interface, always: a.Team, ended: make(chan struct{})}
		v.ports[index] = p
		go p.listen(ctx, v.w.frameC)
	}
	p.bond, p.member = bond, m.Interface
	if a.Team {
		return
	}
	// Its own end has changed, so its next PDU is another one.
	if m.Actor != p.seen.Actor || m.Carrier != p.seen.Carrier || m.Aggregator != p.seen.Aggregator {
		p.seen, p.knows = m, false
	}
	p.ShowOutgoing(a.Mode == lacp.ModeLACP && !p.knows)
}

// listen passes the port's frames on until it is closed.
func (p *watched) listen(ctx context.Context, frameC chan<- heard) {
	defer close(p.ended)
	taken := make(chan struct{})
	for {
		f, err := p.Receive()
		if err != nil {
			return
		}
		select {
		case frameC <- heard{port: p, frame: f, lost: p.Lost(), taken: taken}:
			<-taken
		case <-ctx.Done():
			return
		}
	}
}

// heard tells of a frame.
func (v *view) heard(h heard) {
	defer func() { h.taken <- struct{}{} }()
	p := h.port
	if v.ports[p.Index] != p {
		return // closed meanwhile
	}
	if h.frame.Outgoing {
		if dst, etherType, body := h.frame.Body(); isLACPDU(dst, etherType, body) {
			p.sends, p.knows = true, true
			if !p.always {
				p.ShowOutgoing(false)
			}
		}
	}
	v.tell(Event{Kind: Heard, At: time.Now(), Bond: p.bond, Member: p.member, Frame: h.frame, Lost: h.lost})
}

func isLACPDU(dst lacp.MAC, etherType uint16, body []byte) bool {
	kind, reason := lacp.Classify(dst, etherType, body)
	return reason == lacp.ReasonNone && kind == lacp.SubtypeLACP
}

// speaks tells whether a port of the aggregate sends LACPDUs.
func (v *view) speaks(bond string) bool {
	for _, p := range v.ports {
		if p.bond == bond && p.sends {
			return true
		}
	}
	return false
}

func (v *view) closePorts() {
	for index := range v.ports {
		v.closePort(index)
	}
}

// closePort ends a port. Its goroutine may be waiting to be heard.
func (v *view) closePort(index int) {
	p := v.ports[index]
	delete(v.ports, index)
	p.Close()
	for {
		select {
		case <-p.ended:
			return
		case h := <-v.w.frameC:
			h.taken <- struct{}{}
		}
	}
}
