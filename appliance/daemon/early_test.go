package daemon

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"understudy/appliance"
	"understudy/appliance/identity"
)

// begin and withdraw write into the twin's list what the announcer was told.
func (k *kernelTwin) begin(group string, addresses []identity.Address) {
	k.say("announce %s %d", group, len(addresses))
}

func (k *kernelTwin) withdraw(group string) { k.say("withdraw %s", group) }

// crowded is a group of n addresses on an interface.
func crowded(active bool, n int, iface string) appliance.Want {
	g := appliance.GroupWant{Name: "lan", Active: active, Term: 1}
	var all []identity.Address
	for i := range n {
		all = append(all, identity.Address{Interface: iface, Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 16)})
	}
	if active {
		g.Identity = identity.New(all...)
	}
	return appliance.Want{Groups: []appliance.GroupWant{g}}
}

// parts are the words of the list about announcements, and the first and last
// address added.
func parts(log []string) (out []string) {
	for i, s := range log {
		added := strings.HasPrefix(s, "add ")
		switch {
		case added && i+1 < len(log) && strings.HasPrefix(log[i+1], "add "):
		case added:
			out = append(out, "add")
		case strings.HasPrefix(s, "announce"), strings.HasPrefix(s, "withdraw"):
			out = append(out, s)
		}
	}
	return out
}

// TestManyAddresses: the first of many are announced before the last are added; of few
// nothing is announced before Core asks for it.
func TestManyAddresses(t *testing.T) {
	for _, c := range []struct {
		name string
		n    int
		want []string
	}{
		{"few", crowd, []string{"add"}},
		{"many", 250, []string{"add", "announce lan 100", "add", "announce lan 100", "add", "announce lan 50"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKernelTwin()
			h := k.holder()
			h.early.announce = k
			h.Hold(context.Background(), crowded(true, c.n, "lan0"))
			if got := parts(k.log); !slices.Equal(got, c.want) {
				t.Errorf("done %q, want %q", got, c.want)
			}
			k.log = nil
			h.Hold(context.Background(), crowded(false, c.n, "lan0"))
			if got := slices.Contains(k.log, "withdraw lan"); got != (c.n > crowd) {
				t.Errorf("withdrawn by the holder: %t", got)
			}
		})
	}
}

// TestManyAddressesInVain: what was announced of a group that could not be completed
// is withdrawn, for Core, which has asked for nothing, will not do so.
func TestManyAddressesInVain(t *testing.T) {
	k := newKernelTwin()
	h := k.holder()
	h.early.announce = k
	k.refuse, k.takes = errors.New("no"), 200
	out := h.Hold(context.Background(), crowded(true, 300, "lan0"))
	if out.Failed["lan"] == nil {
		t.Fatal("the group did not fail")
	}
	if got := parts(k.log); !slices.Equal(got, []string{"announce lan 200", "withdraw lan"}) {
		t.Errorf("done %q, want the withdrawal of what was announced", got)
	}
}

// TestManyAddressesOfIPv6Devices: their gate opens last, so nothing is announced before.
func TestManyAddressesOfIPv6Devices(t *testing.T) {
	k := newKernelTwin()
	e := early{announce: k}
	d := identity.NewDevice("lan0", 9, 6)
	w := crowded(true, 300, d.Name)
	w.Groups[0].Identity = w.Groups[0].Identity.With(d)
	e.adding(w, w.Groups[0].Identity)(w.Groups[0].Identity.Addresses)
	if len(k.log) > 0 {
		t.Errorf("announced: %q", k.log)
	}
}
