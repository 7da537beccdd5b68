package vrrp_test

import (
	"fmt"
	"net/netip"
	"time"

	"understudy/vrrp"
)

// A node with one virtual router and nobody else on the link becomes Active after 3 intervals and its skew.
func ExampleSet() {
	set, err := vrrp.NewSet(vrrp.SetConfig{Node: "gw1", Routers: []vrrp.RouterConfig{{
		Name: "lan", Interface: "lan0", VRID: 51, Priority: 200, Interval: 100 * time.Millisecond, Preempt: true,
		Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")},
	}}})
	if err != nil {
		panic(err)
	}
	now := time.Unix(0, 0)
	set.Step(now, vrrp.SetInput{Kind: vrrp.InLink, Interface: "lan0", Up: true, Primary: netip.MustParseAddr("10.0.0.2")})
	set.Step(now, vrrp.SetInput{Kind: vrrp.InStart})

	// The loop: sleep until the deadline or a packet, step, do what it says.
	now = set.Deadline()
	for _, op := range set.Step(now, vrrp.SetInput{Kind: vrrp.InTick}).Ops {
		switch op.Kind {
		case vrrp.OpSend:
			fmt.Printf("send on %s: %x\n", set.Interface(op), set.AppendMessage(nil, op))
		case vrrp.OpTransition:
			fmt.Printf("%s: %v -> %v (%s), term %d\n", op.Group, op.From, op.To, op.Cause, op.Term)
		}
	}
	fmt.Println("after", now.Sub(time.Unix(0, 0)))
	// Output:
	// send on lan0: 3133c801000a122f0a000001
	// lan: backup -> active (active-down), term 1
	// after 321.875ms
}
