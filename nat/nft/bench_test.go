package nft

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"understudy/nat"
)

func BenchmarkApply(b *testing.B) {
	for _, n := range []int{100, 10_000, 100_000} {
		p := manyForwards(n)
		b.Run(fmt.Sprintf("load/forwards=%d", n), func(b *testing.B) {
			l := newLab(b)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := l.a.Apply(p); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				l.must(l.a.Clean())
				b.StartTimer()
			}
		})
		// Another server for one of them: by what was loaded, and by all that the kernel has.
		for name, apply := range map[string]func(*Applier, nat.Plan) (Report, error){"change": (*Applier).Change, "read": (*Applier).Apply} {
			b.Run(fmt.Sprintf("%s/forwards=%d", name, n), func(b *testing.B) {
				l := newLab(b)
				if _, err := l.a.Apply(p); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					b.StopTimer()
					q := p
					q.Forwards = slices.Clone(p.Forwards)
					q.Forwards[n/2].To = netip.AddrPortFrom(inside, uint16(i)|1)
					b.StartTimer()
					if r, err := apply(l.a, q); err != nil || r.Added+r.Removed > 2 {
						b.Fatal(r, err)
					}
				}
			})
		}
	}
}

func BenchmarkOpenCloseGate(b *testing.B) {
	l := newLab(b)
	l.apply(config())
	b.ReportAllocs()
	for b.Loop() {
		l.must(l.a.OpenGate(allOfGroup))
		l.must(l.a.CloseGate(allOfGroup))
	}
}

// A box that gives up 250 virtual routers at once: the prepared batch, from the
// call until nothing passes any more.
func BenchmarkGateCloseMessage250Devices(b *testing.B) {
	l := newLab(b)
	c := config()
	var addrs []netip.Addr
	var devices []string
	for i := range 250 {
		a := netip.AddrFrom4([4]byte{198, 18, 0, byte(i)})
		addrs, devices = append(addrs, a), append(devices, fmt.Sprintf("us4-%d-lan0", i+1))
		c.Devices = append(c.Devices, nat.DeviceGate{Device: devices[i], Group: "many"})
	}
	c.Groups = append(c.Groups, nat.Group{Name: "many", Addresses: addrs})
	l.apply(c)
	batch := GateCloseMessage(addrs, devices...)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		l.must(l.a.OpenGate(addrs, devices...))
		b.StartTimer()
		l.gateway.sendBatch(batch)
	}
	b.StopTimer()
	if got := len(l.state().elements[setClosedDevices]); got != 250 {
		b.Errorf("%d of 250 closed", got)
	}
}
