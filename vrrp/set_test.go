package vrrp_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"understudy/vrrp"
)

func gatewayConfig() vrrp.SetConfig {
	return vrrp.SetConfig{
		Node: "gw1",
		Routers: []vrrp.RouterConfig{
			{Name: "wan", Interface: "wan0", VRID: 52, Priority: 100, Interval: interval, Preempt: true,
				Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.1")}},
			{Name: "lan", Interface: "lan0", VRID: 51, Priority: 100, Interval: interval, Preempt: true,
				Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.100")}},
		},
		Groups: []vrrp.GroupConfig{{Name: "gw", Routers: []string{"wan", "lan"}}},
	}
}

const wan, lan = 0, 1

// gateway is a Set with a clock.
type gateway struct {
	*vrrp.Set
	t   testing.TB
	now time.Time
}

func newGateway(t testing.TB, cfg vrrp.SetConfig) *gateway {
	t.Helper()
	set, err := vrrp.NewSet(cfg)
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{set, t, epoch}
	g.link("lan0", "10.0.0.2")
	g.link("wan0", "203.0.113.2")
	return g
}

func (g *gateway) link(name, addr string) []string {
	in := vrrp.SetInput{Kind: vrrp.InLink, Interface: name, Up: addr != ""}
	if in.Up {
		in.Primary = netip.MustParseAddr(addr)
	}
	return g.do(in)
}

// do steps and describes what is to be done.
func (g *gateway) do(in vrrp.SetInput) []string { return describe(g.Step(g.now, in).Ops) }

func describe(ops []vrrp.Op) []string {
	out := []string{}
	for _, op := range ops {
		switch op.Kind {
		case vrrp.OpSend:
			old := ""
			if op.Old {
				old = " old"
			}
			out = append(out, fmt.Sprintf("send %d %d%s", op.Router, op.Priority, old))
		case vrrp.OpGateClose:
			out = append(out, "gate "+op.Group)
		case vrrp.OpFence:
			out = append(out, "fence "+op.Group)
		case vrrp.OpDrop:
			out = append(out, fmt.Sprintf("drop %d %v", op.Router, op.Reason))
		case vrrp.OpTransition:
			s := fmt.Sprintf("%s %v>%v %s %d", op.Group, op.From, op.To, op.Cause, op.Term)
			if op.Leaving {
				s += " leaving"
			}
			out = append(out, s)
		}
	}
	return out
}

func (g *gateway) want(got []string, want ...string) {
	g.t.Helper()
	if !slices.Equal(got, want) {
		g.t.Fatalf("want %q\n got %q", want, got)
	}
}

func (g *gateway) fire() []string {
	g.t.Helper()
	if g.Deadline().IsZero() {
		g.t.Fatal("no timer runs")
	}
	g.now = g.Deadline()
	return g.do(vrrp.SetInput{Kind: vrrp.InTick})
}

func (g *gateway) start() *gateway { g.do(vrrp.SetInput{Kind: vrrp.InStart}); return g }

func (g *gateway) active() *gateway {
	g.t.Helper()
	g.start()
	g.want(g.fire(), "send 1 100", "send 0 100", "gw backup>active active-down 1")
	return g
}

func (g *gateway) advert(router int, priority uint8, src string, change ...func(*vrrp.Advert)) []string {
	g.t.Helper()
	cfg := g.Config().Routers[router]
	a := vrrp.Advert{Version: cfg.Version, VRID: cfg.VRID, Priority: priority, Interval: cfg.Interval, Form: vrrp.FormPseudo}
	for _, c := range change {
		c(&a)
	}
	from := netip.MustParseAddr(src)
	d, r := vrrp.ParseDatagram(vrrp.AppendPacket(nil, &a, cfg.Addresses, from))
	if r != vrrp.ReasonNone {
		g.t.Fatal(r)
	}
	if r = vrrp.ParseAdvert(d, &a); r != vrrp.ReasonNone {
		g.t.Fatal(r)
	}
	return g.do(vrrp.SetInput{Kind: vrrp.InAdvert, Router: router, Src: from, Advert: &a})
}

func TestSetOrderOfOps(t *testing.T) {
	all := func(kind vrrp.InputKind) vrrp.SetInput { return vrrp.SetInput{Kind: kind} }
	t.Run("yield: gate, priority 0 where nobody was heard, transition", func(t *testing.T) {
		g := newGateway(t, gatewayConfig()).active()
		g.want(g.advert(wan, 200, "203.0.113.3"), "gate gw", "send 1 0", "gw active>backup better-active 1")
	})
	t.Run("stop: gate, priority 0, transition", func(t *testing.T) {
		g := newGateway(t, gatewayConfig()).active()
		g.want(g.do(all(vrrp.InStop)), "gate gw", "send 1 0", "send 0 0", "gw active>initialize shutdown 1")
		g.want(g.do(all(vrrp.InStop)))
		g.want(g.link("lan0", ""))
	})
	t.Run("stop with fence", func(t *testing.T) {
		g := newGateway(t, gatewayConfig()).active()
		g.want(g.do(vrrp.SetInput{Kind: vrrp.InStop, Fence: true}),
			"fence gw", "send 1 0", "send 0 0", "gw active>initialize shutdown 1")
	})
	t.Run("link down: gate, priority 0 on the other, transition", func(t *testing.T) {
		g := newGateway(t, gatewayConfig()).active()
		g.want(g.link("wan0", ""), "gate gw", "send 1 0", "gw active>fault link wan0 down 1")
		g.want(g.link("wan0", "203.0.113.2"), "gw fault>backup repaired 1")
	})
	t.Run("fault: gate, priority 0, transition; both reasons must go", func(t *testing.T) {
		g := newGateway(t, gatewayConfig()).active()
		fault := vrrp.SetInput{Kind: vrrp.InFault, Group: "gw", On: true, Reason: "apply-failed"}
		g.want(g.do(fault), "gate gw", "send 1 0", "send 0 0", "gw active>fault apply-failed 1")
		g.want(g.link("lan0", ""))
		fault.On = false
		g.want(g.do(fault))
		g.want(g.link("lan0", "10.0.0.2"), "gw fault>backup repaired 1")
	})
	t.Run("hand-over: priority 0, leaving; successor: gate, transition", func(t *testing.T) {
		g := newGateway(t, gatewayConfig()).active()
		g.want(g.do(all(vrrp.InHandOver)), "send 1 0", "send 0 0", "gw active>active hand-over 1 leaving")
		g.want(g.do(all(vrrp.InHandOver)))
		g.want(g.advert(wan, 0, "203.0.113.1"))
		g.want(g.advert(wan, 50, "203.0.113.1"))
		if got := g.Deadline().Sub(g.now); got != vrrp.Overlap {
			t.Errorf("serves beside its successor for %v, want %v", got, vrrp.Overlap)
		}
		g.want(g.advert(lan, 50, "10.0.0.3")) // heard again: no longer for that
		g.want(g.fire(), "gate gw", "gw active>backup successor 1")
	})
	t.Run("stop while leaving says priority 0 once", func(t *testing.T) {
		g := newGateway(t, gatewayConfig()).active()
		g.do(all(vrrp.InHandOver))
		g.want(g.do(all(vrrp.InStop)), "gate gw", "gw active>initialize shutdown 1")
	})
	t.Run("hand-over of a Backup does nothing", func(t *testing.T) {
		g := newGateway(t, gatewayConfig()).start()
		g.want(g.do(all(vrrp.InHandOver)))
	})
}

func TestSetWaitsForEveryMember(t *testing.T) {
	g := newGateway(t, gatewayConfig()).start()
	g.now = g.now.Add(9000 * time.Millisecond)
	g.advert(wan, 200, "203.0.113.3")
	g.want(g.fire()) // the LAN is ready
	g.want(g.fire(), "send 1 100", "send 0 100", "gw backup>active active-down 1")
	if got := g.now.Sub(epoch); got != 9000*time.Millisecond+9240*time.Millisecond {
		t.Errorf("active after %v", got)
	}
}

func TestSetMembersStayInPhase(t *testing.T) {
	g := newGateway(t, gatewayConfig()).active()
	g.now = g.now.Add(1000 * time.Millisecond)
	g.want(g.advert(wan, 0, "203.0.113.1"), "send 0 100", "send 1 100")
	g.want(g.fire(), "send 1 100", "send 0 100")
}

func TestSetStartWithoutLinksIsFault(t *testing.T) {
	set, err := vrrp.NewSet(gatewayConfig())
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{set, t, epoch}
	g.want(g.do(vrrp.SetInput{Kind: vrrp.InStart}), "gw initialize>fault link lan0 down 0")
	g.want(g.link("lan0", "10.0.0.2"))
	g.want(g.do(vrrp.SetInput{Kind: vrrp.InLink, Interface: "wan0", Up: true}))
	if got := g.Snapshot(g.now).Groups[0].Reason; got != "no address on wan0" {
		t.Errorf("reason %q", got)
	}
	g.want(g.link("wan0", "203.0.113.2"), "gw fault>backup repaired 0")
}

func TestSetTrackedInterface(t *testing.T) {
	cfg := gatewayConfig()
	cfg.Routers[lan].Track = []string{"up0"}
	g := newGateway(t, cfg)
	g.want(g.do(vrrp.SetInput{Kind: vrrp.InLink, Interface: "up0", Up: true}))
	g.active()
	g.want(g.do(vrrp.SetInput{Kind: vrrp.InLink, Interface: "up0"}),
		"gate gw", "send 1 0", "send 0 0", "gw active>fault tracked up0 down 1")
}

func TestSetDrops(t *testing.T) {
	v2 := gatewayConfig()
	v2.Routers[lan].Version, v2.Routers[lan].Interval, v2.Routers[lan].Auth = 2, time.Second, "secret"
	secret := func(a *vrrp.Advert) { a.AuthType = vrrp.AuthSimple; copy(a.Auth[:], "secret") }
	owner := gatewayConfig()
	owner.Routers[lan].Version, owner.Routers[lan].Interval, owner.Routers[lan].Priority = 2, time.Second, 255
	for _, tt := range []struct {
		name   string
		cfg    vrrp.SetConfig
		src    string
		change func(*vrrp.Advert)
		want   vrrp.Reason
	}{
		{"OK", gatewayConfig(), "10.0.0.3", func(a *vrrp.Advert) {}, vrrp.ReasonNone},
		{"OK other interval in version 3", gatewayConfig(), "10.0.0.3", func(a *vrrp.Advert) { a.Interval *= 2 }, vrrp.ReasonNone},
		{"own", gatewayConfig(), "10.0.0.2", func(a *vrrp.Advert) {}, vrrp.ReasonOwn},
		{"version", gatewayConfig(), "10.0.0.3", func(a *vrrp.Advert) { a.Version, a.Interval = 2, time.Second }, vrrp.ReasonVersion},
		{"vrid", gatewayConfig(), "10.0.0.3", func(a *vrrp.Advert) { a.VRID++ }, vrrp.ReasonVRID},
		{"OK version 2", v2, "10.0.0.3", secret, vrrp.ReasonNone},
		{"auth missing", v2, "10.0.0.3", func(a *vrrp.Advert) {}, vrrp.ReasonAuth},
		{"auth wrong", v2, "10.0.0.3", func(a *vrrp.Advert) { secret(a); a.Auth[0]++ }, vrrp.ReasonAuth},
		{"interval in version 2", v2, "10.0.0.3", func(a *vrrp.Advert) { secret(a); a.Interval *= 2 }, vrrp.ReasonInterval},
		{"owner in version 2", owner, "10.0.0.3", func(a *vrrp.Advert) {}, vrrp.ReasonVRID},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGateway(t, tt.cfg).start()
			got := g.advert(lan, 255, tt.src, tt.change)
			st := g.Snapshot(g.now).Routers[lan]
			if tt.want == vrrp.ReasonNone {
				g.want(got)
				if st.Received != 1 {
					t.Errorf("received %d", st.Received)
				}
				return
			}
			g.want(got, "drop 1 "+tt.want.String())
			if st.Drops[tt.want.String()] != 1 || st.Received != 0 {
				t.Errorf("drops %v, received %d", st.Drops, st.Received)
			}
		})
	}
}

