package daemon

import (
	"testing"

	"understudy/appliance"
	"understudy/appliance/config"
	"understudy/health"
	"understudy/lacp"
)

// What a bond's state is to those who track it.
func TestVerdictOfABond(t *testing.T) {
	two := make([]lacp.MemberStatus, 2)
	expired := lacp.Finding{Kind: lacp.KindExpired, Severity: lacp.SeverityCritical, Member: "eth1"}
	down := lacp.Finding{Kind: lacp.KindLinkDown, Severity: lacp.SeverityWarning, Member: "eth1"}
	below := lacp.Finding{Kind: lacp.KindBelowMinLinks, Severity: lacp.SeverityCritical}
	info := lacp.Finding{Kind: lacp.KindTimeoutMismatch, Severity: lacp.SeverityInfo, Member: "eth0"}
	for _, tt := range []struct {
		name  string
		on    config.FailOn
		there bool
		s     lacp.Status
		want  appliance.BondChanged
	}{
		{"not there", config.FailOnMinLinks, false, lacp.Status{},
			appliance.BondChanged{State: health.Down, Why: "there is no such bond"}},
		{"comes up", config.FailOnCritical, true, lacp.Status{State: lacp.BondUnknown, Members: two},
			appliance.BondChanged{State: health.Unknown, Lost: 2}},
		{"well, and what is only worth knowing", config.FailOnCritical, true,
			lacp.Status{State: lacp.BondOK, Carrying: 2, Members: two, Findings: []lacp.Finding{info}},
			appliance.BondChanged{State: health.Up}},
		{"a member pulled", config.FailOnCritical, true,
			lacp.Status{State: lacp.BondDegraded, Carrying: 1, Members: two, Findings: []lacp.Finding{down}},
			appliance.BondChanged{State: health.Up, Lost: 1, Why: "eth1 link_down"}},
		{"a critical finding", config.FailOnCritical, true,
			lacp.Status{State: lacp.BondDegraded, Carrying: 1, Members: two, Findings: []lacp.Finding{expired, down}},
			appliance.BondChanged{State: health.Down, Lost: 1, Why: "eth1 expired, eth1 link_down"}},
		{"a critical finding that is no fault", config.FailOnMinLinks, true,
			lacp.Status{State: lacp.BondDegraded, Carrying: 1, Members: two, Findings: []lacp.Finding{expired}},
			appliance.BondChanged{State: health.Up, Lost: 1, Why: "eth1 expired"}},
		{"a critical finding while it comes up", config.FailOnCritical, true,
			lacp.Status{State: lacp.BondUnknown, Members: two, Findings: []lacp.Finding{expired}},
			appliance.BondChanged{State: health.Down, Lost: 2, Why: "eth1 expired"}},
		{"too few", config.FailOnMinLinks, true,
			lacp.Status{State: lacp.BondFailed, Carrying: 1, Members: two, Findings: []lacp.Finding{below}},
			appliance.BondChanged{State: health.Down, Lost: 1, Why: "below_min_links"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Name = "bond0"
			if got := verdict(config.Bond{Name: "bond0", FailOn: tt.on}, tt.there, tt.s); got != tt.want {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}
