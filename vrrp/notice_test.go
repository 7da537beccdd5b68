package vrrp_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"understudy/vrrp"
)

// noticed steps and returns what is to be told, as "KIND COUNT".
func (g *gateway) noticed(in vrrp.SetInput) (out []vrrp.Notice) {
	return slices.Clone(g.Step(g.now, in).Notices)
}

// refused is a packet that the parser did not let through.
func (g *gateway) refused(router int, reason vrrp.Reason) []vrrp.Notice {
	iface := "lan0"
	if router == wan {
		iface = "wan0"
	}
	return g.noticed(vrrp.SetInput{Kind: vrrp.InRefused, Router: router, Interface: iface, Src: netip.MustParseAddr("10.0.0.9"), Refused: reason})
}

// heard is an advert that counts.
func (g *gateway) heard(router int, priority uint8, src string, change ...func(*vrrp.Advert)) []vrrp.Notice {
	g.t.Helper()
	cfg := g.Config().Routers[router]
	a := vrrp.Advert{Version: cfg.Version, VRID: cfg.VRID, Priority: priority, Interval: cfg.Interval}
	list := cfg.Addresses
	for _, c := range change {
		c(&a)
	}
	if a.Count == 255 { // as a mark: other addresses than ours
		list = []netip.Addr{netip.MustParseAddr("10.9.9.9")}
	}
	from := netip.MustParseAddr(src)
	d, r := vrrp.ParseDatagram(vrrp.AppendPacket(nil, &a, list, from))
	if r == vrrp.ReasonNone {
		r = vrrp.ParseAdvert(d, &a)
	}
	if r != vrrp.ReasonNone {
		g.t.Fatal(r)
	}
	return g.noticed(vrrp.SetInput{Kind: vrrp.InAdvert, Router: router, Src: from, Advert: &a})
}

func kinds(list []vrrp.Notice) string {
	var names []string
	for _, n := range list {
		names = append(names, n.Kind.String())
	}
	return strings.Join(names, " ")
}

// RFC 9568, 7.1: what is refused is logged, at a bounded rate. One line for each reason, then rarer and rarer while
// it goes on, and how many there were.
func TestS7_1_RefusalsAreToldRarely(t *testing.T) {
	g := newGateway(t, gatewayConfig()).start()
	var at []time.Duration
	var counts []uint32
	began, total := g.now, uint32(0)
	for range 3 * 3600 { // three hours of ten a second would be the same
		for range 10 {
			for _, n := range g.refused(lan, vrrp.ReasonChecksum) {
				if n.Kind != vrrp.NoticeRefused || n.Reason != vrrp.ReasonChecksum || n.Router != lan || n.Interface != "lan0" || n.Src.String() != "10.0.0.9" {
					t.Fatalf("told %+v", n)
				}
				at = append(at, g.now.Sub(began))
				counts = append(counts, n.Count)
				total += n.Count
			}
		}
		g.now = g.now.Add(time.Second)
	}
	want := []time.Duration{0, 1, 3, 7, 15, 31, 63, 127}
	for i := range want {
		want[i] *= vrrp.NoticeWindow
	}
	if !slices.Equal(at, want) {
		t.Errorf("told at %v, want %v", at, want)
	}
	if counts[0] != 1 || counts[1] != 600 || counts[2] != 1200 {
		t.Errorf("counts %v", counts)
	}
	if d := g.Snapshot(g.now).Routers[lan].Drops["checksum"]; d != 3*36000 {
		t.Errorf("%d counted in the status", d)
	}
	// Another reason and another router have lines of their own.
	if got := kinds(g.refused(lan, vrrp.ReasonTTL)) + kinds(g.refused(wan, vrrp.ReasonChecksum)); got != "refusedrefused" {
		t.Errorf("told %q", got)
	}
	// What was gone for as long as it would have been quiet is news again.
	g.now = g.now.Add(3 * time.Hour)
	g.refused(lan, vrrp.ReasonChecksum)
	g.now = g.now.Add(vrrp.NoticeWindow)
	if got := g.refused(lan, vrrp.ReasonChecksum); len(got) != 1 {
		t.Errorf("told %v a window after the first", got)
	}
}

