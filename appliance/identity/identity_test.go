package identity

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func addr(iface, prefix string) Address {
	return Address{Interface: iface, Prefix: netip.MustParsePrefix(prefix)}
}

func TestNewSortsAndMakesUnique(t *testing.T) {
	got := New(
		addr("wan0", "203.0.113.1/24"), addr("lan0", "10.0.0.10/24"), addr("lan0", "10.0.0.9/24"),
		addr("lan0", "2001:db8::1/64"), addr("lan0", "::ffff:10.0.0.9/120"), Address{Interface: "lan0"},
	)
	want := "address 10.0.0.9/24 dev lan0\n" +
		"address 10.0.0.10/24 dev lan0\n" +
		"address 2001:db8::1/64 dev lan0\n" +
		"address 203.0.113.1/24 dev wan0\n"
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Error(diff)
	}
	if s := (Identity{}).String(); s != "" || !New().Equal(Identity{}) {
		t.Errorf("nothing is %q", s)
	}
}

func TestDiff(t *testing.T) {
	a, b, c := addr("lan0", "10.0.0.1/24"), addr("lan0", "10.0.0.2/24"), addr("wan0", "203.0.113.1/24")
	for _, r := range []struct {
		name       string
		have, want Identity
		add, del   []Address
	}{
		{"nothing to nothing", New(), New(), nil, nil},
		{"takeover", New(), New(a, b), []Address{a, b}, nil},
		{"yield", New(a, b), New(), nil, []Address{a, b}},
		{"one group of two yields", New(a, c), New(c), nil, []Address{a}},
		{"reload exchanges one", New(a, c), New(b, c), []Address{b}, []Address{a}},
		{"another prefix length is another address", New(a), New(addr("lan0", "10.0.0.1/25")),
			[]Address{addr("lan0", "10.0.0.1/25")}, []Address{a}},
	} {
		t.Run(r.name, func(t *testing.T) {
			add, del := Diff(r.have, r.want)
			if !slices.Equal(add, r.add) || !slices.Equal(del, r.del) {
				t.Errorf("add %v, del %v; want %v, %v", add, del, r.add, r.del)
			}
		})
	}
}

// Removing and adding what Diff says makes one identity of the other, and two
// are equal exactly if they read the same.
func TestDiffProperties(t *testing.T) {
	one := rapid.Custom(func(t *rapid.T) Address {
		last := rapid.ByteRange(1, 6).Draw(t, "host")
		return Address{
			Interface: rapid.SampledFrom([]string{"lan0", "wan0"}).Draw(t, "interface"),
			Prefix:    netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, last}), rapid.IntRange(23, 25).Draw(t, "bits")),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		have := New(rapid.SliceOf(one).Draw(t, "have")...)
		want := New(rapid.SliceOf(one).Draw(t, "want")...)
		add, del := Diff(have, want)
		kept := slices.DeleteFunc(slices.Clone(have.Addresses), func(a Address) bool { return slices.Contains(del, a) })
		if got := New(append(kept, add...)...); !got.Equal(want) {
			t.Fatalf("%vthen %vis not %v", have, got, want)
		}
		if Union(have, want).Equal(want) != (len(del) == 0) {
			t.Fatalf("union and difference disagree on %v and %v", have, want)
		}
		if have.Equal(want) != (have.String() == want.String()) {
			t.Fatalf("%v and %v", have, want)
		}
	})
}

// TestGated: what counts on one link only is told apart by its interface.
func TestGated(t *testing.T) {
	on := func(iface, prefix string) Address {
		return Address{Interface: iface, Prefix: netip.MustParsePrefix(prefix)}
	}
	six := NewDevice("lan0", 51, 6)
	id := New(on("lan0", "10.0.0.1/24"), on("lan0", "169.254.0.1/24"), on(six.Name, "fe80::1/64"), on(six.Name, "2001:db8::1/64"), on("wan0", "fe80::1/64")).
		With(six, NewDevice("lan0", 51, 4))
	want := "[10.0.0.1 169.254.0.1 2001:db8::1 fe80::1%lan0 fe80::1%us6-51-lan0 fe80::1%wan0]"
	if got := fmt.Sprint(id.Gated()); got != want {
		t.Errorf("want %s, got %s", want, got)
	}
}
