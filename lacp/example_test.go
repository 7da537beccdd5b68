package lacp_test

import (
	"fmt"
	"time"

	"understudy/lacp"
)

// A port reads what arrives on its link.
func Example() {
	gateway := lacp.MAC{0x52, 0x54, 0x00, 0x10, 0x00, 0x01}
	body := lacp.Append(nil, &lacp.PDU{Version: 1, Actor: lacp.Info{System: gateway, State: 0x47}})

	kind, reason := lacp.Classify(lacp.Group, lacp.EtherType, body)
	if reason != lacp.ReasonNone || kind != lacp.SubtypeLACP {
		return // counted by reason
	}
	var pdu lacp.PDU
	if reason := lacp.Parse(body, &pdu); reason != lacp.ReasonNone {
		return
	}
	fmt.Println(pdu.Actor.System, pdu.Actor.State)
	// Output: 52:54:00:10:00:01 activity|timeout_short|aggregation|defaulted
}

// Who has a bond tells its monitor what the kernel says and what is seen on the
// members, and calls it at its deadlines.
func ExampleMonitor() {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	m := lacp.NewMonitor(lacp.MonitorConfig{MinLinks: 1})
	tell := func(out lacp.Output) {
		for _, f := range out.Raised {
			fmt.Println(now.Format("15:04:05"), f.Severity, f.Name(), f.Detail())
		}
	}
	tell(m.Step(now, lacp.Input{Kind: lacp.InBond, Bond: &lacp.Bond{Mode: lacp.ModeLACP, Carrier: true, Rate: lacp.RateFast,
		Members: []lacp.Member{{Interface: "eth0", Carrier: true}}}}))
	for now = m.Deadline(); m.State() != lacp.BondFailed; now = m.Deadline() {
		tell(m.Step(now, lacp.Input{Kind: lacp.InTick}))
	}
	// Output:
	// 12:00:06 critical defaulted eth0: no PDU since the link came up; configure the far end's port for LACP, in the port channel of the other members; a converter or a bridge between may swallow the frames
	// 12:00:06 critical below_min_links 0 of 1 members carry, 1 have to; not eth0; mend the members that do not carry: see their findings
}
