package vrrp_test

import (
	"net/netip"
	"testing"
	"time"

	"understudy/vrrp"
)

// One test a rule of RFC 9568 section 6.4 (Machine) or 7.1 (Set), with errata 8298 to 8301. The rules of the wire
// format are in advert_test.go. Intervals are 2560 ms: a skew of 10 ms a point of priority.

const interval = 2560 * time.Millisecond

var (
	epoch  = time.Unix(1000, 0)
	lower  = netip.MustParseAddr("10.0.0.1")
	self   = netip.MustParseAddr("10.0.0.2")
	higher = netip.MustParseAddr("10.0.0.3")
)

// router is a machine of priority 100 unless changed: skew 1.56 s, Active_Down_Interval 9.24 s.
type router struct {
	*vrrp.Machine
	t   *testing.T
	now time.Time
}

func machine(t *testing.T, change ...func(*vrrp.MachineConfig)) *router {
	t.Helper()
	cfg := vrrp.MachineConfig{Version: 3, Priority: 100, Interval: interval, Preempt: true, Source: self}
	for _, c := range change {
		c(&cfg)
	}
	return &router{vrrp.NewMachine(cfg), t, epoch}
}

func priority(p uint8) func(*vrrp.MachineConfig) {
	return func(c *vrrp.MachineConfig) { c.Priority = p }
}

func noPreempt(c *vrrp.MachineConfig) { c.Preempt = false }

func (r *router) event(e vrrp.Event) vrrp.Output { return r.Step(r.now, vrrp.Input{Event: e}) }

func (r *router) advert(p uint8, src netip.Addr, every time.Duration) vrrp.Output {
	return r.Step(r.now, vrrp.Input{Event: vrrp.EventAdvert, Priority: p, Interval: every, Source: src})
}

// fire lets the running timer run out.
func (r *router) fire() vrrp.Output {
	r.t.Helper()
	if r.Deadline().IsZero() {
		r.t.Fatal("no timer runs")
	}
	r.now = r.Deadline()
	return r.event(vrrp.EventTick)
}

// active brings it to Active by its timer.
func (r *router) active() *router {
	r.t.Helper()
	r.event(vrrp.EventStartup)
	if r.State() != vrrp.Active {
		r.fire()
	}
	r.is(vrrp.Active)
	return r
}

func (r *router) backup() *router {
	r.t.Helper()
	r.event(vrrp.EventStartup)
	r.is(vrrp.Backup)
	return r
}

func (r *router) is(want vrrp.State) {
	r.t.Helper()
	if got := r.State(); got != want {
		r.t.Fatalf("state: want %v, got %v", want, got)
	}
}

// due wants the timer to run out so long from now.
func (r *router) due(want time.Duration) {
	r.t.Helper()
	if got := r.Deadline().Sub(r.now); r.Deadline().IsZero() || got != want {
		r.t.Fatalf("timer: want +%v, got +%v", want, got)
	}
}

func (r *router) sends(out vrrp.Output, want uint8) {
	r.t.Helper()
	if !out.Send || out.Priority != want {
		r.t.Fatalf("want an advert of priority %d, got %+v", want, out)
	}
}

func (r *router) silent(out vrrp.Output) {
	r.t.Helper()
	if out.Send {
		r.t.Fatalf("want silence, got an advert of priority %d", out.Priority)
	}
}

func TestS6_1_TimerFormulas(t *testing.T) {
	for _, tt := range []struct {
		version, priority uint8
		every, want       time.Duration
	}{
		{3, 100, time.Second, 3609375 * time.Microsecond},
		{3, 254, time.Second, 3007812500},
		{3, 1, 10 * time.Millisecond, 39960937},
		{3, 254, 10 * time.Millisecond, 30078125},
		{3, 100, 40950 * time.Millisecond, 147803906250},
		{2, 100, time.Second, 3609375 * time.Microsecond},
		{2, 100, 3 * time.Second, 9609375 * time.Microsecond},
	} {
		if got := vrrp.ActiveDown(tt.version, tt.priority, tt.every); got != tt.want {
			t.Errorf("version %d, priority %d, %v: want %v, got %v", tt.version, tt.priority, tt.every, tt.want, got)
		}
	}
}

func TestS6_4_1_OwnerIsActiveAtOnce(t *testing.T) {
	r := machine(t, priority(255))
	out := r.event(vrrp.EventStartup)
	r.is(vrrp.Active)
	r.sends(out, 255)
	r.due(interval)
}

