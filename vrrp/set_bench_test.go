package vrrp_test

import (
	"net/netip"
	"testing"

	"understudy/vrrp"
)

// backupWithAdvert is a Backup and what it hears every interval.
func backupWithAdvert(tb testing.TB) (*gateway, vrrp.SetInput) {
	g := newGateway(tb, gatewayConfig()).start()
	a := &vrrp.Advert{Version: 3, VRID: 51, Priority: 200, Interval: interval, Form: vrrp.FormPseudo}
	src := netip.MustParseAddr("10.0.0.3")
	p := vrrp.AppendPacket(nil, a, []netip.Addr{netip.MustParseAddr("10.0.0.100")}, src)
	if r := parse(p, a, nil); r != vrrp.ReasonNone {
		tb.Fatal(r)
	}
	return g, vrrp.SetInput{Kind: vrrp.InAdvert, Router: lan, Src: src, Advert: a}
}

// TestSteadyStateDoesNotAllocate: an election that allocates would collect garbage, and one that collects is late.
func TestSteadyStateDoesNotAllocate(t *testing.T) {
	backup, advert := backupWithAdvert(t)
	active := newGateway(t, gatewayConfig()).active()
	lower := *advert.Advert
	lower.Priority = 50
	rival := advert
	rival.Advert = &lower
	buf := make([]byte, 0, 256)
	for name, step := range map[string]func(){
		"Backup hears": func() {
			backup.now = backup.now.Add(interval)
			advert.Rx = backup.now
			backup.Step(backup.now, advert)
			_ = backup.Deadline()
		},
		"Active hears a lower one": func() {
			active.now = active.now.Add(interval)
			active.Step(active.now, rival)
		},
		"Active sends": func() {
			active.now = active.Deadline()
			for _, op := range active.Step(active.now, vrrp.SetInput{Kind: vrrp.InTick}).Ops {
				buf = active.AppendPacket(buf[:0], op)
			}
		},
	} {
		if n := testing.AllocsPerRun(100, step); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkSetStep(b *testing.B) {
	b.Run("advert", func(b *testing.B) {
		g, in := backupWithAdvert(b)
		b.ReportAllocs()
		for b.Loop() {
			g.now = g.now.Add(interval)
			in.Rx = g.now
			g.Step(g.now, in)
		}
	})
	b.Run("tick", func(b *testing.B) {
		g := newGateway(b, gatewayConfig()).active()
		buf := make([]byte, 0, 256)
		b.ReportAllocs()
		for b.Loop() {
			g.now = g.Deadline()
			for _, op := range g.Step(g.now, vrrp.SetInput{Kind: vrrp.InTick}).Ops {
				buf = g.AppendPacket(buf[:0], op)
			}
		}
	})
}
