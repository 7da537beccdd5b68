package interop

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
	"understudy/vrrp"
)

// TestUnicastListensToItsPeersOnly: what a router with peers counts, and what it
// obeys; and the same for one without.
func TestUnicastListensToItsPeersOnly(t *testing.T) {
	lab.Require(t)
	for _, row := range []struct {
		name, keys string
		from, to   string
		ttl        byte
		want       string // a reason; "": obeyed
	}{
		{"a peer", `unicast = ["10.0.1.9"]`, "10.0.1.9", dutAddress, 255, ""},
		{"a peer from afar", `unicast = ["192.0.2.9"]`, "192.0.2.9", dutAddress, 60, ""},
		{"a peer next door with a TTL from afar", `unicast = ["10.0.1.9"]`, "10.0.1.9", dutAddress, 254, "ttl"},
		{"a peer with a TTL of its range", `unicast = ["10.0.1.9 ttl 60-64"]`, "10.0.1.9", dutAddress, 64, ""},
		{"a peer with another", `unicast = ["10.0.1.9 ttl 60-64"]`, "10.0.1.9", dutAddress, 65, "ttl"},
		{"a stranger", `unicast = ["10.0.1.9"]`, "10.0.1.10", dutAddress, 255, "source"},
		{"a peer to somebody else", `unicast = ["10.0.1.9"]`, "10.0.1.9", "10.0.1.77", 255, "destination"},
		{"a peer by multicast", `unicast = ["10.0.1.9"]`, "10.0.1.9", "224.0.0.18", 255, "destination"},
		{"unicast to a router without peers", "", "10.0.1.9", dutAddress, 255, "destination"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			d := newDUT(newScene(t), settings{priority: 100, interval: 200 * time.Millisecond}, row.keys)
			d.wait("us to be Active", d.is("lan", "active"))
			k := d.socket(d.host, "lan0")
			a := &vrrp.Advert{Version: 3, VRID: d.v.vrid, Priority: 200, Interval: 10 * time.Second, Form: vrrp.FormPseudo}
			to := netip.MustParseAddr(row.to)
			p := vrrp.AppendPacketTo(nil, a, []netip.Addr{d.v.address.Addr()}, netip.MustParseAddr(row.from), to)
			p[8] = row.ttl
			mac := d.Link("lan0").MAC.String()
			if to.IsMulticast() {
				mac = "01:00:5e:00:00:12"
			}
			k.frame(hostMAC, mac, unix.ETH_P_IP, p)
			if row.want == "" {
				d.wait("us to be Backup", d.is("lan", "backup"))
				return
			}
			d.wait("a drop for "+row.want, func() error {
				r, err := d.router("lan")
				if err == nil && r.Drops[row.want] != 1 {
					err = errNotYet
				}
				return err
			})
			d.must(d.is("lan", "active")())
		})
	}
}

// TestUnicastIsHeardByNobodyElse: each peer gets an advert of its own, from the
// chosen address, and the network no other.
func TestUnicastIsHeardByNobodyElse(t *testing.T) {
	lab.Require(t)
	t.Parallel()
	d := joinDUT(newScene(t), settings{priority: 100, interval: 100 * time.Millisecond})
	d.must(d.Link("lan0").AddAddr(netip.MustParsePrefix("10.0.1.22/24")))
	d.must(d.host.Link("lan0").AddAddr(netip.MustParsePrefix("10.0.1.10/24")))
	d.begin("mac = \"virtual\"\nunicast = [\"10.0.1.9\", \"10.0.1.10\", \"10.0.1.11\"]\nsource = \"10.0.1.22\"")
	d.wait("us to be Active", d.is("lan", "active"))
	d.wait("adverts", func() error {
		if len(d.adverts()) < 20 {
			return errNotYet
		}
		return nil
	})
	to := map[netip.Addr]int{}
	for _, a := range d.adverts() {
		if a.reason != 0 || a.data.Src != netip.MustParseAddr("10.0.1.22") || a.data.TTL != 255 || a.packet.SrcMAC.String() != d.Link("lan0").MAC.String() {
			t.Errorf("%v from %v (%v), TTL %d: %v", a, a.data.Src, a.packet.SrcMAC, a.data.TTL, a.reason)
		}
		to[a.data.Dst]++
	}
	// 10.0.1.11 does not answer ARP: what is for it never gets onto the wire.
	if len(to) != 2 || to[netip.MustParseAddr("10.0.1.9")] == 0 || to[netip.MustParseAddr("10.0.1.10")] == 0 {
		t.Errorf("adverts went to %v", to)
	}
	r, err := d.router("lan")
	d.must(err)
	if r.Source != "10.0.1.22" || len(r.Unicast) != 3 || r.Unicast[2] != "10.0.1.11" {
		t.Errorf("status says source %q, unicast %q", r.Source, r.Unicast)
	}
}