func TestS6_4_1_OtherStartsAsBackupInSilence(t *testing.T) {
	r := machine(t)
	r.silent(r.event(vrrp.EventStartup))
	r.is(vrrp.Backup)
	r.due(9240 * time.Millisecond)
}

func TestS6_4_1_InitializeIgnoresEverythingElse(t *testing.T) {
	r := machine(t)
	r.silent(r.event(vrrp.EventTick))
	r.silent(r.event(vrrp.EventShutdown))
	r.silent(r.advert(0, higher, interval))
	r.silent(r.advert(200, higher, interval))
	r.is(vrrp.Initialize)
	if !r.Deadline().IsZero() {
		t.Error("a timer runs in Initialize")
	}
}

func TestS6_4_2_ShutdownInBackupSendsNothing(t *testing.T) {
	r := machine(t).backup()
	r.silent(r.event(vrrp.EventShutdown))
	r.is(vrrp.Initialize)
	if !r.Deadline().IsZero() {
		t.Error("Active_Down_Timer still runs")
	}
}

func TestS6_4_2_ActiveDownTimerMakesActive(t *testing.T) {
	r := machine(t).backup()
	r.advert(200, lower, 2*interval) // learned, but not what it advertises with
	out := r.fire()
	r.is(vrrp.Active)
	r.sends(out, 100)
	r.due(interval)
}

func TestS6_4_2_PriorityZeroWaitsSkewOnly(t *testing.T) {
	r := machine(t).backup()
	r.advert(200, higher, 2*interval)
	r.now = r.now.Add(100 * time.Millisecond)
	r.advert(0, higher, interval)
	r.due(2 * 1560 * time.Millisecond) // the interval learned before; nothing is learned of this one
	if r.Learned() != 2*interval {
		t.Errorf("learned %v from priority 0", r.Learned())
	}
}

func TestS6_4_2_HigherOrEqualResetsAndIsLearned(t *testing.T) {
	for _, p := range []uint8{100, 101, 255} {
		r := machine(t).backup()
		r.now = r.now.Add(5000 * time.Millisecond)
		r.silent(r.advert(p, lower, interval/2))
		r.is(vrrp.Backup)
		r.due(9240 * time.Millisecond / 2)
	}
}

func TestS6_4_2_BackupDiscardsLowerWhenPreempting(t *testing.T) {
	r := machine(t).backup()
	r.now = r.now.Add(5000 * time.Millisecond)
	r.silent(r.advert(99, higher, interval/2))
	r.due(4240 * time.Millisecond)
	if r.Learned() != interval {
		t.Errorf("learned %v from a discarded advert", r.Learned())
	}
}

func TestS6_4_2_LowerResetsWhenNotPreempting(t *testing.T) {
	r := machine(t, noPreempt).backup()
	r.now = r.now.Add(5000 * time.Millisecond)
	r.silent(r.advert(1, lower, interval/2))
	r.due(9240 * time.Millisecond / 2)
}

func TestS6_4_2_NoAddressComparedInBackup(t *testing.T) {
	r := machine(t).backup()
	r.now = r.now.Add(5000 * time.Millisecond)
	r.advert(100, lower, interval)
	r.due(9240 * time.Millisecond)
}

func TestS6_1_OwnerPreemptsWhateverIsConfigured(t *testing.T) {
	r := machine(t, noPreempt, priority(255)).active()
	r.advert(255, higher, interval) // an owner in Backup
	r.is(vrrp.Backup)
	before := r.Deadline()
	r.now = r.now.Add(1000 * time.Millisecond)
	r.advert(254, higher, interval)
	if r.Deadline() != before {
		t.Error("a lower advert reset the owner's timer")
	}
}

func TestS6_4_3_ShutdownSendsPriorityZeroOnce(t *testing.T) {
	r := machine(t).active()
	r.sends(r.event(vrrp.EventShutdown), 0)
	r.is(vrrp.Initialize)
	r.silent(r.event(vrrp.EventShutdown))
}

func TestS6_4_3_AdverTimerSendsWithoutDrift(t *testing.T) {
	r := machine(t).active()
	start := r.now
	for i := 1; i <= 200; i++ {
		r.now = r.Deadline().Add(30 * time.Millisecond) // always late
		r.sends(r.event(vrrp.EventTick), 100)
		if want := start.Add(time.Duration(i+1) * interval); r.Deadline() != want {
			t.Fatalf("advert %d: want the next at %v, got %v", i, want, r.Deadline())
		}
	}
}

