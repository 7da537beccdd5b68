package lacp_test

import (
	"fmt"

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