func TestSetIgnoresWhatCannotBe(t *testing.T) {
	g := newGateway(t, gatewayConfig())
	g.want(g.advert(lan, 200, "10.0.0.3")) // not started
	g.start()
	for _, in := range []vrrp.SetInput{
		{Kind: vrrp.InAdvert, Router: 7, Advert: &vrrp.Advert{}}, {Kind: vrrp.InAdvert, Router: -1, Advert: &vrrp.Advert{}},
		{Kind: vrrp.InAdvert, Router: lan}, {Kind: vrrp.InHandOver, Group: "nobody"}, {Kind: vrrp.InStart}, {Kind: 99},
		{Kind: vrrp.InLink, Interface: "other0"}, {Kind: vrrp.InTick},
	} {
		g.want(g.do(in))
	}
}

func TestSetChecksumAuto(t *testing.T) {
	message := func(a *vrrp.Advert) { a.Form = vrrp.FormMessage }
	for _, tt := range []struct {
		mode          vrrp.ChecksumMode
		before, after vrrp.ChecksumForm
	}{
		{vrrp.ChecksumAuto, vrrp.FormPseudo, vrrp.FormMessage},
		{vrrp.ChecksumRFC5798, vrrp.FormPseudo, vrrp.FormPseudo},
		{vrrp.ChecksumRFC9568, vrrp.FormMessage, vrrp.FormMessage},
	} {
		cfg := gatewayConfig()
		cfg.Routers[lan].Checksum = tt.mode
		g := newGateway(t, cfg).active()
		sent := func() vrrp.ChecksumForm {
			g.now = g.Deadline()
			ops := g.Step(g.now, vrrp.SetInput{Kind: vrrp.InTick}).Ops
			var a vrrp.Advert
			if r := parse(g.AppendPacket(nil, ops[0]), &a, nil); r != vrrp.ReasonNone {
				t.Fatal(r)
			}
			return a.Form
		}
		if got := sent(); got != tt.before {
			t.Errorf("%s: want %v first, got %v", tt.mode, tt.before, got)
		}
		g.advert(lan, 1, "10.0.0.3", message)
		if got := sent(); got != tt.after {
			t.Errorf("%s: want %v after the rival, got %v", tt.mode, tt.after, got)
		}
		if st := g.Snapshot(g.now).Routers[lan]; !st.HeardRFC9568 || st.HeardRFC5798 {
			t.Errorf("%s: heard %v %v", tt.mode, st.HeardRFC9568, st.HeardRFC5798)
		}
	}
}