// A packet for a VRID that is not ours on that interface belongs to no router.
func TestS7_1_StraysAreToldOfTheInterface(t *testing.T) {
	g := newGateway(t, gatewayConfig())
	got := g.refused(-1, vrrp.ReasonVRID)
	if len(got) != 1 || got[0].Router != -1 || got[0].Interface != "lan0" {
		t.Errorf("told %+v", got)
	}
	if again := g.refused(-1, vrrp.ReasonVRID); len(again) != 0 {
		t.Errorf("told %+v at once again", again)
	}
	for _, r := range g.Snapshot(g.now).Routers {
		if r.Drops["vrid"] != 0 {
			t.Errorf("%s has counted it", r.Name)
		}
	}
	in := vrrp.SetInput{Kind: vrrp.InRefused, Router: -1, Interface: "eth9", Refused: vrrp.ReasonVRID}
	if got := g.noticed(in); len(got) != 0 {
		t.Errorf("told %+v of an interface that is none of ours", got)
	}
	// A reload keeps the pace.
	cfg := gatewayConfig()
	cfg.Routers[lan].Priority = 90
	g.reconfigure(cfg)
	if again := g.refused(-1, vrrp.ReasonVRID); len(again) != 0 {
		t.Errorf("told %+v again after a reload", again)
	}
}

// Whoever can send packets cannot fill a log: of all routers together so many lines of a kind come in a window.
func TestNoticesAreBoundedTogether(t *testing.T) {
	cfg := vrrp.SetConfig{Node: "gw1"}
	for i := range 250 {
		cfg.Routers = append(cfg.Routers, vrrp.RouterConfig{Name: string(rune('A'+i/26)) + string(rune('a'+i%26)), Interface: "lan0",
			VRID: uint8(i + 1), Priority: 100, Interval: interval, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 1, byte(i)})}})
	}
	g := newGateway(t, cfg).start()
	told := map[int]uint32{} // by router: how many packets
	flood := func() (lines int) {
		for r := range cfg.Routers {
			for _, reason := range vrrp.Reasons() {
				if reason == vrrp.ReasonDelay {
					continue // it is not told
				}
				for _, n := range g.refused(r, reason) {
					lines++
					told[n.Router] += n.Count
				}
			}
		}
		return lines
	}
	if lines := flood(); lines != 16 {
		t.Errorf("%d lines", lines)
	}
	if lines := flood(); lines != 0 {
		t.Errorf("%d lines more in the same window", lines)
	}
	// It does not hide what is of another kind.
	if got := kinds(g.heard(7, 100, "10.0.0.3")); got != "equal-priority" {
		t.Errorf("told %q", got)
	}
	// Those that had to wait have their turn, with what they have counted.
	for w := range 16 {
		g.now = g.now.Add(vrrp.NoticeWindow)
		if lines := flood(); lines != 16 {
			t.Errorf("%d lines in window %d", lines, w+1)
		}
	}
	if len(told) < 4 || told[3] < 2*12 {
		t.Errorf("told: %v", told)
	}
}

func TestS7_1_MismatchesAreTold(t *testing.T) {
	g := newGateway(t, gatewayConfig()).start()
	got := g.heard(lan, 200, "10.0.0.3", func(a *vrrp.Advert) { a.Interval *= 2 })
	if kinds(got) != "interval" || got[0].Interval != 2*interval || got[0].Expected != interval || got[0].Src.String() != "10.0.0.3" {
		t.Errorf("told %+v", got)
	}
	if got := kinds(g.heard(lan, 200, "10.0.0.3", func(a *vrrp.Advert) { a.Count = 255 })); got != "addresses" {
		t.Errorf("told %q", got)
	}
	if got := g.heard(lan, 200, "10.0.0.3", func(a *vrrp.Advert) { a.Interval *= 2; a.Count = 255 }); len(got) != 0 {
		t.Errorf("told %+v again in the same window", got)
	}
	if got := g.heard(wan, 200, "203.0.113.3"); len(got) != 0 {
		t.Errorf("told %+v of an advert that is as it should be", got)
	}
}

