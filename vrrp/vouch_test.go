package vrrp

import (
	"net/netip"
	"testing"
	"time"
)

// A group of two routers that a peer vouches for. The peer is 10.0.x.9; we are 10.0.x.5, of priority 100 and an
// interval of 100 ms: the timer runs out after 360.9 ms.
type vouching struct {
	t    *testing.T
	set  *Set
	now  time.Time
	from time.Time
}

const vouchLimit = 2 * time.Second

func newVouching(t *testing.T, edit func(*SetConfig)) *vouching {
	t.Helper()
	cfg := SetConfig{Node: "n", HoldLimit: vouchLimit, Groups: []GroupConfig{{Name: "gw", Routers: []string{"lan", "wan"}}}}
	for i, name := range []string{"lan", "wan"} {
		cfg.Routers = append(cfg.Routers, RouterConfig{Name: name, Interface: name + "0", VRID: uint8(51 + i), Priority: 100,
			Interval: 100 * time.Millisecond, Preempt: true, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(i), 1})}})
	}
	if edit != nil {
		edit(&cfg)
	}
	set, err := NewSet(cfg)
	if err != nil {
		t.Fatal(err)
	}
	v := &vouching{t: t, set: set, now: time.Unix(1000, 0), from: time.Unix(1000, 0)}
	for i, name := range []string{"lan0", "wan0"} {
		v.step(SetInput{Kind: InLink, Interface: name, Up: true, Primary: netip.AddrFrom4([4]byte{10, 0, byte(i), 5})})
	}
	v.step(SetInput{Kind: InStart})
	return v
}

func (v *vouching) step(in SetInput) []Op { return v.set.Step(v.now, in).Ops }

// until goes on to a time after the start; the peer sends a word every 100 ms, if it is to.
func (v *vouching) until(d time.Duration, word func() SetInput) {
	for end := v.from.Add(d); ; {
		next := end
		if at := v.set.Deadline(); !at.IsZero() && at.Before(next) {
			next = at
		}
		beat := v.now.Truncate(100 * time.Millisecond).Add(100 * time.Millisecond)
		if word != nil && !beat.After(next) {
			v.now = beat
			v.step(word())
			continue
		}
		v.now = later(v.now, next)
		if at := v.set.Deadline(); !at.IsZero() && !v.now.Before(at) {
			v.step(SetInput{Kind: InTick})
			continue
		}
		if !next.Before(end) {
			return
		}
	}
}

// word is what the peer says: it is Active, with this priority.
func (v *vouching) word(priority uint8) SetInput {
	in := SetInput{Kind: InVouch, Group: "gw", Peer: 1, On: true, Rx: v.now, Interval: 100 * time.Millisecond}
	for i := range 2 {
		in.Claims = append(in.Claims, Claim{Router: i, Priority: priority, Source: netip.AddrFrom4([4]byte{10, 0, byte(i), 9})})
	}
	return in
}

func (v *vouching) better() SetInput { return v.word(200) }

func (v *vouching) advert(router int, priority uint8) []Op {
	return v.step(SetInput{Kind: InAdvert, Router: router, Src: netip.AddrFrom4([4]byte{10, 0, byte(router), 9}),
		Advert: &Advert{Version: 3, VRID: uint8(51 + router), Priority: priority, Interval: 100 * time.Millisecond}})
}

func (v *vouching) is(want State, what string) {
	v.t.Helper()
	if got := v.set.Group(0).State; got != want {
		v.t.Fatalf("%s: the group is %v after %v, want %v", what, got, v.now.Sub(v.from), want)
	}
}

func count(ops []Op, kind OpKind) (n int) {
	for _, op := range ops {
		if op.Kind == kind {
			n++
		}
	}
	return n
}

func TestVouchHoldsATakeoverNotBeyondTheLimit(t *testing.T) {
	v := newVouching(t, nil)
	down := ActiveDown(3, 100, 100*time.Millisecond)
	v.until(down+time.Millisecond, v.better)
	v.is(Backup, "vouched for")
	if s := v.set.Snapshot(v.now).Groups[0]; !s.Held || s.Reason != string(CauseHeld) {
		t.Errorf("status: held %v, reason %q", s.Held, s.Reason)
	}
	v.until(down+vouchLimit-time.Millisecond, v.better)
	v.is(Backup, "just before the limit")
	v.until(down+vouchLimit, v.better)
	v.is(Active, "at the limit")
	// From now on by the RFC alone.
	for range 5 {
		in := v.better()
		in.Known = true
		v.step(in)
	}
	v.is(Active, "the peer is better, by its heartbeats")
}

// What is used up stays used up, however the words come and go.
func TestVouchLimitIsOfTheWholeSilence(t *testing.T) {
	v := newVouching(t, nil)
	down := ActiveDown(3, 100, 100*time.Millisecond)
	v.until(down+vouchLimit/2, v.better)
	v.until(down+vouchLimit/2+time.Second, nil)
	v.is(Active, "no word any more")
	known := v.better()
	known.Known = true
	v.step(known)
	v.is(Backup, "a better Active, by its heartbeat")
	again := v.now.Add(down)
	v.until(again.Sub(v.from)+vouchLimit/2-400*time.Millisecond, v.better)
	v.is(Backup, "held again")
	v.until(again.Sub(v.from)+vouchLimit/2+time.Millisecond, v.better)
	v.is(Active, "the rest of the limit")
}

