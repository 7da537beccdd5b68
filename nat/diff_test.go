package nat

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// genConfig draws from a small space, so that drawn plans share mappings.
func genConfig() *rapid.Generator[Config] {
	return rapid.Custom(func(t *rapid.T) Config {
		vip := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}) }
		var c Config
		for i := range 4 {
			c.Groups = append(c.Groups, Group{Name: string(rune('a' + i)), Addresses: []netip.Addr{vip(i)},
				Blocks: rapid.SliceOfN(rapid.Just(netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(16 * i)}), 28)), 0, 1).Draw(t, "block")})
		}
		c.Groups = rapid.Permutation(c.Groups).Draw(t, "order")
		c.Sources = rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) Source {
			first := rapid.Uint16Range(1024, 1040).Draw(t, "first")
			return Source{
				From:  netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(rapid.IntRange(0, 3).Draw(t, "net")), 0}), 24),
				Out:   rapid.SampledFrom([]string{"wan0", "wan1"}).Draw(t, "out"),
				To:    vip(rapid.IntRange(0, 3).Draw(t, "to")),
				Ports: Ports{first, first + rapid.Uint16Range(0, 12).Draw(t, "size")},
			}
		}), 0, 8, Source.String).Draw(t, "sources")
		for i := range c.Sources { // the more addresses are none that To can be
			c.Sources[i].Also = rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) netip.Addr {
				return vip(rapid.IntRange(10, 12).Draw(t, "also"))
			}), 0, 3, netip.Addr.String).Draw(t, "more")
		}
		c.Groups[0].Addresses = append(c.Groups[0].Addresses, vip(10), vip(11), vip(12))
		for _, g := range c.Groups {
			for _, b := range g.Blocks {
				if rapid.Bool().Draw(t, "static") {
					c.Statics = append(c.Statics, Static{Public: b, Out: "wan0",
						Private: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 8, b.Addr().As4()[3], 0}), 28)})
				}
			}
		}
		c.Exceptions = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Exception {
			return Exception{From: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(rapid.IntRange(0, 3).Draw(t, "net")), 0}), 24), Out: "wan0",
				To: netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, 0, 0}), rapid.IntRange(12, 16).Draw(t, "length")).Masked()}
		}), 0, 4).Draw(t, "exceptions")
		c.Links = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) netip.Prefix {
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(rapid.IntRange(0, 3).Draw(t, "link")), 0}), rapid.SampledFrom([]int{16, 24}).Draw(t, "bits")).Masked()
		}), 0, 4).Draw(t, "links")
		c.Forwards = rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) Forward {
			return Forward{
				Address: vip(rapid.IntRange(0, 3).Draw(t, "address")),
				Proto:   rapid.SampledFrom([]Proto{TCP, UDP, SCTP}).Draw(t, "proto"),
				Port:    rapid.Uint16Range(1, 4).Draw(t, "port"),
				To:      netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, 9, byte(rapid.IntRange(1, 3).Draw(t, "server"))}), 80),
			}
		}), 0, 10, Forward.String).Draw(t, "forwards")
		for i := range 4 {
			group := string(rune('a' + i))
			if rapid.Bool().Draw(t, "device") {
				c.Devices = append(c.Devices, DeviceGate{"us4-" + group, group})
			}
			if rapid.Bool().Draw(t, "refused") {
				c.Refused = append(c.Refused, vip(i))
			}
		}
		c.Sessions = rapid.Bool().Draw(t, "sessions")
		return c
	})
}