func TestSetTerms(t *testing.T) {
	g := newGateway(t, gatewayConfig()).start()
	term := func(n uint64, raise bool) []string {
		return g.do(vrrp.SetInput{Kind: vrrp.InTerm, Term: n, Raise: raise})
	}
	g.want(term(41, false))
	g.want(term(7, true)) // not Active: nothing to raise
	g.want(g.fire(), "send 1 100", "send 0 100", "gw backup>active active-down 42")
	g.want(term(42, false))
	g.want(term(41, true))
	g.want(term(42, true), "gw active>active term 43")
}

func TestSetResume(t *testing.T) {
	g := newGateway(t, gatewayConfig())
	g.want(g.do(vrrp.SetInput{Kind: vrrp.InResume, Group: "gw", Term: 9}),
		"send 1 100", "send 0 100", "gw initialize>active resume 9")
	g.want(g.do(vrrp.SetInput{Kind: vrrp.InStart}))
	g.want(g.fire(), "send 1 100", "send 0 100")
	g.advert(lan, 200, "10.0.0.3")
	g.want(g.fire(), "send 1 100", "send 0 100", "gw backup>active active-down 10")
}

func TestSetHandedOverEndsByReclaim(t *testing.T) {
	g := newGateway(t, gatewayConfig()).active()
	g.do(vrrp.SetInput{Kind: vrrp.InHandOver})
	g.advert(lan, 50, "10.0.0.3")
	g.do(vrrp.SetInput{Kind: vrrp.InReclaim})
	if got := g.Snapshot(g.now).Groups[0].Ineligible; got != "" {
		t.Errorf("still held: %q", got)
	}
}

