package vrrp_test

import (
	"net/netip"
	"testing"
	"time"

	"understudy/vrrp"
)

// A router may wait for another number of adverts; a change counts at once.
func TestDownAdverts(t *testing.T) {
	now := time.Unix(1000, 0)
	cfg := vrrp.MachineConfig{Version: 3, Priority: 128, Interval: time.Second, DownAdverts: 5, Source: addr("10.0.0.1")}
	m := vrrp.NewMachine(cfg)
	m.Step(now, vrrp.Input{Event: vrrp.EventStartup})
	if want := now.Add(5*time.Second + time.Second/2); !m.Deadline().Equal(want) {
		t.Errorf("deadline %v, want %v", m.Deadline().Sub(now), want.Sub(now))
	}
	cfg.DownAdverts = 1
	m.Reconfigure(cfg)
	if want := now.Add(time.Second + time.Second/2); !m.Deadline().Equal(want) {
		t.Errorf("reconfigured: deadline %v, want %v", m.Deadline().Sub(now), want.Sub(now))
	}
}

// A meek router does not answer a worse rival at once, and stays active.
func TestMeek(t *testing.T) {
	for _, meek := range []bool{false, true} {
		now := time.Unix(1000, 0)
		m := vrrp.NewMachine(vrrp.MachineConfig{Version: 3, Priority: 255, Interval: time.Second, Source: addr("10.0.0.1"), Meek: meek})
		m.Step(now, vrrp.Input{Event: vrrp.EventStartup})
		out := m.Step(now.Add(500*time.Millisecond), vrrp.Input{Event: vrrp.EventAdvert, Priority: 100, Interval: time.Second, Source: addr("10.0.0.2")})
		if out.Send == meek || m.State() != vrrp.Active {
			t.Errorf("meek %v: send %v, state %v", meek, out.Send, m.State())
		}
	}
}

// Adverts of a router with another group go there, and only those that came by it count.
func TestMulticastGroup(t *testing.T) {
	cfg := gatewayConfig()
	cfg.Routers[0].Multicast = addr("224.0.0.99")
	g := newGateway(t, cfg)
	for i, want := range map[int]vrrp.Reason{0: vrrp.ReasonDestination, 1: vrrp.ReasonNone} {
		r := cfg.Routers[i]
		a := &vrrp.Advert{Version: 3, VRID: r.VRID, Priority: 100, Interval: time.Second, Form: vrrp.FormPseudo}
		for dst, reason := range map[string]vrrp.Reason{"224.0.0.18": want, "224.0.0.99": vrrp.ReasonDestination - want} {
			d, _ := vrrp.ParseDatagram(vrrp.AppendPacketTo(nil, a, r.Addresses, addr("10.0.0.9"), addr(dst)))
			if got := g.Parse(i, d, &vrrp.Advert{}); got != reason {
				t.Errorf("router %d, to %s: %v, want %v", i, dst, got, reason)
			}
		}
	}
	cfg.Routers[0].Multicast = addr("10.0.0.7")
	if _, err := vrrp.NewSet(cfg); err == nil {
		t.Error("10.0.0.7 is no group")
	}
}

// A router that takes any address first takes it from others too.
func TestAnyAddressFirst(t *testing.T) {
	for _, loose := range []bool{false, true} {
		r := vrrp.RouterConfig{Name: "six", Interface: "lan0", VRID: 5, Priority: 100, Interval: time.Second, Preempt: true,
			Addresses: []netip.Addr{addr("2001:db8::1")}, AnyFirst: loose}
		if !loose {
			r.Addresses = []netip.Addr{addr("fe80::1")}
		}
		g := newGateway(t, vrrp.SetConfig{Node: "a", Routers: []vrrp.RouterConfig{r}})
		a := &vrrp.Advert{Version: 3, VRID: 5, Priority: 100, Interval: time.Second}
		d, _ := vrrp.ParseDatagram(vrrp.AppendPacket(nil, a, []netip.Addr{addr("2001:db8::1")}, addr("fe80::9")))
		want := vrrp.ReasonLinkLocal
		if loose {
			want = vrrp.ReasonNone
		}
		if got := g.Parse(0, d, &vrrp.Advert{}); got != want {
			t.Errorf("any first %v: %v, want %v", loose, got, want)
		}
	}
}
