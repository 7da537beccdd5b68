package interop

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
	"understudy/vrrp"
)

func init() {
	otherwise["keywords.conf"] = "vrrp_delay_after_boot and names of dump files are of 2.4, and unknown to 2.2.7"
	// An instance that has no peers, and must not go by multicast, is left out by us, and in fault for ever with keepalived.
	corpus = append(corpus, corpusRow{file: "keywords.conf", cut: "eth1",
		on: "eth0 10.71.0.2/24 10.72.0.2/24 10.73.0.2/24 10.74.0.2/24, eth1 10.75.0.2/24, eth2 10.76.0.2/24 10.77.0.2/24",
		edit: []string{"vrrp_delay_after_boot 90", "", "state_dump_file /run/small.data", "", "stats_dump_file small.stats", "",
			"json_dump_file /run/", "", "json_version 2", "", "    virtual_router_id 77\n    unicast_fault_no_peer", "    virtual_router_id 77",
			"init_file 7", "init_file 0", "init_file 3", "init_file 0"}}) // else the first state may be told before all files are read
}

// Adverts to peers leave with the TTL that is configured, and those of a peer next door count whatever theirs is.
func TestUnicastTTL(t *testing.T) {
	lab.Require(t)
	t.Parallel()
	d := newDUT(newScene(t), settings{priority: 100, interval: 200 * time.Millisecond}, "unicast = [\"10.0.1.9\"]\nunicast_ttl = 64")
	d.wait("us to be Active", d.is("lan", "active"))
	d.wait("adverts", func() error {
		if len(d.adverts()) < 5 {
			return errNotYet
		}
		return nil
	})
	for _, a := range d.adverts() {
		if a.data.TTL != 64 || a.data.Dst != netip.MustParseAddr("10.0.1.9") {
			t.Errorf("%v to %v with the TTL %d: %v", a, a.data.Dst, a.data.TTL, a.reason)
		}
	}
	a := &vrrp.Advert{Version: 3, VRID: d.v.vrid, Priority: 200, Interval: 10 * time.Second, Form: vrrp.FormPseudo}
	p := vrrp.AppendPacketTo(nil, a, []netip.Addr{d.v.address.Addr()}, netip.MustParseAddr("10.0.1.9"), netip.MustParseAddr(dutAddress))
	p[8] = 60
	d.socket(d.host, "lan0").frame(hostMAC, d.Link("lan0").MAC.String(), unix.ETH_P_IP, p)
	d.wait("us to be Backup", d.is("lan", "backup"))
}
