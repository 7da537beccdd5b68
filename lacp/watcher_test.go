package lacp

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	epoch   = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	gateway = MAC{0x52, 0x54, 0x00, 0x10, 0x00, 0x01}
	switch1 = MAC{0x00, 0x1c, 0x73, 0xaa, 0x00, 0x01}
	switch2 = MAC{0x00, 0x1c, 0x73, 0xbb, 0x00, 0x02}
)

// States as they are met.
const (
	good      State = 0x3f // in sync, collecting, distributing; short timeout
	goodSlow  State = 0x3d
	attached  State = 0x0f // in sync, and not used
	detached  State = 0x07
	defaulted State = 0x47
	expired   State = 0x87
)

// wire is what a member's link has to say, as long as nobody changes it.
type wire struct {
	far    Info // the far end; it is silent without a system
	view   Info // what it believes of us; zero: what we are
	own    Info // our end; nothing is seen of it without a system
	member Member
}

// reporter is what a test and a property have in common.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// watcher is a monitor of a bond with virtual time: each second the wire speaks and
// the kernel is asked, and between them every deadline is kept. It notes what
// happens, and checks what is always so.
type watcher struct {
	t     reporter
	m     *Monitor
	now   time.Time
	mark  time.Time // times in the log count from here
	bond  Bond
	wires []*wire
	log   []string
	is    map[string]bool // raised
}

// newWatcher returns a watcher of a healthy bond of so many members, which nobody
// has seen yet.
func newWatcher(t reporter, mode Mode, members int) *watcher {
	w := &watcher{t: t, m: NewMonitor(MonitorConfig{}), now: epoch, mark: epoch, is: map[string]bool{}}
	w.bond = Bond{Mode: mode, Carrier: true}
	for i := range members {
		far := Info{32768, switch1, 17, 32768, uint16(i + 1), good}
		own := Info{65535, gateway, 15, 255, uint16(i + 1), good}
		w.wires = append(w.wires, &wire{far: far, own: own, member: Member{
			Interface: fmt.Sprint("eth", i), Carrier: true, MII: MIIUp, Active: true,
		}})
		if mode != ModeLACP {
			w.wires[i].far, w.wires[i].own = Info{}, Info{}
		}
	}
	return w
}

// healthy runs it until everything is known and well.
func healthy(t testing.TB, mode Mode, members int) *watcher {
	t.Helper()
	w := newWatcher(t, mode, members)
	w.run(10 * time.Second)
	if len(w.log) != 1 || w.m.State() != BondOK {
		t.Fatalf("a healthy bond is %v after %q", w.m.State(), w.log)
	}
	w.log, w.mark = nil, w.now
	return w
}

// step gives one input.
func (w *watcher) step(in Input) {
	w.t.Helper()
	before := w.m.State()
	out := w.m.Step(w.now, in)
	at := w.now.Sub(w.mark)
	for _, f := range out.Cleared {
		key := f.Name() + " " + f.Member
		if !w.is[key] {
			w.t.Errorf("%v: %s is cleared and was not raised", at, key)
		}
		delete(w.is, key)
		w.log = append(w.log, fmt.Sprintf("%v -%s", at, strings.TrimSpace(key)))
	}
	for _, f := range out.Raised {
		key := f.Name() + " " + f.Member
		if w.is[key] {
			w.t.Errorf("%v: %s is raised twice", at, key)
		}
		if f.Evidence == "" || f.Advice() == "" || f.Severity != f.Kind.Severity() || f.Since.After(w.now) || (f.Member == "") != f.Kind.OfBond() {
			w.t.Errorf("%v: half a finding: %+v", at, f)
		}
		w.is[key] = true
		w.log = append(w.log, fmt.Sprintf("%v +%s", at, strings.TrimSpace(key)))
	}
	if out.From != before || out.To != w.m.State() {
		w.t.Errorf("%v: output %v to %v, state %v to %v", at, out.From, out.To, before, w.m.State())
	}
	if out.From != out.To {
		w.log = append(w.log, fmt.Sprintf("%v %v", at, out.To))
	}
	if in.Kind == InTick && !w.m.Deadline().IsZero() && !w.m.Deadline().After(w.now) {
		w.t.Fatalf("%v: a tick left the deadline at %v", at, w.m.Deadline().Sub(w.mark))
	}
}