func TestS6_4_3_AdverTimerDoesNotCatchUp(t *testing.T) {
	r := machine(t).active()
	r.now = r.now.Add(10 * interval)
	r.sends(r.event(vrrp.EventTick), 100)
	r.due(interval)
}

func TestS6_4_3_PriorityZeroIsAnsweredAndTimerReset(t *testing.T) {
	r := machine(t).active()
	r.now = r.now.Add(1000 * time.Millisecond)
	out := r.advert(0, higher, interval)
	r.sends(out, 100)
	r.is(vrrp.Active)
	r.due(interval)
}

func TestS6_4_3_HigherPriorityWins(t *testing.T) {
	r := machine(t).active()
	r.silent(r.advert(101, lower, interval/2))
	r.is(vrrp.Backup)
	r.due(9240 * time.Millisecond / 2)
}

func TestS6_4_3_EqualPriorityHigherAddressWins(t *testing.T) {
	r := machine(t).active()
	r.silent(r.advert(100, higher, interval))
	r.is(vrrp.Backup)
	r.due(9240 * time.Millisecond)
}

func TestS6_4_3_AddressesCompareUnsigned(t *testing.T) {
	v6 := func(c *vrrp.MachineConfig) { c.Source = netip.MustParseAddr("fe80::7f") }
	r := machine(t, v6).active()
	r.advert(100, netip.MustParseAddr("fe80::80"), interval)
	r.is(vrrp.Backup)
	v4 := func(c *vrrp.MachineConfig) { c.Source = netip.MustParseAddr("127.0.0.1") }
	r = machine(t, v4).active()
	r.advert(100, netip.MustParseAddr("128.0.0.1"), interval)
	r.is(vrrp.Backup)
}

func TestS6_4_3_LowerIsAssertedAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name     string
		priority uint8
		src      netip.Addr
	}{{"lower priority", 99, higher}, {"equal priority, lower address", 100, lower}} {
		t.Run(tt.name, func(t *testing.T) {
			r := machine(t).active()
			r.now = r.now.Add(1000 * time.Millisecond)
			r.sends(r.advert(tt.priority, tt.src, interval), 100)
			r.is(vrrp.Active)
			r.due(interval - 1000*time.Millisecond) // the timer is not reset
		})
	}
}

func TestS6_4_3_AssertsAreBounded(t *testing.T) {
	r := machine(t).active()
	sent := 0
	for range 1000 {
		r.now = r.now.Add(10 * time.Millisecond)
		if r.advert(99, lower, interval).Send {
			sent++
		}
		if r.advert(0, lower, interval).Send {
			sent++
		}
	}
	// Ten seconds are 3.9 intervals; 4 asserts and 4 answers to priority 0 in each.
	if sent < 16 || sent > 34 {
		t.Errorf("%d adverts in answer to 2000", sent)
	}
}

func TestS6_4_3_OwnPacketCountsForNothing(t *testing.T) {
	r := machine(t).active()
	for _, p := range []uint8{0, 100, 200} {
		r.silent(r.advert(p, self, interval))
		r.is(vrrp.Active)
	}
	b := machine(t).backup()
	b.now = b.now.Add(5000 * time.Millisecond)
	b.advert(200, self, interval)
	b.due(4240 * time.Millisecond)
}

func TestErratum8298_OwnerYieldsToOwnerWithHigherAddress(t *testing.T) {
	r := machine(t, priority(255)).active()
	r.sends(r.advert(255, lower, interval), 255)
	r.is(vrrp.Active)
	r.now = r.now.Add(interval)
	r.advert(254, higher, interval)
	r.is(vrrp.Active)
	r.advert(255, higher, interval)
	r.is(vrrp.Backup)
}

func TestStaleTickDoesNothing(t *testing.T) {
	r := machine(t).backup()
	r.now = r.Deadline().Add(-1)
	r.silent(r.event(vrrp.EventTick))
	r.is(vrrp.Backup)
	a := machine(t).active()
	a.silent(a.event(vrrp.EventTick))
	a.due(interval)
}

