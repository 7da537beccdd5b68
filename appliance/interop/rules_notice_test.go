package interop

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"understudy/appliance"
	"understudy/vrrp"
)

// told is a line of the log about something noticed.
type told struct {
	Msg, Level                       string
	Kind, Router, Iface, Reason, Src string
	Count                            uint64
	Detail                           string
}

// notices are those lines.
func (b *box) notices() (list []told) {
	b.t.Helper()
	for _, line := range strings.Split(b.proc.Output(), "\n") {
		var n told
		if json.Unmarshal([]byte(line), &n) == nil && n.Msg == "notice" {
			list = append(list, n)
		}
	}
	return list
}

// notes waits for the notice and returns it.
func (b *box) notes(kind, reason string) (n told) {
	b.t.Helper()
	b.wait("the log to tell of "+kind+" "+reason, func() error {
		for _, n = range b.notices() {
			if n.Kind == kind && n.Reason == reason {
				return nil
			}
		}
		return errNotYet
	})
	return n
}

// once fails unless each notice is there once.
func (b *box) once() {
	b.t.Helper()
	seen := map[string]int{}
	for _, n := range b.notices() {
		key := fmt.Sprint(n.Kind, " ", n.Reason, " of ", n.Router, " on ", n.Iface)
		if seen[key]++; seen[key] > 1 {
			b.t.Errorf("%s is told %d times", key, seen[key])
		}
	}
}

// 7.1: packets that are refused, and adverts that are used though they differ,
// are counted one by one, and logged once for as long as a window lasts.
func TestWhatIsRefusedIsLoggedOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	d := newDUT(s, settings{priority: 100, interval: 40950 * time.Millisecond}, "")
	host := s.socket(d.host, "lan0")
	base := vrrpPacket(t)
	change := func(f func(b []byte)) []byte { b := append([]byte{}, base...); f(b); return b }
	stray := messageSum(change(func(b []byte) { b[21] = 99 }))
	// What the filter in the kernel keeps away is counted one by one as long as it is
	// little; more would be a sample of it.
	const many, few = 200, 20
	for range few {
		host.vrrp(ipSum(change(func(b []byte) { b[8] = 254 })))
		host.vrrp(stray)
	}
	for range many {
		host.vrrp(change(func(b []byte) { b[31] ^= 1 }))
	}
	r := d.injector("10.0.1.3")
	for range many {
		r.vrrp(base) // interval 1 s, address 10.0.1.8
	}
	s.wait("all to be counted", func() error {
		c := d.counters(t)
		for key, n := range map[string]uint64{"lan checksum": many, "lan ttl": few, "lan vrid": few, "lan received": many,
			"lan interval_mismatch": many, "lan address_mismatch": many} {
			if c[key] != n {
				return fmt.Errorf("%s is %d", key, c[key])
			}
		}
		return nil
	})
	for _, want := range []told{
		{Kind: "refused", Reason: "checksum", Router: "lan", Src: "10.0.1.1", Level: "WARN"},
		{Kind: "refused", Reason: "ttl", Router: "lan", Src: "10.0.1.1", Level: "WARN"},
		{Kind: "refused", Reason: "vrid", Src: "10.0.1.1", Level: "INFO"},
		{Kind: "interval", Router: "lan", Src: "10.0.1.1", Level: "WARN"},
		{Kind: "addresses", Router: "lan", Src: "10.0.1.1", Level: "WARN"},
	} {
		n := d.notes(want.Kind, want.Reason)
		if n.Router != want.Router || n.Src != want.Src || n.Level != want.Level || n.Iface != "lan0" || n.Count == 0 || n.Count > few {
			t.Errorf("told %+v, want %+v", n, want)
		}
	}
	d.once()
}

// alarm waits for an alarm.
func (b *box) alarm(name string) (a appliance.Alarm) {
	b.t.Helper()
	b.wait("the alarm "+name, func() error {
		st, err := b.status()
		if err != nil {
			return err
		}
		for _, a = range st.Alarms {
			if a.Name == name {
				return nil
			}
		}
		return fmt.Errorf("there is %v", st.Alarms)
	})
	return a
}

