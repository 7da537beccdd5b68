package vrrp

import (
	"net/netip"
	"time"
)

// MachineConfig is what the rules of RFC 9568, 6.4 need to know of one virtual router.
type MachineConfig struct {
	Version      uint8 // 2 or 3
	Priority     uint8 // 1-255
	Interval     time.Duration
	Preempt      bool
	PreemptDelay time.Duration
	Source       netip.Addr // the very address we send from: it breaks ties
	Held         bool       // leave a live lower-priority Active alone, even as owner (see Set: eligibility)
	DownAdverts  uint8      // intervals of silence, besides a skew; 0 is 3
	Meek         bool       // do not assert against a worse rival
	Grouped      bool       // do not become Active when the timer runs out; be Ready until EventPromote
}

// Event is the kind of an Input.
type Event uint8

// The events. The first four are RFC 9568's, the others let Set move the routers of a group as one.
const (
	EventStartup  Event = iota // 6.4.1
	EventShutdown              // 6.4.2, 6.4.3
	EventTick                  // the time of Deadline has come; stale ones do nothing
	EventAdvert                // an advert that passed every check of 7.1
	EventPromote               // a Grouped router in Backup becomes Active now
	EventYield                 // an Active router goes to Backup in silence
	EventRelease               // hand-over: send priority 0, stay Active in silence until somebody is heard
	EventLinger                // an Active router that is outranked stays Active in silence until EventYield
	EventAnnounce              // an Active router sends and starts its interval anew
)

// Input is one event. Only EventAdvert and EventStartup have more fields, and EventYield has Rx.
type Input struct {
	Event    Event
	Priority uint8
	Interval time.Duration
	Source   netip.Addr
	Rx       time.Time // when the packet came in; zero: now. EventYield: when the successor was heard
	Stand    bool      // judge a better rival as a worse one (see Set: the anchor)
	Linger   bool      // stay Active in silence when a better rival is heard (see Set: the overlap)

	// EventStartup. Nobody is elected before Begin, which is when the wait begins; zero: now.
	Begin time.Time

	// EventStartup. Until Clear silence proves nothing, as long as no advert has come: the interface may not deliver
	// frames yet. Until Stable a live lower-priority Active is left alone. Zero: now.
	Clear, Stable time.Time
}

// Output is what to do. The machine itself has already changed.
type Output struct {
	Send     bool
	Priority uint8 // of the advert to send
	Rearmed  bool  // Adver_Timer started anew outside its rhythm: the group follows, to stay in phase
	From, To State
	Cause    Cause

	Successor bool // silent, and the one that takes over was heard
}

// Machine is one virtual router: the rules of RFC 9568, 6.4 and nothing else. The zero value is useless, call NewMachine.
//
// There is one timer, whose meaning follows from the state: Active_Down_Timer in Backup, Adver_Timer in Active.
type Machine struct {
	cfg     MachineConfig
	state   State
	learned time.Duration // Active_Adver_Interval
	timer   time.Time     // zero: not armed
	armed   time.Time     // what timer was counted from
	entered time.Time     // the state
	onSkew  bool          // timer is Skew_Time after a priority 0, not Active_Down_Interval
	ready   bool          // Backup, Grouped: Active_Down_Timer has run out
	excused bool          // a late timer has been given its one skew of grace
	left    bool          // Active and silent, after EventRelease or EventLinger

	preemptAt          time.Time
	floor              time.Time // Backup: timer is a skew after that at the soonest; zero: the interface delivers frames
	lastAssert, lastA3 time.Time
}

// NewMachine returns a machine in Initialize.
func NewMachine(cfg MachineConfig) *Machine {
	return &Machine{cfg: cfg, learned: cfg.Interval}
}

// State is Initialize, Backup or Active.
func (m *Machine) State() State { return m.state }

// Ready says that a Grouped router's Active_Down_Timer has run out and nobody was heard since.
func (m *Machine) Ready() bool { return m.ready }

// Learned is Active_Adver_Interval.
func (m *Machine) Learned() time.Duration { return m.learned }

// Config returns what the machine runs with.
func (m *Machine) Config() MachineConfig { return m.cfg }

// Deadline is when to send EventTick; zero: no timer runs.
func (m *Machine) Deadline() time.Time { return m.timer }

// Reconfigure changes the parameters of a running machine. State stays; a running Active_Down_Timer is counted
// again from where it began, so that a raised priority counts at once.
func (m *Machine) Reconfigure(cfg MachineConfig) {
	if m.learned == m.cfg.Interval {
		m.learned = cfg.Interval
	}
	recount := cfg.Priority != m.cfg.Priority || cfg.Interval != m.cfg.Interval || cfg.DownAdverts != m.cfg.DownAdverts
	m.cfg = cfg
	if recount && m.state == Backup && !m.ready && !m.timer.IsZero() {
		m.arm(m.armed, m.onSkew)
	}
}