func ownerConfig() vrrp.SetConfig {
	cfg := gatewayConfig()
	for i := range cfg.Routers {
		cfg.Routers[i].Priority = 255
	}
	return cfg
}

// Erratum 8298: an owner logs a rival's advert. It is processed all the same.
func TestErratum8298_OwnerTellsOfARival(t *testing.T) {
	g := newGateway(t, ownerConfig())
	g.do(vrrp.SetInput{Kind: vrrp.InStart})
	got := g.heard(lan, 100, "10.0.0.3")
	if kinds(got) != "owned" || got[0].Src.String() != "10.0.0.3" || got[0].Priority != 100 {
		t.Errorf("told %+v", got)
	}
	if got := kinds(g.heard(lan, 0, "10.0.0.3")); got != "" {
		t.Errorf("told %q of one that gives up", got)
	}
	if f := g.Snapshot(g.now).Routers[lan].Findings; len(f) != 0 {
		t.Errorf("found %+v: a Backup that has not heard us yet is no fault", f)
	}
	// One that waits does not speak of its stand-in.
	held := newGateway(t, ownerConfig())
	held.do(vrrp.SetInput{Kind: vrrp.InEligible, Reason: "not-in-sync"})
	held.do(vrrp.SetInput{Kind: vrrp.InStart})
	if got := kinds(held.heard(lan, 100, "10.0.0.3")); got != "" {
		t.Errorf("told %q while it waits", got)
	}
}

// RFC 9568, 8.3.2: one owner; and equal priorities are worth a word. Both last in the status for a while.
func TestS8_3_2_SecondOwnerAndEqualPriorities(t *testing.T) {
	for _, test := range []struct {
		cfg      vrrp.SetConfig
		priority uint8
		want     string
	}{
		{ownerConfig(), 255, "owners"},
		{gatewayConfig(), 100, "equal-priority"},
		{gatewayConfig(), 101, ""},
		{gatewayConfig(), 255, ""},
		{gatewayConfig(), 0, ""},
	} {
		g := newGateway(t, test.cfg).start()
		if got := kinds(g.heard(lan, test.priority, "10.0.0.3")); got != test.want {
			t.Errorf("own %d, heard %d: told %q, want %q", test.cfg.Routers[lan].Priority, test.priority, got, test.want)
		}
		found := func() string {
			out := ""
			for _, f := range g.Snapshot(g.now).Routers[lan].Findings {
				if !f.Since.Equal(epoch) || !strings.Contains(f.Detail, "10.0.0.3") {
					t.Errorf("found %+v", f)
				}
				out += f.Kind
			}
			return out
		}
		if got := found(); got != test.want {
			t.Errorf("heard %d: found %q, want %q", test.priority, got, test.want)
		}
		g.now = g.now.Add(4 * time.Minute)
		if got := found(); got != test.want {
			t.Errorf("heard %d: found %q after 4 minutes", test.priority, got)
		}
		g.now = g.now.Add(2 * time.Minute)
		if got := found(); got != "" {
			t.Errorf("heard %d: found %q though nothing was heard for 6 minutes", test.priority, got)
		}
	}
}

// The weighted priority is what counts: that is what others see.
func TestEqualByWeight(t *testing.T) {
	g := newGateway(t, gatewayConfig()).start()
	g.do(vrrp.SetInput{Kind: vrrp.InWeight, Weight: -20})
	if got := kinds(g.heard(lan, 100, "10.0.0.3")) + kinds(g.heard(lan, 80, "10.0.0.3")); got != "equal-priority" {
		t.Errorf("told %q", got)
	}
}