// 8.3.2: a priority that somebody else has too; and two Backups that are not kept
// apart by theirs, which takes a third router to notice.
func TestPrioritiesAreCompared(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	d := newDUT(s, settings{priority: 100, interval: 100 * time.Millisecond}, "")
	for range 3 {
		d.injector("10.0.1.3").heard(200, 100*time.Millisecond, vrrp.FormPseudo)
	}
	if list := d.notices(); len(list) > 0 {
		t.Errorf("told %+v of a pair that is as it should be", list)
	}
	d.injector("10.0.1.4").heard(101, 100*time.Millisecond, vrrp.FormPseudo)
	if n := d.notes("close-priorities", ""); n.Router != "lan" || !strings.Contains(n.Detail, "101 (10.0.1.4)") {
		t.Errorf("told %+v", n)
	}
	d.injector("10.0.1.5").heard(100, 100*time.Millisecond, vrrp.FormPseudo)
	if n := d.notes("equal-priority", ""); n.Router != "lan" || n.Src != "10.0.1.5" {
		t.Errorf("told %+v", n)
	}
	a := d.alarm("priorities")
	if !strings.Contains(a.Detail, "10.0.1.4") || !strings.Contains(a.Detail, "10.0.1.5") {
		t.Errorf("alarm %+v", a)
	}
	r, err := d.router("lan")
	d.must(err)
	if len(r.Rivals) != 3 || r.Rivals[0].Address != "10.0.1.5" || r.Rivals[0].Priority != 100 || r.Rivals[0].AdvertIntervalSeconds != 0.1 {
		t.Errorf("rivals %+v", r.Rivals)
	}
	d.once()
}

// 7.1 with erratum 8298, and 8.3.2: an owner tells of whoever advertises its
// addresses, and of one that says it owns them too.
func TestAnOwnerTellsOfRivals(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	d := &dut{box: &box{scene: s, Node: s.Node("ours")}, v: variants[0],
		set: settings{priority: 255, interval: 2 * time.Second}, host: s.Node("host")}
	s.Join(d.Node, s.lan, "lan0", d.v.address.String())
	s.Join(d.host, s.lan, "lan0", "10.0.1.9/24")
	d.wire = s.record(s.lan)
	d.begin("")
	s.wait("us to be Active", d.is("lan", "active"))
	r := d.injector("10.0.1.9")
	for range 5 {
		r.heard(100, d.set.interval, vrrp.FormPseudo)
	}
	if n := d.notes("owned", ""); n.Src != "10.0.1.9" || n.Level != "WARN" {
		t.Errorf("told %+v", n)
	}
	for range 5 {
		r.heard(255, d.set.interval, vrrp.FormPseudo) // of two owners the higher address stays: ours
	}
	d.notes("owners", "")
	if a := d.alarm("priorities"); !strings.Contains(a.Detail, "10.0.1.9") {
		t.Errorf("alarm %+v", a)
	}
	d.must(d.is("lan", "active")())
	d.once()
}

// 2.5: a worse router that takes over from us again and again though we are alive.
func TestFlappingIsLoggedOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	set := settings{priority: 200, interval: 50 * time.Millisecond}
	d := newDUT(s, set, "")
	s.wait("us to be Active", d.is("lan", "active"))
	r := d.injector("10.0.1.3")
	flap := func() {
		time.Sleep(2 * activeDown(200, set.interval))
		r.heard(50, set.interval, vrrp.FormPseudo)
	}
	flap()
	flap()
	if list := d.notices(); len(list) > 0 {
		t.Errorf("told %+v of what may be an accident", list)
	}
	for range 4 {
		flap()
	}
	if n := d.notes("flapping", ""); n.Src != "10.0.1.3" || !strings.Contains(n.Detail, "late") {
		t.Errorf("told %+v", n)
	}
	d.alarm("flapping")
	d.must(d.is("lan", "active")())
	d.once()
}