// frame gives what was seen on a member.
func (w *watcher) frame(member string, outgoing bool, p *PDU) {
	w.t.Helper()
	w.step(Input{Kind: InFrame, Member: member, Outgoing: outgoing, Frame: Append(AppendHeader(nil, MAC{2, 0, 0, 0, 0, 9}), p)})
}

// poll gives the kernel's word.
func (w *watcher) poll() {
	w.t.Helper()
	b := w.bond
	for _, x := range w.wires {
		b.Members = append(b.Members, x.member)
	}
	w.step(Input{Kind: InBond, Bond: &b})
}

// speak gives what every wire says.
func (w *watcher) speak() {
	w.t.Helper()
	for _, x := range w.wires {
		if !x.member.Carrier {
			continue
		}
		view := x.view
		if view == (Info{}) {
			view = x.own
		}
		if x.own.System != (MAC{}) {
			w.frame(x.member.Interface, true, &PDU{Version: 1, Actor: x.own, Partner: x.far})
		}
		if x.far.System != (MAC{}) {
			w.frame(x.member.Interface, false, &PDU{Version: 1, Actor: x.far, Partner: view})
		}
	}
}

// run lets time pass.
func (w *watcher) run(d time.Duration) {
	w.t.Helper()
	for end := w.now.Add(d); w.now.Before(end); {
		w.poll()
		w.speak()
		w.advance(time.Second)
	}
}

// advance keeps deadlines only.
func (w *watcher) advance(d time.Duration) {
	w.t.Helper()
	for end := w.now.Add(d); ; {
		at := w.m.Deadline()
		if at.IsZero() || at.After(end) {
			w.now = end
			return
		}
		w.now = latest(w.now, at)
		w.step(Input{Kind: InTick})
	}
}

// of lists what is raised on a member.
func (w *watcher) of(member string) (names []string) {
	for key := range w.is {
		if name, who, _ := strings.Cut(key, " "); who == member {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// want compares what happened since the bond was well.
func (w *watcher) want(lines ...string) {
	w.t.Helper()
	if got, want := strings.Join(w.log, "\n"), strings.Join(lines, "\n"); got != want {
		w.t.Errorf("it went\n%s\nwant\n%s", got, want)
	}
}

// far sets the far end's state on a member.
func (w *watcher) far(i int, s State) { w.wires[i].far.State = s }

// deaf lets a member's far end not hear us for 73 s, and our end do what it does then:
// the far end waits, gives up, and speaks each 30 s. fast is how we are when all is well.
func (w *watcher) deaf(i int, well State) {
	w.t.Helper()
	const s = time.Second
	rate := well & Timeout
	far := w.wires[i].far
	w.wires[i].far.State = expired&^Timeout | rate
	w.own(i, attached&^Timeout|rate)
	w.run(3 * s)
	for word := range 3 { // after 3 s, 33 s and 63 s
		w.wires[i].far = far
		w.far(i, defaulted&^Timeout|rate)
		w.own(i, attached&^Timeout|rate)
		w.run(s)
		w.wires[i].far = Info{}
		wait := 29 * s
		if word == 2 {
			wait = 9 * s
		}
		if rate == 0 {
			w.run(wait)
			continue
		}
		w.run(2 * s) // our end expires after 3 s, and gives up 3 s later
		w.own(i, expired)
		w.run(3 * s)
		w.own(i, defaulted)
		w.run(wait - 5*s)
	}
	w.wires[i].far = far
}

// own sets our end's.
func (w *watcher) own(i int, s State) { w.wires[i].own.State = s }

// ends sets what both ends say on every link.
func (w *watcher) ends(far, own State) {
	for i := range w.wires {
		w.far(i, far)
		w.own(i, own)
	}
}

// known says that the kernel tells both ends' states of every link.
func (w *watcher) known(s State) {
	for _, x := range w.wires {
		x.member.HasStates, x.member.Actor.State, x.member.Partner.State = true, s, s
	}
}

// unheard takes away all that is heard, as a capture does that does not work.
func (w *watcher) unheard() {
	for _, x := range w.wires {
		x.far, x.own = Info{}, Info{}
	}
}