func drawPlan(t *rapid.T, name string) Plan {
	p, err := New(genConfig().Draw(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// apply is the dumb reading of a Delta: take away, then add.
func apply[T any](t *rapid.T, have []T, d Delta[T], compare func(a, b T) int) []T {
	out := slices.Clone(have)
	index := func(x T) int { return slices.IndexFunc(out, func(y T) bool { return compare(x, y) == 0 }) }
	for _, x := range d.Remove {
		i := index(x)
		if i < 0 {
			t.Fatalf("removes %v, which is not there", x)
		}
		out = slices.Delete(out, i, i+1)
	}
	for _, x := range d.Add {
		if index(x) >= 0 {
			t.Fatalf("adds %v, which is there", x)
		}
		out = append(out, x)
	}
	slices.SortFunc(out, compare)
	return out
}

func TestDiffTurnsOnePlanIntoTheOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		have, want := drawPlan(t, "have"), drawPlan(t, "want")
		d := Diff(have, want)
		got := Plan{
			Sources:    apply(t, have.Sources, d.Sources, compareSource),
			Statics:    apply(t, have.Statics, d.Statics, compareStatic),
			Forwards:   apply(t, have.Forwards, d.Forwards, compareForward),
			Exceptions: apply(t, have.Exceptions, d.Exceptions, compareException),
			Links:      apply(t, have.Links, d.Links, comparePrefix),
			Gates:      apply(t, have.Gates, d.Gates, compareGate),
			Blocks:     apply(t, have.Blocks, d.Blocks, compareBlock),
			Devices:    apply(t, have.Devices, d.Devices, compareDevice),
			Refused:    apply(t, have.Refused, d.Refused, netip.Addr.Compare),
			Sessions:   want.Sessions,
		}
		if diff := cmp.Diff(want.String(), got.String()); diff != "" {
			t.Errorf("have + Diff (-want +got):\n%s", diff)
		}
		if same := have.String() == want.String(); same != d.Empty() {
			t.Errorf("same text %v, empty difference %v:\n%v", same, d.Empty(), d)
		}
		if !Diff(have, have).Empty() {
			t.Error("a plan differs from itself")
		}
		flipped := have
		flipped.Sessions = !have.Sessions
		if Diff(have, flipped).Empty() {
			t.Error("the session chains come or go unseen")
		}
	})
}

func TestDiffText(t *testing.T) {
	have := mustNew(t, gateway())
	c := gateway()
	c.Forwards[1].To = netip.MustParseAddrPort("10.0.0.21:8443")
	c.Sources = c.Sources[1:]
	want := "- source 10.0.1.0/24 out wan0 to 203.0.113.1:20000-29999\n" +
		"- forward 203.0.113.1:443/tcp to 10.0.0.20:8443\n" +
		"+ forward 203.0.113.1:443/tcp to 10.0.0.21:8443\n"
	if diff := cmp.Diff(want, Diff(have, mustNew(t, c)).String()); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

func TestPoolsCoverTheSourcesPortsOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t, "plan")
		pools := p.Pools()
		for i := range 13 {
			a := netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})
			for port := uint16(1020); port < 1060; port++ {
				want, got := 0, 0
				for _, s := range p.Sources {
					if slices.Contains(s.Addresses(), a) && s.Ports.Contains(port) {
						want = 1
					}
				}
				for _, q := range pools {
					if q.Address == a && q.Ports.Contains(port) {
						got++
					}
				}
				if want != got {
					t.Fatalf("%v:%d is in %d pools, want %d: %v", a, port, got, want, pools)
				}
			}
		}
		for i := 1; i < len(pools); i++ {
			if a, b := pools[i-1], pools[i]; a.Address == b.Address && int(a.Ports.Last)+1 >= int(b.Ports.First) {
				t.Fatalf("%v and %v touch", a, b)
			}
		}
	})
}

func BenchmarkDiff(b *testing.B) {
	var p Plan
	for i := range 100_000 {
		p.Forwards = append(p.Forwards, Forward{Address: netip.AddrFrom4([4]byte{203, 0, byte(i >> 14), byte(i >> 8 & 63)}), Proto: TCP, Port: uint16(i), To: netip.MustParseAddrPort("10.0.0.1:1")})
	}
	slices.SortFunc(p.Forwards, compareForward)
	q := p
	q.Forwards = slices.Delete(slices.Clone(p.Forwards), 500, 600)
	b.ReportAllocs()
	for b.Loop() {
		if d := Diff(p, q); len(d.Forwards.Remove) != 100 {
			b.Fatal(len(d.Forwards.Remove))
		}
	}
}
