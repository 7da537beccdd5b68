package nft

import (
	"testing"

	"github.com/google/nftables"
)

func TestNATHooks(t *testing.T) {
	l := newLab(t)
	check := func(when string, four, six bool) {
		t.Helper()
		have4, have6, err := l.a.NATHooks()
		if l.must(err); have4 != four || have6 != six {
			t.Errorf("%s: IPv4 %v, IPv6 %v", when, have4, have6)
		}
	}
	check("nothing", false, false)
	c, err := nftables.New(nftables.WithNetNSFd(int(l.gateway.handle)))
	l.must(err)
	table := c.AddTable(&nftables.Table{Name: "others", Family: nftables.TableFamilyIPv4})
	chain := c.AddChain(&nftables.Chain{Name: "nat", Table: table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource})
	l.must(c.Flush())
	check("somebody's", true, false)
	c.DelChain(chain)
	l.must(c.Flush())
	check("nobody's again", false, false)
	bare := config()
	bare.Sources, bare.Forwards, bare.Sessions = nil, nil, true
	l.apply(bare)
	check("ours, empty", true, true)
}
