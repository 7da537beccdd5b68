package daemon

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/mdlayher/ethernet"

	"understudy/appliance/identity"
	"understudy/appliance/lab/capture"
	"understudy/garp"
	"understudy/vrrp"
	"understudy/vrrp/vrrpnet"
)

// six is one more router for newWire: that of IPv6 on the same interface.
const six = `
[[router]]
name = "six"
interface = "lan0"
vrid = 51
addresses = ["2001:db8::1/64", "fe80::1/64"]
mac = "virtual"
`

var (
	sixDevice = identity.NewDevice("lan0", 51, 6)
	sixVIP    = netip.MustParseAddr("2001:db8::1")
	sixLocal  = netip.MustParseAddr("fe80::1")
)

// Two Actives with one virtual MAC of IPv6 must hear each other too.
func TestTwoActivesWithOneVirtualMACOfIPv6HearEachOther(t *testing.T) {
	w := newWire(t, six)
	var ports [2]*vrrpnet.Port
	for i, b := range w.gw {
		b.activate()
		b.do(func() (err error) {
			ports[i], err = vrrpnet.OpenPort("lan0", 0, 6)
			return err
		})
		t.Cleanup(ports[i].Close)
	}
	a := vrrp.Advert{Version: 3, VRID: 51, Priority: 100, Interval: time.Second}
	for i, from := range ports {
		source := netip.MustParseAddr([]string{"fe80::2", "fe80::3"}[i])
		packet := vrrp.AppendPacket(nil, &a, []netip.Addr{sixLocal, sixVIP}, source)
		heard := 0
		for n := range 5 {
			if err := from.Send(sixDevice.MAC, packet); err != nil {
				t.Fatal(err)
			}
			var f vrrpnet.Frame
			for deadline := time.Now().Add(soon); heard <= n && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
				ok, err := ports[1-i].Receive(time.Now(), &f)
				if err != nil {
					t.Fatal(err)
				}
				if d, r := vrrp.ParseDatagram(f.Packet); ok && r == vrrp.ReasonNone && d.Src == source && f.Source == sixDevice.MAC {
					heard++
				}
			}
		}
		if heard != 5 {
			t.Errorf("gw%d: heard %d of 5 adverts", 2-i, heard)
		}
	}
}

// solicited asks gw1 who has an address, and then for one that it always has; it tells
// whether the first was answered. An answer that is wanted is waited for.
func (w *wire) solicited(who netip.Addr, wanted bool) bool {
	w.t.Helper()
	c := w.heard(w.lan)
	defer c.Stop()
	own := w.gw[0].linkLocal()
	answers := func(a netip.Addr) func(capture.Packet) bool {
		return func(p capture.Packet) bool {
			return p.Neighbor(capture.NeighborAdvertisement) && p.Target == a && p.Flags&capture.Solicited != 0
		}
	}
	w.send(w.whoHas6(who), w.whoHas6(own))
	seen := until(w.t, c, "answer of gw1 for its own address", answers(own))
	// What a device is asked passes through a queue.
	if wanted {
		until(w.t, c, "answer for "+who.String(), answers(who))
	} else {
		time.Sleep(20 * time.Millisecond)
	}
	for _, f := range c.Frames() {
		seen = append(seen, capture.Decode(f.Data))
	}
	return slices.ContainsFunc(seen, answers(who))
}

// linkLocal is the address that lan0 has of its own.
func (b *box) linkLocal() (own netip.Addr) {
	b.t.Helper()
	b.do(func() error {
		l, err := b.addresses.Link("lan0")
		own = l.LinkLocal
		return err
	})
	return own
}

// whoHas6 is the host's solicitation: to the group of the address, from an address
// that the host need not have.
func (w *wire) whoHas6(who netip.Addr) []byte {
	own := garp.MAC(w.host.Link("eth0").MAC)
	last, group := who.As16(), netip.MustParseAddr("ff02::1:ff00:0").As16()
	copy(group[13:], last[13:])
	// An advertisement differs from a solicitation in its type, flags and option.
	b := garp.AppendNA(nil, garp.NA{Source: netip.MustParseAddr("fe80::9"), Destination: netip.AddrFrom16(group), Target: who, LinkAddr: own})
	const icmp = 40
	b[icmp], b[icmp+24] = 135, 1
	sum := uint32(b[icmp+2])<<8 | uint32(b[icmp+3])
	sum += 1<<8 + 1<<8 // 136 became 135, option 2 became 1: 0x100 less, twice
	sum = sum>>16 + sum&0xffff
	b[icmp+2], b[icmp+3] = byte(sum>>8), byte(sum)
	return w.frame(garp.MAC{0x33, 0x33, group[12], group[13], group[14], group[15]}, ethernet.EtherTypeIPv6, b)
}

// The fence takes IPv6 out of service in the same order: nobody hears of the addresses
// as soon as the gate is shut, and then they go.
func TestFenceOfIPv6(t *testing.T) {
	w := newWire(t, six)
	b := w.gw[0]
	b.activate()
	for deadline := time.Now().Add(soon); !b.linkLocal().IsValid(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no link-local address")
		}
	}
	answered := func(when string, want bool) {
		t.Helper()
		for _, a := range []netip.Addr{sixVIP, sixLocal} {
			if got := w.solicited(a, want); got != want {
				t.Errorf("%s: %v answered: %v", when, a, got)
			}
		}
	}
	answered("Active", true)
	fence := b.fence()
	b.run("GateClose", fence.GateClose)
	if id := b.held(); len(id.Addresses) != 3 {
		t.Errorf("gate shut: holds %v", id)
	}
	answered("gate shut, addresses still there", false)
	b.run("Remove", fence.Remove)
	if id := b.held(); len(id.Addresses) != 0 || len(id.Devices) != 2 {
		t.Errorf("addresses removed: holds %v", id)
	}
	b.run("Lower", fence.Lower)
	if id := b.held(); len(id.Devices) != 0 {
		t.Errorf("devices down: holds %v", id)
	}
	answered("fenced", false)
	b.activate()
	answered("Active again", true)
}

// Who gives up says nothing more from the virtual MAC: switches would send what is for
// that MAC here again, and not to the successor. The kernel would say that it leaves
// the groups of the addresses. That it joins them it does say.
func TestNothingComesFromTheVirtualMACAfterItWasGivenUp(t *testing.T) {
	w := newWire(t, six)
	b := w.gw[0]
	c := w.heard(w.lan)
	report := func(p capture.Packet) bool {
		return garp.MAC(p.SrcMAC) == garp.MAC(sixDevice.MAC) && p.Dst == netip.MustParseAddr("ff02::16")
	}
	b.activate()
	until(t, c, "report of groups", report)
	time.Sleep(2 * time.Second) // it says so twice, the second time within a second
	var given time.Time
	b.do(func() error {
		if err := b.table.CloseGate(b.identity.Gated(), gatedDevices(b.identity)...); err != nil {
			return err
		}
		given = time.Now()
		_, err := b.addresses.Apply(identity.Identity{}) // the device is up still
		return err
	})
	time.Sleep(2 * time.Second)
	for _, f := range c.Frames() {
		if p := capture.Decode(f.Data); f.At.After(given) && garp.MAC(p.SrcMAC) == garp.MAC(sixDevice.MAC) {
			t.Errorf("%v from %v", f, p.SrcMAC)
		}
	}
}
