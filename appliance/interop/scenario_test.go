package interop

import (
	"slices"
	"time"

	"github.com/vishvananda/netlink"

	"understudy/appliance/lab"
	"understudy/appliance/lab/capture"
)

// scenario is what happens between two routers. In each, the role of a is played
// by us and then by them.
type scenario struct {
	name   string
	higher bool // a has the higher address
	needs  func(variant) bool
	play   func(*duel)
}

var scenarios = []scenario{
	{name: "election by priority", play: byPriority},
	{name: "preempt", play: preempt},
	{name: "no preempt", play: noPreempt},
	{name: "equal priority", higher: true, play: byAddress},
	{name: "release", play: release},
	{name: "crash", play: crash},
	{name: "slow active", needs: learning, play: slowActive},
	{name: "slow backup", needs: learning, play: slowBackup},
}

func learning(v variant) bool { return v.learns }

// both starts a with priority 200 and b with 100, and waits until a is Active
// and b has heard it.
func (d *duel) both(a, b settings) {
	d.t.Helper()
	d.a.start(a)
	d.b.start(b)
	d.settled()
}

func (d *duel) settled() {
	d.t.Helper()
	d.wait("b to listen", listens(d.b.machine(), d.v))
	d.wait("a to be Active alone", d.alone(d.a))
	before := len(d.wire.adverts(d.a.machine().Name))
	d.wait("more adverts of a", func() error {
		if len(d.wire.adverts(d.a.machine().Name)) < before+2 {
			return errNotYet
		}
		return nil
	})
}

func (d *duel) better(interval time.Duration) settings {
	return settings{priority: 200, interval: interval}
}

func (d *duel) worse(interval time.Duration) settings {
	return settings{priority: 100, interval: interval}
}

// a has the better priority and the lower address.
func byPriority(d *duel) {
	d.both(d.better(d.v.interval), d.worse(d.v.interval))
	mark := time.Now()
	d.stays("a Active alone", 4*d.v.interval, d.alone(d.a))
	if list := since(d.wire.adverts(d.b.machine().Name), mark); len(list) > 0 {
		d.t.Errorf("b spoke: %v", list)
	}
}

// b is Active when the better one comes.
func preempt(d *duel) {
	d.b.start(d.worse(d.v.interval))
	d.wait("b to be Active alone", d.alone(d.b))
	d.a.start(d.better(d.v.interval))
	d.settled()
}

// b is Active when the better one comes, which leaves it alone.
func noPreempt(d *duel) {
	d.b.start(d.worse(d.v.interval))
	d.wait("b to be Active alone", d.alone(d.b))
	set := d.better(d.v.interval)
	set.noPreempt = true
	d.a.start(set)
	d.wait("a to listen", listens(d.a.machine(), d.v))
	d.wait("b to be Active alone, still", d.alone(d.b))
	d.stays("b Active alone", 5*d.v.interval, d.alone(d.b))
	d.crash(d.b)
	d.wait("a to be Active alone", d.alone(d.a))
}

// Both are Active because they cannot hear each other; then they can.
func byAddress(d *duel) {
	if d.v.unicast { // or what they send waits in their kernels, for an answer to ARP
		d.introduce(d.a.machine(), d.b.machine())
		d.introduce(d.b.machine(), d.a.machine())
	}
	d.isolate(true)
	d.a.start(d.better(d.v.interval))
	d.b.start(d.better(d.v.interval))
	d.wait("a to serve", d.serves(d.a))
	d.wait("b to serve", d.serves(d.b))
	d.isolate(false)
	d.wait("a to be Active alone", d.alone(d.a))
	d.stays("a Active alone", 4*d.v.interval, d.alone(d.a))
}

// a is stopped in good order: b waits Skew_Time only.
func release(d *duel) {
	interval := max(d.v.interval, 500*time.Millisecond)
	d.both(d.better(interval), d.worse(interval))
	d.stop(d.a)
	d.wait("b to be Active alone", d.alone(d.b))
	sent := d.wire.adverts(d.a.machine().Name)
	goodbye := sent[len(sent)-1]
	if goodbye.Priority != 0 {
		d.t.Fatalf("the last word of a was %v", goodbye)
	}
	gap := d.firstWord(d.b, goodbye.At).Sub(goodbye.At)
	if least := skew(100, interval) - grain; gap < least || gap > 3*interval+away() {
		d.t.Errorf("b took over after %v; Skew_Time is %v", gap, skew(100, interval))
	}
}