// An advert begins another silence, with all of the limit.
func TestVouchLimitBeginsAnewWithAnAdvert(t *testing.T) {
	v := newVouching(t, nil)
	down := ActiveDown(3, 100, 100*time.Millisecond)
	v.until(down+vouchLimit-100*time.Millisecond, v.better)
	v.is(Backup, "held")
	v.advert(0, 200)
	at := v.now.Sub(v.from)
	v.until(at+down+vouchLimit-time.Millisecond, v.better)
	v.is(Backup, "held anew")
	v.until(at+down+vouchLimit, v.better)
	v.is(Active, "at its limit")
}

func TestVouchRows(t *testing.T) {
	down := ActiveDown(3, 100, 100*time.Millisecond)
	never := func(v *vouching) SetInput { in := v.better(); in.On, in.Claims = false, nil; return in }
	for _, tt := range []struct {
		name string
		edit func(*SetConfig)
		word func(*vouching) SetInput
		then func(*vouching) // when the timers have run out, and held
		want State
	}{
		{"by default nothing is held", func(c *SetConfig) { c.HoldLimit = 0 }, (*vouching).better, nil, Active},
		{"nobody says anything", nil, nil, nil, Active},
		{"the peer says that it is not Active", nil, never, nil, Active},
		{"a better one", nil, (*vouching).better, nil, Backup},
		{"an equal one, as an advert would", nil, func(v *vouching) SetInput { return v.word(100) }, nil, Backup},
		{"a worse one is preempted", nil, func(v *vouching) SetInput { return v.word(99) }, nil, Active},
		{"a worse one, without preemption", func(c *SetConfig) { c.Routers[0].Preempt, c.Routers[1].Preempt = false, false },
			func(v *vouching) SetInput { return v.word(99) }, nil, Backup},
		{"better on one segment is enough, as with adverts", nil, func(v *vouching) SetInput {
			in := v.word(99)
			in.Claims[1].Priority = 101
			return in
		}, nil, Backup},
		{"claims for routers of nobody", nil, func(v *vouching) SetInput {
			in := v.better()
			in.Claims = []Claim{{Router: 7, Priority: 200}, {Router: -1, Priority: 200}}
			return in
		}, nil, Active},
		{"our own claim, from somewhere", nil, func(v *vouching) SetInput {
			in := v.better()
			for i := range in.Claims {
				in.Claims[i].Source = v.set.Source(i)
			}
			return in
		}, nil, Active},
		{"an old word", nil, func(v *vouching) SetInput { in := v.better(); in.Rx = v.now.Add(-time.Second); return in }, nil, Active},
		{"priority 0 is not held up", nil, (*vouching).better, func(v *vouching) {
			v.advert(0, 0)
			v.until(v.now.Sub(v.from)+70*time.Millisecond, v.better)
		}, Active},
		{"it gives up, by its heartbeat", nil, (*vouching).better, func(v *vouching) { v.step(never(v)) }, Active},
		{"another peer gives up", nil, (*vouching).better, func(v *vouching) { in := never(v); in.Peer = 2; v.step(in) }, Backup},
		{"a peer beyond every bound", nil, func(v *vouching) SetInput { in := v.better(); in.Peer = maxPeers; return in }, nil, Active},
		{"hold is taken out of the file", nil, (*vouching).better, func(v *vouching) {
			cfg := v.set.Config()
			cfg.HoldLimit = 0
			if _, err := v.set.Reconfigure(v.now, cfg); err != nil {
				v.t.Fatal(err)
			}
			v.step(SetInput{Kind: InTick})
		}, Active},
		{"a fault while held", nil, (*vouching).better, func(v *vouching) {
			v.step(SetInput{Kind: InFault, Group: "gw", On: true})
			if !v.set.Deadline().IsZero() {
				v.t.Error("a timer runs in Fault")
			}
		}, Fault},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVouching(t, tt.edit)
			var word func() SetInput
			if tt.word != nil {
				word = func() SetInput { return tt.word(v) }
			}
			v.until(down+20*time.Millisecond, word)
			if tt.then != nil {
				v.is(Backup, "held")
				tt.then(v)
			}
			v.is(tt.want, tt.name)
		})
	}
}

// In a crash adverts and heartbeats end together: the timer decides alone, wherever the last heartbeat was between two
// adverts. When adverts were missing before, it takes less than the timer would.
func TestVouchCostsACrashNothing(t *testing.T) {
	down := ActiveDown(3, 100, 100*time.Millisecond)
	for phase := time.Duration(0); phase < 100*time.Millisecond; phase += 7 * time.Millisecond {
		v := newVouching(t, nil)
		v.now = v.from
		v.advert(0, 200)
		v.advert(1, 200)
		v.now = v.from.Add(phase)
		v.step(v.better())
		v.until(down, nil)
		v.is(Active, "crashed "+phase.String()+" after the advert")
	}
	v := newVouching(t, nil)
	v.until(down+500*time.Millisecond, v.better)
	last := v.now
	v.is(Backup, "held")
	v.until(last.Sub(v.from)+2*100*time.Millisecond+ActiveDown(3, 100, 100*time.Millisecond)-300*time.Millisecond, nil)
	v.is(Active, "two heartbeats and a skew after the last")
}

