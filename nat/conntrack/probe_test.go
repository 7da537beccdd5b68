package conntrack_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// Case 59: what the flows need that this kernel has not is named, and nothing else;
// and nothing of the probes stays.
func TestCase59Probe(t *testing.T) {
	n := newNode(t)
	k := n.kernel(t)
	var needs conntrack.Needs
	flows := []session.Record{snatFlow(), flow(udp, "[fd00::2]:5000", "[2001:db8:9::1]:53", "[2001:db8:9::1]:53", "[2001:db8:1::1]:6000")}
	flows[0].Zone, flows[0].Labels[0], flows[0].Helper = 3, 1, session.NameFrom("ftp")
	flows[1].Helper = session.NameFrom("no-such-helper")
	for i := range flows {
		if !needs.Add(&flows[i]) || needs.Add(&flows[i]) {
			t.Errorf("%s: needs %+v", flows[i].String(), needs)
		}
	}
	if !needs.NAT4 || !needs.NAT6 || !needs.Zones || !needs.Labels || needs.NumHelpers != 2 {
		t.Fatalf("needs %+v", needs)
	}
	has := func(lacks []string, what string) bool {
		return slices.ContainsFunc(lacks, func(s string) bool { return strings.Contains(s, what) })
	}
	lacks, err := k.Probe(&needs)
	must(t, err)
	if len(lacks) != 2 || !has(lacks, "labels") || !has(lacks, "helper no-such-helper of protocol 17, IPv6") {
		t.Errorf("lacks %q", lacks)
	}
	n.useLabels(t)
	lacks, err = k.Probe(&needs)
	must(t, err)
	if len(lacks) != 1 || has(lacks, "labels") {
		t.Errorf("with a rule that uses labels: lacks %q", lacks)
	}
	must(t, k.Dump(conntrack.Filter{}, func(ev *conntrack.Event) { t.Errorf("left behind: %s", ev.Rec.String()) }))
}

// useLabels loads a rule that looks at labels.
func (n *node) useLabels(t testing.TB) {
	t.Helper()
	c, err := nftables.New(nftables.WithNetNSFd(int(n.ns)))
	must(t, err)
	table := c.AddTable(&nftables.Table{Name: "labels", Family: nftables.TableFamilyINet})
	chain := c.AddChain(&nftables.Chain{Name: "c", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter})
	c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Ct{Key: expr.CtKeyLABELS, Register: 1},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 16)},
		&expr.Counter{}}})
	must(t, c.Flush())
}
