package pair_test

import (
	"net/netip"
	"testing"
	"time"

	"understudy/appliance/lab/pair"
	"understudy/appliance/lab/probe"
)

// A gateway that is given the addresses by hand carries traffic both ways; the
// one that is not carries none.
func TestNetworkCarriesTrafficThroughWhoHasTheAddresses(t *testing.T) {
	p := pair.NewT(t, pair.Options{NoNAT: true})
	out, in := netip.AddrPortFrom(pair.Outside, 9), netip.AddrPortFrom(pair.Server, 9)
	var probes []*probe.Echo
	for _, o := range []probe.UDPOptions{
		{Client: p.Inside, Server: p.Outside, Listen: out, Target: out},
		{Client: p.Outside, Server: p.Inside, Listen: in, Target: in},
	} {
		udp, err := probe.StartUDP(o)
		must(t, err)
		defer udp.Stop()
		probes = append(probes, udp)
	}
	for _, udp := range probes {
		if n := udp.Since(time.Time{}); n != 0 {
			t.Fatalf("%d echoes without a gateway", n)
		}
	}
	g := p.Gateways[0]
	must(t, g.Sysctl("ipv4/ip_forward", "1"))
	must(t, g.Link("lan0").AddAddr(pair.LANAddress))
	must(t, g.Link("wan0").AddAddr(pair.WANAddress))
	for _, udp := range probes {
		waitFor(t, "echoes through gw1", func() bool { return udp.Since(time.Time{}) > 0 })
	}
}

// patience bounds every wait: it is far more than anything takes.
const patience = 30 * time.Second

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