func TestReceiveTimeCountsNotReadingTime(t *testing.T) {
	r := machine(t).backup()
	rx := r.now.Add(1000 * time.Millisecond)
	r.now = r.now.Add(3000 * time.Millisecond)
	r.Step(r.now, vrrp.Input{Event: vrrp.EventAdvert, Priority: 200, Interval: interval, Source: higher, Rx: rx})
	r.due(9240*time.Millisecond - 2000*time.Millisecond)
	// A time before the state began, or one that is not yet, cannot be true.
	for _, rx := range []time.Time{epoch.Add(-time.Hour), r.now.Add(time.Hour)} {
		r := machine(t).backup()
		r.Step(r.now, vrrp.Input{Event: vrrp.EventAdvert, Priority: 200, Interval: interval, Source: higher, Rx: rx})
		r.due(9240 * time.Millisecond)
	}
}

func TestLateTimerWaitsOneSkewOnce(t *testing.T) {
	r := machine(t).backup()
	r.now = r.Deadline().Add(interval) // just in time
	r.sends(r.event(vrrp.EventTick), 100)

	r = machine(t).backup()
	r.now = r.Deadline().Add(interval + 1)
	r.silent(r.event(vrrp.EventTick))
	r.due(1560 * time.Millisecond)
	r.now = r.Deadline().Add(10 * interval) // and late again: that will do
	r.sends(r.event(vrrp.EventTick), 100)
	r.is(vrrp.Active)
}

func TestPreemptDelayLeavesALiveLowerAlone(t *testing.T) {
	r := machine(t, func(c *vrrp.MachineConfig) { c.PreemptDelay = 10 * time.Second }).backup()
	r.now = r.now.Add(9000 * time.Millisecond)
	r.advert(50, lower, interval)
	r.due(9240 * time.Millisecond)
	r.now = r.now.Add(1000 * time.Millisecond)
	r.advert(50, lower, interval)
	r.due(8240 * time.Millisecond)
}

func TestHeldDoesNotPreemptButTakesOver(t *testing.T) {
	r := machine(t, priority(255), func(c *vrrp.MachineConfig) { c.Held = true }).backup()
	r.now = r.now.Add(5000 * time.Millisecond)
	r.advert(50, lower, interval)
	r.due(3*interval + 10*time.Millisecond)
	r.sends(r.fire(), 255)
	r.is(vrrp.Active)
}

func TestRaisedPriorityCountsAtOnce(t *testing.T) {
	r := machine(t).backup()
	r.now = r.now.Add(5000 * time.Millisecond)
	cfg := r.Config()
	cfg.Priority = 200
	r.Reconfigure(cfg)
	r.due(3240 * time.Millisecond)
}

func TestRaisedPriorityKeepsTheSkewOfPriorityZero(t *testing.T) {
	r := machine(t).backup()
	r.advert(0, higher, interval)
	cfg := r.Config()
	cfg.Priority = 200
	r.Reconfigure(cfg)
	r.due(560 * time.Millisecond)
}

func TestReleaseServesInSilenceUntilSuccessor(t *testing.T) {
	r := machine(t).active()
	r.sends(r.event(vrrp.EventRelease), 0)
	r.is(vrrp.Active)
	if !r.Deadline().IsZero() {
		t.Error("still advertises")
	}
	r.silent(r.advert(0, lower, interval))
	r.is(vrrp.Active)
	r.silent(r.event(vrrp.EventShutdown)) // priority 0 is out already
	r = machine(t).active()
	r.event(vrrp.EventRelease)
	out := r.advert(1, lower, interval) // any priority: it is the one we asked
	r.silent(out)
	if !out.Successor {
		t.Error("the successor was not noticed")
	}
	r.is(vrrp.Active) // until the Set has let the successor get its addresses in place
	r.silent(r.event(vrrp.EventYield))
	r.is(vrrp.Backup)
}

func TestRFC3768_Version2(t *testing.T) {
	v2 := func(c *vrrp.MachineConfig) { c.Version, c.Interval = 2, 2*time.Second }
	r := machine(t, v2).backup()
	r.due(6*time.Second + 609375*time.Microsecond)
	r.advert(200, higher, time.Second) // Set drops it; the machine learns nothing either way
	r.due(6*time.Second + 609375*time.Microsecond)
	r = machine(t, v2).active()
	r.silent(r.advert(99, lower, 2*time.Second)) // discarded, no assert
	r.is(vrrp.Active)
}