// hasten has an Active keep a shorter interval from now on: whatever makes it send tells the new one, and who learned
// that does not wait for the old one.
func (m *Machine) hasten(now time.Time) {
	if next := now.Add(m.cfg.Interval); m.state == Active && m.timer.After(next) {
		m.timer = next
	}
}

// Step applies one event at the time now. It is defined for every event in every state.
func (m *Machine) Step(now time.Time, in Input) Output {
	out := Output{From: m.state, To: m.state}
	switch m.state {
	case Backup:
		m.stepBackup(now, in, &out)
	case Active:
		m.stepActive(now, in, &out)
	default:
		m.stepInitialize(now, in, &out)
	}
	out.To = m.state
	return out
}

func (m *Machine) stepInitialize(now time.Time, in Input, out *Output) {
	switch in.Event {
	case EventStartup:
		begin := latest(now, in.Begin)
		m.preemptAt = latest(begin.Add(m.cfg.PreemptDelay), in.Stable)
		m.learned = m.cfg.Interval
		out.Cause = CauseStartup
		switch owner := m.cfg.Priority == 255 && !m.cfg.Held; {
		case owner && begin.After(now):
			m.enter(now, Backup)
			m.arm(begin, true) // the skew of an owner is as good as none
		case owner && m.cfg.Grouped:
			m.enter(now, Backup)
			m.becomeReady()
		case owner:
			m.becomeActive(now, out, CauseOwner)
		default:
			m.enter(now, Backup)
			m.floor = in.Clear
			m.arm(begin, false)
		}
	case EventPromote: // a respawned election goes on
		m.learned = m.cfg.Interval
		m.becomeActive(now, out, CauseResume)
	}
}

func (m *Machine) stepBackup(now time.Time, in Input, out *Output) {
	switch in.Event {
	case EventShutdown:
		m.becomeInitialize(now, out)
	case EventPromote:
		m.becomeActive(now, out, CauseActiveDown)
	case EventTick:
		m.onActiveDown(now, out)
	case EventAdvert:
		m.onAdvertInBackup(now, in)
	}
}

// onActiveDown is 6.4.2 "if the Active_Down_Timer fires".
func (m *Machine) onActiveDown(now time.Time, out *Output) {
	if m.timer.IsZero() || now.Before(m.timer) {
		return
	}
	// A process that slept past its timer may have slept past the adverts too: the sender's, or its own network
	// stack's. One skew more costs little; taking over from a live Active costs two transitions.
	if late := now.Sub(m.timer); late > m.learned && !m.excused {
		m.timer = now.Add(skew(m.cfg.Version, m.cfg.Priority, m.learned))
		m.excused = true
		return
	}
	if m.cfg.Grouped {
		m.becomeReady()
		return
	}
	m.becomeActive(now, out, CauseActiveDown)
}

// onAdvertInBackup is 6.4.2 "if an ADVERTISEMENT is received". No addresses are compared here.
func (m *Machine) onAdvertInBackup(now time.Time, in Input) {
	if in.Source == m.cfg.Source {
		return
	}
	m.onDelivery(now)
	switch {
	case in.Priority == 0:
		m.arm(m.received(now, in), true)
	case in.Priority >= m.cfg.Priority || !m.preempts(now):
		m.learn(in)
		m.arm(m.received(now, in), false)
	}
}

// onDelivery: the interface delivers frames, so an Active_Down_Interval of silence means something from now on.
func (m *Machine) onDelivery(now time.Time) {
	if m.floor.IsZero() {
		return
	}
	m.floor = time.Time{}
	if t := now.Add(m.cfg.down(m.learned)); t.Before(m.timer) {
		m.timer = t
	}
}

// preempts is Preempt_Mode as it is in force now. An owner preempts whatever is configured (6.1).
func (m *Machine) preempts(now time.Time) bool {
	if m.cfg.Held || now.Before(m.preemptAt) {
		return false
	}
	return m.cfg.Preempt || m.cfg.Priority == 255
}

func (m *Machine) stepActive(now time.Time, in Input, out *Output) {
	switch in.Event {
	case EventShutdown:
		if !m.left {
			m.send(out, 0)
		}
		m.becomeInitialize(now, out)
	case EventYield:
		out.Cause = CauseYield
		m.becomeBackup(now, m.received(now, in))
	case EventRelease:
		if !m.left {
			m.send(out, 0)
			m.hush()
		}
	case EventLinger:
		m.hush()
	case EventAnnounce:
		if !m.left {
			m.send(out, m.cfg.Priority)
			m.timer = now.Add(m.cfg.Interval)
		}
	case EventTick:
		m.onAdverTimer(now, out)
	case EventAdvert:
		m.onAdvertInActive(now, in, out)
	}
}

