package vrrp_test

import (
	"testing"

	"understudy/vrrp"
)

// The overlap ends early when the better Active gives up, and not because somebody else does.
func TestOverlapEndsWithTheBetterOne(t *testing.T) {
	g := newGateway(t, gatewayConfig()).active()
	g.want(g.do(vrrp.SetInput{Kind: vrrp.InOverlap, OK: true}))
	same := func(*vrrp.Advert) {}
	g.want(g.advert(lan, 255, "10.0.0.3", same), "gw active>active better-active 1 leaving")
	g.want(g.advert(lan, 0, "10.0.0.4", same))
	g.want(g.advert(wan, 0, "203.0.113.4", same))
	g.want(g.advert(lan, 0, "10.0.0.3", same), "gate gw", "send 0 0", "gw active>backup better-active 1")
}
