package interop

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"understudy/appliance/lab"
	"understudy/appliance/lab/capture"
)

// TestOwnerIPv6 is TestOwner, and one thing more: while another owner is Active, nobody
// is told of the addresses, though they are on the interface all the time.
func TestOwnerIPv6(t *testing.T) {
	lab.Require(t)
	t.Parallel()
	s := newScene(t)
	v := row("v3 IPv6")
	d := joinDUTs(s, v, settings{priority: 255, interval: 500 * time.Millisecond}, v.local.String(), hostAddress6+"/64")
	d.must(d.Link("lan0").AddAddr(v.address))
	before, err := d.Link("lan0").Addrs()
	d.must(err)
	start := time.Now()
	d.begin("")
	first := d.firstAfter(start)
	d.wait("us to be Active", d.is("lan", "active"))
	if first.Priority != 255 || first.data.Src != v.local.Addr() {
		t.Errorf("we sent %v", first)
	}
	a := d.asker6()
	for _, vip := range virtual6() {
		d.announcement(vip.String())
		d.answered6("an advertisement", vip, a.solicits(vip), isAdvertisement)
	}

	r := d.injector6("fe80::ff") // higher than ours
	r.says6(255, 40950*time.Millisecond)
	d.wait("us to be Backup", d.is("lan", "backup"))
	// Nobody is left to answer with: the box has no address but these.
	at := time.Now()
	for _, vip := range virtual6() {
		a.solicits(vip)
		a.solicits(vip, d.Link("lan0").MAC.String())
		a.ping(d.Link("lan0").MAC.String(), vip)
	}
	d.wait("all of it to be dropped", func() error {
		st, err := d.status()
		if err == nil && st.NAT.Drops["gate"] < 6 {
			err = errNotYet
		}
		return err
	})
	for _, vip := range virtual6() {
		if got := d.wire.answers6(d.Name, vip, at); len(got) > 0 {
			t.Errorf("%v answered: %v", vip, got)
		}
	}

	d.end()
	after, err := d.Link("lan0").Addrs()
	d.must(err)
	if !slices.Equal(slices.SortedFunc(slices.Values(before), comparePrefix), slices.SortedFunc(slices.Values(after), comparePrefix)) {
		t.Errorf("lan0 had %v, has %v", before, after)
	}
	for _, vip := range virtual6() {
		d.answered6("an advertisement of our kernel", vip, a.solicits(vip), isAdvertisement)
	}
	for _, f := range d.wire.c.Frames() {
		if p := capture.Decode(f.Data); f.From == d.Name && p.Neighbor(capture.NeighborSolicitation) && p.Src.IsUnspecified() {
			t.Errorf("a duplicate is looked for: %v", f)
		}
	}
}

func comparePrefix(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) }