func TestSetHandedOverEndsWhenActiveAgain(t *testing.T) {
	held := func(g *gateway) string { return g.Snapshot(g.now).Groups[0].Ineligible }
	g := newGateway(t, gatewayConfig()).active()
	g.do(vrrp.SetInput{Kind: vrrp.InHandOver})
	g.advert(lan, 50, "10.0.0.3")
	g.fire()
	if got := held(g); got != "handed-over" {
		t.Errorf("held: %q", got)
	}
	// Readiness comes and goes; that is not what a hand-over waits for.
	if g.do(vrrp.SetInput{Kind: vrrp.InEligible, OK: true}); held(g) != "handed-over" {
		t.Error("forgotten by being eligible")
	}
	if g.reconfigure(gatewayConfig()); held(g) != "handed-over" {
		t.Error("forgotten by a reload")
	}
	g.now = g.now.Add(interval)
	g.advert(lan, 50, "10.0.0.3")
	g.advert(wan, 50, "203.0.113.3") // left alone, though lower
	if got := g.Deadline().Sub(g.now); got != 9240*time.Millisecond {
		t.Errorf("preempts in %v", got)
	}
	g.want(g.fire(), "send 1 100", "send 0 100", "gw backup>active active-down 2")
	if got := held(g); got != "" {
		t.Errorf("held: %q", got)
	}
	g.advert(lan, 200, "10.0.0.3")
	at := g.Deadline()
	g.advert(lan, 50, "10.0.0.3") // not left alone any more
	if g.Deadline() != at {
		t.Error("still does not preempt")
	}
}

