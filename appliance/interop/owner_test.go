package interop

import (
	"slices"
	"testing"
	"time"

	"understudy/appliance/lab"
	"understudy/vrrp"
)

// TestOwner: whose interface has the address is Active at once, sends from that
// address with priority 255, yields to nobody, and at its end the address is where
// it was (RFC 9568, 5.2.4 and 6.4.1).
func TestOwner(t *testing.T) {
	lab.Require(t)
	t.Parallel()
	s := newScene(t)
	d := &dut{box: &box{scene: s, Node: s.Node("ours")}, v: variants[0],
		set: settings{priority: 255, interval: 2 * time.Second}, host: s.Node("host")}
	s.Join(d.Node, s.lan, "lan0", d.v.address.String())
	s.Join(d.host, s.lan, "lan0", "10.0.1.9/24")
	d.wire = s.record(s.lan)
	start := time.Now()
	d.begin("")
	first := d.firstAfter(start)
	d.wait("us to be Active", d.is("lan", "active"))
	r, err := d.router("lan")
	d.must(err)
	if first.Priority != 255 || first.data.Src != d.v.address.Addr() {
		t.Errorf("we sent %v", first)
	}
	// A Backup of this interval would have waited more than three of them.
	d.between("the first advert", first.At.Sub(start), 0, 5*time.Second)
	if r.Reason == "" {
		t.Error("no reason told")
	}

	host := d.injector("10.0.1.9")
	host.heard(254, d.set.interval, vrrp.FormPseudo)
	d.must(d.is("lan", "active")())

	d.end()
	list := d.adverts()
	if bye := list[len(list)-1]; bye.Priority != 0 {
		t.Errorf("the last word was %v", bye)
	}
	if on, err := has(d.Node, d.v); err != nil || !on {
		t.Errorf("the interface's own address is gone (%v)", err)
	}
	if addrs, err := d.Link("lan0").Addrs(); err != nil || !slices.Contains(addrs, d.v.address) {
		t.Errorf("lan0 has %v (%v)", addrs, err)
	}
}