// RFC 9568, 8.3.2: of several Backups the best has to be heard by the others before their own timers run out.
func TestS8_3_2_BackupsThatAreTooClose(t *testing.T) {
	type said struct {
		priority uint8
		src      string
	}
	for _, test := range []struct {
		name     string
		own      uint8
		interval time.Duration
		heard    []said
		want     string // of the last
	}{
		{"two routers have one Backup", 149, 100 * time.Millisecond, []said{{150, ".3"}, {150, ".3"}}, ""},
		{"Backup hears the Active, then another Backup that took over", 149, 100 * time.Millisecond, []said{{200, ".3"}, {150, ".4"}}, "close-priorities"},
		{"far enough", 100, 100 * time.Millisecond, []said{{200, ".3"}, {150, ".4"}}, ""},
		{"a longer interval keeps them apart", 149, time.Second, []said{{200, ".3"}, {150, ".4"}}, ""},
		{"a shorter one does not", 100, 10 * time.Millisecond, []said{{200, ".3"}, {150, ".4"}}, "close-priorities"},
		{"next to the best is no contest", 199, 10 * time.Millisecond, []said{{200, ".3"}, {100, ".4"}}, ""},
		{"two others, and we are the best", 200, 100 * time.Millisecond, []said{{150, ".3"}, {149, ".4"}}, "close-priorities"},
		{"one that gives up is none", 149, 100 * time.Millisecond, []said{{200, ".3"}, {0, ".4"}}, ""},
		{"equals are told as such", 150, 100 * time.Millisecond, []said{{200, ".3"}, {150, ".4"}}, "equal-priority"},
	} {
		cfg := gatewayConfig()
		cfg.Routers[lan].Priority, cfg.Routers[lan].Interval = test.own, test.interval
		g := newGateway(t, cfg).start()
		got := ""
		var last []vrrp.Notice
		for _, h := range test.heard {
			last = g.heard(lan, h.priority, "10.0.0"+h.src)
			got = kinds(last)
		}
		if got != test.want {
			t.Errorf("%s: told %q, want %q", test.name, got, test.want)
		}
		if test.want != "close-priorities" {
			continue
		}
		if last[0].Apart >= vrrp.MinApart || last[0].Interval != test.interval {
			t.Errorf("%s: %+v", test.name, last[0])
		}
		if f := g.Snapshot(g.now).Routers[lan].Findings; len(f) != 1 || f[0].Kind != test.want || f[0].Detail != last[0].String() {
			t.Errorf("%s: found %+v", test.name, f)
		}
	}
}

func TestRivalsAreListed(t *testing.T) {
	g := newGateway(t, gatewayConfig()).start()
	for i := range 6 {
		g.now = g.now.Add(time.Second)
		g.heard(lan, uint8(110+i), "10.0.0.1"+string(rune('0'+i)))
	}
	list := g.Snapshot(g.now).Routers[lan].Rivals
	var got []string
	for _, k := range list {
		got = append(got, k.Address.String())
	}
	slices.Sort(got)
	if want := []string{"10.0.0.12", "10.0.0.13", "10.0.0.14", "10.0.0.15"}; !slices.Equal(got, want) {
		t.Errorf("rivals %v, want the last heard, %v", got, want)
	}
}

