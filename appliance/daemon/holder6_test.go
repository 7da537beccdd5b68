package daemon

import (
	"context"
	"net/netip"
	"slices"
	"testing"

	"understudy/appliance"
	"understudy/appliance/identity"
)

// What enters by a device of IPv6 is let in when the addresses are there, all else
// before; and not at all where they are not.
func TestHolderLetsDevicesOfIPv6InLast(t *testing.T) {
	four, six := identity.NewDevice("lan0", 51, 4), identity.NewDevice("lan0", 51, 6)
	id := identity.New(
		identity.Address{Interface: four.Name, Prefix: netip.MustParsePrefix("10.0.0.1/24")},
		identity.Address{Interface: six.Name, Prefix: netip.MustParsePrefix("2001:db8::1/64")},
	).With(four, six)
	k := newKernelTwin()
	h := k.holder()
	h.gated = func(string) ([]netip.Addr, []string) { return id.Gated(), gatedDevices(id) }
	w := appliance.Want{Gen: 1, Groups: []appliance.GroupWant{{Name: "lan", Active: true, Term: 1, Identity: id}}}
	if out := h.Hold(context.Background(), w); len(out.Failed) > 0 {
		t.Fatalf("%+v", out)
	}
	want := []string{"activate lan 1", "unknown reset=false", "open us4-51-lan0", "open 10.0.0.1", "open 2001:db8::1",
		"add 10.0.0.1", "add 2001:db8::1", "open us6-51-lan0"}
	if !slices.Equal(k.log, want) {
		t.Errorf("want %q\ngot %q", want, k.log)
	}
	w.Gen, w.Groups[0].Active, k.log = 2, false, nil
	h.Hold(context.Background(), w)
	if want = []string{"close us4-51-lan0", "close us6-51-lan0", "close 10.0.0.1", "close 2001:db8::1", "deactivate lan", "remove 10.0.0.1", "remove 2001:db8::1"}; !slices.Equal(k.log, want) {
		t.Errorf("want %q\ngot %q", want, k.log)
	}
	w.Gen, w.Groups[0].Active, k.refuse = 3, true, context.Canceled
	if out := h.Hold(context.Background(), w); out.Failed["lan"] == nil || k.openDevices[six.Name] {
		t.Errorf("%+v, open %v", out, k.openDevices)
	}
}
