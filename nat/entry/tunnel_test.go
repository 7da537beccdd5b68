package entry

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestParseTunnel(t *testing.T) {
	for text, want := range map[string]Tunnel{"ipip": {Kind: IPIP}, "gre": {Kind: GRE}, "gue:5555": {Kind: GUE, Port: 5555}} {
		got, err := ParseTunnel(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: want %v, got %v (%v)", text, want, got, err)
		}
	}
	for text, want := range map[string]string{"": "is no tunnel", "vxlan": "is no tunnel", "ipip:4": "is no tunnel", "gue": "no UDP port", "gue:0": "no UDP port", "gue:65536": "no UDP port"} {
		if got, err := ParseTunnel(text); err == nil || !strings.Contains(err.Error(), want) || got != (Tunnel{}) {
			t.Errorf("%q: want %q, got %v (%v)", text, want, got, err)
		}
	}
}

// asCalled is a configuration whose packets are handed on.
func asCalled(tunnel Tunnel) Config {
	c := config(RoundRobin, 1, 1)
	c.Direct, c.Tunnel = true, tunnel
	for i := range c.Servers {
		c.Servers[i].Address = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, 0, byte(1 + i)}), 0)
	}
	return c
}

// A server in a tunnel is not missed because nobody answers for its address, and one that
// was missed is back when it gets a tunnel.
func TestTunnelNeedsNoMAC(t *testing.T) {
	now := time.Now()
	byMAC, tunnelled := asCalled(Tunnel{}), asCalled(Tunnel{Kind: GUE, Port: 5555})
	for _, c := range []Config{byMAC, tunnelled} {
		if problems := Check([]Config{c}); len(problems) > 0 {
			t.Fatal(problems)
		}
	}
	silent := Input{Kind: InReach, Server: byMAC.Servers[0].Address, On: false}
	s := New(now, tunnelled)
	if out := s.Step(now, silent); out.Changed || !s.There(0) {
		t.Error("a server behind a tunnel is missed")
	}
	if p := s.Point(); p.Tunnel != tunnelled.Tunnel || !p.Direct || p.Table.Stay == nil || !strings.Contains(p.String(), " in gue:5555; ") {
		t.Errorf("%+v", p)
	}
	s = New(now, byMAC)
	if out := s.Step(now, silent); !out.Changed || s.There(0) {
		t.Error("a server without a MAC is not missed")
	}
	if out := s.Reconfigure(now, tunnelled); !out.Changed || !s.There(0) {
		t.Error("a server that got a tunnel is missed")
	}
	for want, c := range map[string]Config{"nat": config(RoundRobin, 1), "direct": byMAC, "tunnel": tunnelled} {
		if got := c.Forward(); got != want {
			t.Errorf("want %s, got %s", want, got)
		}
	}
	tunnelled.Direct = false
	if problems := Check([]Config{tunnelled}); len(problems) != 1 || problems[0].Key != "tunnel" {
		t.Errorf("%v", problems)
	}
}