// RFC 9568, 2.5: an Active that is taken over from though it is alive.
func TestS2_5_FlappingIsToldOnce(t *testing.T) {
	cfg := gatewayConfig()
	cfg.Routers[lan].Interval, cfg.Routers[wan].Interval = 10*time.Millisecond, 10*time.Millisecond
	down := vrrp.ActiveDown(3, 100, 10*time.Millisecond)
	g := newGateway(t, cfg).active()
	tick := func(d, late time.Duration) {
		for end := g.now.Add(d); g.Deadline().Before(end); {
			g.now = g.Deadline().Add(late)
			if got := g.noticed(vrrp.SetInput{Kind: vrrp.InTick}); len(got) != 0 {
				t.Fatalf("told %+v by a timer", got)
			}
		}
	}
	if got := g.heard(lan, 50, "10.0.0.3"); len(got) != 0 {
		t.Errorf("told %+v: the one before us has not heard us yet", got)
	}
	tick(2*down, 0)
	for i := range 2 {
		// Its adverts come close to each other until it hears us: one takeover.
		for range 5 {
			if got := g.heard(lan, 50, "10.0.0.3"); len(got) != 0 {
				t.Errorf("told %+v after %d", got, i+1)
			}
			tick(down/3, 0)
		}
		tick(2*down, 0)
	}
	tick(down, 7*time.Millisecond)
	got := g.heard(lan, 50, "10.0.0.3")
	if kinds(got) != "flapping" || got[0].Late != 7*time.Millisecond || got[0].Lower || got[0].Src.String() != "10.0.0.3" || got[0].Count != 1 {
		t.Fatalf("told %+v", got)
	}
	for range 20 {
		tick(2*down, 0)
		if got := g.heard(lan, 50, "10.0.0.3"); len(got) != 0 {
			t.Fatalf("told %+v again in the same window", got)
		}
	}
	f := g.Snapshot(g.now).Routers[lan].Findings
	if len(f) != 1 || f[0].Kind != "flapping" || !strings.Contains(f[0].Detail, "7ms late") {
		t.Errorf("found %+v", f)
	}
	// Rare enough, it is none.
	slow := newGateway(t, cfg).active()
	for range 10 {
		slow.now = slow.now.Add(40 * time.Second)
		if got := slow.heard(lan, 50, "10.0.0.3"); len(got) != 0 {
			t.Errorf("told %+v of what comes every 40 s", got)
		}
	}
}

// The other side of it: one that becomes Active, and has to go back before it could have missed an advert.
func TestS2_5_FlappingIsSeenByTheBackupToo(t *testing.T) {
	g := newGateway(t, gatewayConfig()).start()
	takeover := func(serves time.Duration) []vrrp.Notice {
		g.now = g.Deadline()
		g.do(vrrp.SetInput{Kind: vrrp.InTick})
		if st := g.Snapshot(g.now).Routers[lan].State; st != vrrp.Active {
			t.Fatalf("we are %v", st)
		}
		g.now = g.now.Add(serves)
		return g.heard(lan, 200, "10.0.0.3")
	}
	for range 2 {
		if got := takeover(20 * time.Millisecond); len(got) != 0 {
			t.Errorf("told %+v", got)
		}
	}
	got := takeover(20 * time.Millisecond)
	if kinds(got) != "flapping" || !got[0].Lower {
		t.Errorf("told %+v", got)
	}
	// Serving for longer than that was right.
	late := newGateway(t, gatewayConfig()).start()
	g = late
	for range 5 {
		if got := takeover(2 * vrrp.ActiveDown(3, 100, interval)); len(got) != 0 {
			t.Errorf("told %+v of takeovers that were needed", got)
		}
	}
}

// TestNoticesDoNotAllocate: who floods us must not make an election allocate.
func TestNoticesDoNotAllocate(t *testing.T) {
	g := newGateway(t, gatewayConfig()).active()
	a := vrrp.Advert{Version: 3, VRID: 51, Priority: 100, Interval: 2 * interval}
	reasons := vrrp.Reasons()
	src := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.3"), netip.MustParseAddr("10.0.0.4"), netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("10.0.0.6")}
	i, told := 0, 0
	step := func() {
		i++
		g.now = g.now.Add(interval)
		for _, in := range []vrrp.SetInput{
			{Kind: vrrp.InRefused, Router: i % 2, Interface: "lan0", Src: src[0], Refused: reasons[i%len(reasons)]},
			{Kind: vrrp.InRefused, Router: -1, Interface: "lan0", Src: src[0], Refused: reasons[i%len(reasons)]},
			{Kind: vrrp.InAdvert, Router: lan, Src: src[i%len(src)], Advert: &a},
		} {
			told += len(g.Step(g.now, in).Notices)
		}
	}
	for range 1000 {
		step()
	}
	told = 0
	if n := testing.AllocsPerRun(5000, step); n != 0 || told == 0 {
		t.Errorf("%v allocations, %d told", n, told)
	}
}