// onAdverTimer is 6.4.3 "if the Adver_Timer fires". The next is counted from the deadline, not from now: being
// late must not add up.
func (m *Machine) onAdverTimer(now time.Time, out *Output) {
	if m.timer.IsZero() || now.Before(m.timer) {
		return
	}
	m.send(out, m.cfg.Priority)
	m.timer = m.timer.Add(m.cfg.Interval)
	if !m.timer.After(now) {
		m.timer = now.Add(m.cfg.Interval)
	}
}

// onAdvertInActive is 6.4.3 "if an ADVERTISEMENT is received". Our own packet, looped, or one of a router that has
// our address by mistake, counts for nothing: both sides would assert for ever.
func (m *Machine) onAdvertInActive(now time.Time, in Input, out *Output) {
	switch {
	case in.Source == m.cfg.Source:
	case m.left:
		if in.Priority != 0 {
			// Whoever released us says when we stop serving: see Set.
			out.Successor = true
			m.learn(in)
		}
	case in.Priority == 0:
		if now.Sub(m.lastA3) >= m.assertGap() {
			m.lastA3 = now
			m.send(out, m.cfg.Priority)
			m.timer = now.Add(m.cfg.Interval)
			out.Rearmed = true
		}
	case m.outranked(in) && !in.Stand:
		out.Cause = CauseBetterActive
		m.learn(in)
		if in.Linger {
			out.Successor = true
			m.hush()
			return
		}
		m.becomeBackup(now, m.received(now, in))
	case m.cfg.Version != 2 && !m.cfg.Meek && now.Sub(m.lastAssert) >= m.assertGap():
		// RFC 9568 asserts at once; the timer keeps its rhythm. RFC 3768 only discards.
		m.lastAssert = now
		m.send(out, m.cfg.Priority)
	}
}

func (m *Machine) outranked(in Input) bool {
	if in.Priority != m.cfg.Priority {
		return in.Priority > m.cfg.Priority
	}
	return in.Source.Compare(m.cfg.Source) > 0
}

// assertGap bounds how often a rival can make us send: 4 times an interval, whatever it does.
func (m *Machine) assertGap() time.Duration { return m.cfg.Interval / 4 }

// learn takes over the Active's interval. Version 2 has it configured and drops other ones before they come here.
func (m *Machine) learn(in Input) {
	if m.cfg.Version != 2 && in.Interval > 0 {
		m.learned = in.Interval
	}
}

// received is when the packet came in, as far as that can be true.
func (m *Machine) received(now time.Time, in Input) time.Time {
	switch {
	case in.Rx.IsZero() || in.Rx.After(now):
		return now
	case in.Rx.Before(m.entered):
		return m.entered
	}
	return in.Rx
}

// skew is Skew_Time as it is now.
func (m *Machine) skew() time.Duration { return skew(m.cfg.Version, m.cfg.Priority, m.learned) }

// arm starts Active_Down_Timer at from: Active_Down_Interval, or Skew_Time only.
func (m *Machine) arm(from time.Time, onSkew bool) {
	wait := skew(m.cfg.Version, m.cfg.Priority, m.learned)
	if !onSkew {
		wait = m.cfg.down(m.learned)
	}
	m.armed, m.onSkew = from, onSkew
	m.timer = from.Add(wait)
	if !m.floor.IsZero() { // two that start together: the better one first, as ever
		m.timer = latest(m.timer, m.floor.Add(skew(m.cfg.Version, m.cfg.Priority, m.learned)))
	}
	m.ready, m.excused = false, false
}

func (m *Machine) send(out *Output, priority uint8) { out.Send, out.Priority = true, priority }

func (m *Machine) enter(now time.Time, to State) {
	m.state, m.entered = to, now
	m.timer, m.floor = time.Time{}, time.Time{}
	m.ready, m.left, m.onSkew = false, false, false
}

func (m *Machine) becomeInitialize(now time.Time, out *Output) {
	out.Cause = CauseShutdown
	m.enter(now, Initialize)
}

// becomeBackup counts Active_Down_Interval from the packet that sent us there, if one did.
func (m *Machine) becomeBackup(now, from time.Time) {
	m.enter(now, Backup)
	m.arm(from, false)
}

func (m *Machine) becomeReady() {
	m.timer = time.Time{}
	m.ready = true
}

// hush ends the adverts of an Active router.
func (m *Machine) hush() {
	m.left = true
	m.timer = time.Time{}
}

func (m *Machine) becomeActive(now time.Time, out *Output, cause Cause) {
	out.Cause = cause
	m.enter(now, Active)
	m.send(out, m.cfg.Priority)
	m.timer = now.Add(m.cfg.Interval)
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