func TestSetConfigErrors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*vrrp.SetConfig)
		want   string
	}{
		{"vrid", func(c *vrrp.SetConfig) { c.Routers[0].VRID = 0 }, "vrid 0"},
		{"priority", func(c *vrrp.SetConfig) { c.Routers[0].Priority = 0 }, "priority 0"},
		{"interval", func(c *vrrp.SetConfig) { c.Routers[0].Interval = 15 * time.Millisecond }, "steps of 10ms"},
		{"interval too long", func(c *vrrp.SetConfig) { c.Routers[0].Interval = 41 * time.Second }, "40.95s"},
		{"version 2 interval", func(c *vrrp.SetConfig) { c.Routers[0].Version = 2 }, "whole seconds"},
		{"no addresses", func(c *vrrp.SetConfig) { c.Routers[0].Addresses = nil }, "0 addresses"},
		{"mixed families", func(c *vrrp.SetConfig) {
			c.Routers[0].Addresses = append(c.Routers[0].Addresses, netip.MustParseAddr("fe80::1"))
		}, "not of family 4"},
		{"no link-local first", func(c *vrrp.SetConfig) {
			c.Routers[0].Addresses = []netip.Addr{netip.MustParseAddr("2001:db8::1")}
		}, "link-local"},
		{"same vrid", func(c *vrrp.SetConfig) { c.Routers[0].Interface, c.Routers[0].VRID = "lan0", 51 }, "share vrid 51"},
		{"no such router", func(c *vrrp.SetConfig) { c.Groups[0].Routers[0] = "moon" }, `no router "moon"`},
		{"two groups", func(c *vrrp.SetConfig) {
			c.Groups = append(c.Groups, vrrp.GroupConfig{Name: "x", Routers: []string{"lan"}})
		}, `in groups "gw" and "x"`},
	} {
		cfg := gatewayConfig()
		tt.change(&cfg)
		if _, err := vrrp.NewSet(cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: want an error with %q, got %v", tt.name, tt.want, err)
		}
	}
}

func TestSetConfigAndStatusCrossAsJSON(t *testing.T) {
	g := newGateway(t, gatewayConfig()).active()
	addrs := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	cfg, st := g.Config(), g.Snapshot(g.now)
	var cfg2 vrrp.SetConfig
	var st2 vrrp.Status
	for from, to := range map[any]any{&cfg: &cfg2, &st: &st2} {
		b, err := json.Marshal(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, to); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(cfg, cfg2, addrs); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(st, st2, addrs); d != "" {
		t.Error(d)
	}
}