// The power of a is cut.
func crash(d *duel) {
	d.both(d.better(d.v.interval), d.worse(d.v.interval))
	d.crash(d.a)
	d.wait("b to be Active alone", d.alone(d.b))
	d.tookOverAfter(activeDown(100, d.v.interval))
}

// a advertises far more seldom than b is configured for. b goes by a's word, not
// by its own.
func slowActive(d *duel) {
	fast := d.v.interval / 2
	slow := 5 * fast
	d.both(d.better(slow), d.worse(fast))
	d.stays("a Active alone", 2*slow, d.alone(d.a))
	d.crash(d.a)
	d.wait("b to be Active alone", d.alone(d.b))
	d.tookOverAfter(activeDown(100, slow))
}

// b is configured for far less frequent adverts than a sends.
func slowBackup(d *duel) {
	slow := 15 * d.v.interval
	d.both(d.better(d.v.interval), d.worse(slow))
	d.crash(d.a)
	d.wait("b to serve", d.serves(d.b))
	d.tookOverAfter(activeDown(100, d.v.interval))
}

// grain is what peers lose by counting in hundredths of a second.
const grain = 20 * time.Millisecond

// tookOverAfter looks at the time between the last word of a and the first of b.
func (d *duel) tookOverAfter(want time.Duration) {
	d.t.Helper()
	sent := d.wire.adverts(d.a.machine().Name)
	end := sent[len(sent)-1].At
	if gap := d.firstWord(d.b, end).Sub(end); gap < want-grain || gap > want+slack+away() {
		d.t.Errorf("b took over after %v; Active_Down_Interval is %v", gap, want)
	}
}

// firstWord is when c, which has taken over, first said so after t.
func (d *duel) firstWord(c contender, t time.Time) time.Time {
	d.t.Helper()
	var at []time.Time
	for _, a := range since(d.wire.adverts(c.machine().Name), t) {
		at = append(at, a.At)
	}
	// FRR's first advert of IPv6 does not go out: its interface, which the advert comes
	// from, is only just coming up. Its announcements do, and the next advert.
	if _, ok := c.(*frr); ok && d.v.six() {
		for _, f := range d.wire.c.Frames() {
			if p := capture.Decode(f.Data); f.From == c.machine().Name && !f.At.Before(t) && p.Announces(d.v.address.Addr()) {
				at = append(at, f.At)
			}
		}
	}
	if len(at) == 0 {
		d.t.Fatalf("%s spoke only before %v", c.machine().Name, t)
	}
	return slices.MinFunc(at, time.Time.Compare)
}

func (d *duel) stop(c contender) {
	d.t.Helper()
	d.dead[c] = true
	c.stop()
}

func (d *duel) crash(c contender) {
	d.t.Helper()
	d.dead[c] = true
	_, err := c.machine().Crash()
	d.must(err)
}

// introduce tells a machine the hardware address of another one.
func (d *duel) introduce(n, other *lab.Node) {
	d.t.Helper()
	l := other.Link("lan0")
	addrs, err := l.Addrs()
	d.must(err)
	at, err := n.Netlink().LinkByName("lan0")
	d.must(err)
	d.must(n.Netlink().NeighSet(&netlink.Neigh{LinkIndex: at.Attrs().Index, State: netlink.NUD_REACHABLE,
		IP: addrs[0].Addr().AsSlice(), HardwareAddr: l.MAC}))
}

// isolate keeps the two from hearing each other, while their links are well.
func (d *duel) isolate(on bool) {
	d.t.Helper()
	d.must(isolate(d.lan, on))
}

// isolate makes every port of a segment deaf to the others, or ends it.
func isolate(seg *lab.Segment, on bool) error {
	return seg.Do(func() error {
		links, err := netlink.LinkList()
		if err != nil {
			return err
		}
		for _, l := range links {
			if seg.PortOwner(l.Attrs().Index) == "" {
				continue
			}
			if err := netlink.LinkSetIsolated(l, on); err != nil {
				return err
			}
		}
		return nil
	})
}