// An Active yields to a better one that it knows by heartbeat only, and says nothing: a third node would take priority
// 0 for a vacancy.
func TestVouchMakesTheLowerOfTwoActivesYield(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*vouching, *SetInput)
		want State
	}{
		{"better", func(*vouching, *SetInput) {}, Backup},
		{"it may not have known that we are Active", func(_ *vouching, in *SetInput) { in.Known = false }, Active},
		{"worse", func(_ *vouching, in *SetInput) { in.Claims[0].Priority = 50 }, Active},
		{"equal, higher address", func(_ *vouching, in *SetInput) { in.Claims[0].Priority, in.Claims[1].Priority = 100, 50 }, Backup},
		{"equal, lower address", func(_ *vouching, in *SetInput) {
			in.Claims[0].Priority, in.Claims[0].Source = 100, netip.MustParseAddr("10.0.0.2")
		}, Active},
		{"better where the group does not decide", func(_ *vouching, in *SetInput) { in.Claims = in.Claims[1:] }, Active},
		{"old", func(v *vouching, in *SetInput) { in.Rx = v.now.Add(-time.Second) }, Active},
		{"while we leave", func(v *vouching, _ *SetInput) { v.step(SetInput{Kind: InHandOver}) }, Active},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVouching(t, nil)
			v.until(time.Second, nil)
			v.is(Active, "alone")
			in := v.better()
			in.Known = true
			tt.edit(v, &in)
			ops := v.step(in)
			v.is(tt.want, tt.name)
			if tt.want != Backup {
				return
			}
			if len(ops) != 2 || ops[0].Kind != OpGateClose || ops[1].Kind != OpTransition || ops[1].Cause != string(CauseWitness) {
				t.Errorf("did %+v", ops)
			}
			if count(ops, OpSend) > 0 {
				t.Error("it sent something")
			}
		})
	}
}

// When nobody else is Active any more the next silence is another one.
func TestVouchSpentUntilTheSplitIsOver(t *testing.T) {
	v := newVouching(t, nil)
	v.until(ActiveDown(3, 100, 100*time.Millisecond)+vouchLimit, v.better)
	v.is(Active, "spent")
	known := func() SetInput { in := v.better(); in.Known = true; return in }
	v.step(known())
	v.is(Active, "spent")
	off := known()
	off.On, off.Claims = false, nil
	v.step(off)
	v.step(known())
	v.is(Backup, "another silence")
}

// A process that was late itself may have slept past heartbeats: it waits for one more, and not for two.
func TestVouchGivesTheLateOneMoreHeartbeat(t *testing.T) {
	v := newVouching(t, nil)
	v.until(500*time.Millisecond, v.better)
	v.is(Backup, "held")
	v.now = v.set.Deadline().Add(150 * time.Millisecond) // it sleeps
	v.step(SetInput{Kind: InTick})
	v.is(Backup, "it was late itself")
	wait := v.set.Deadline().Sub(v.now)
	if wait <= 100*time.Millisecond || wait > 200*time.Millisecond {
		t.Fatalf("it waits for %v", wait)
	}
	v.now = v.set.Deadline().Add(150 * time.Millisecond)
	v.step(SetInput{Kind: InTick})
	v.is(Active, "it was late once more")

	v = newVouching(t, nil)
	v.until(500*time.Millisecond, v.better)
	v.now = v.set.Deadline().Add(50 * time.Millisecond)
	v.step(SetInput{Kind: InTick})
	v.is(Active, "a little late")
}

// A word binds what the group is, not what it was when the word was given.
func TestVouchOfAWorsePeer(t *testing.T) {
	down := ActiveDown(3, 100, 100*time.Millisecond)
	worse := func(v *vouching) func() SetInput { return func() SetInput { return v.word(50) } }
	v := newVouching(t, nil)
	v.until(down+time.Millisecond, worse(v))
	v.is(Active, "it would preempt that one")

	v = newVouching(t, nil)
	v.step(SetInput{Kind: InEligible, Group: "gw", Reason: "not in sync"})
	v.until(down+time.Millisecond, worse(v))
	v.is(Backup, "it would leave that one alone")
	v.step(SetInput{Kind: InEligible, Group: "gw", OK: true})
	v.is(Active, "now it would not")

	v = newVouching(t, nil)
	v.until(down+time.Millisecond, v.better)
	v.is(Backup, "held")
	v.step(v.word(50))
	v.is(Active, "it has come down in the world")
}

func TestVouchAllocatesNothing(t *testing.T) {
	v := newVouching(t, nil)
	in := v.better()
	v.step(in)
	if n := testing.AllocsPerRun(100, func() { v.step(in) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
