package vrrpnet

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/vrrp"
)

// injector sends frames from interface b.
type injector struct {
	t  *testing.T
	fd int
	to unix.SockaddrLinklayer
}

func newInjector(t *testing.T, name string) *injector {
	t.Helper()
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return &injector{t, fd, unix.SockaddrLinklayer{Ifindex: ifi.Index, Halen: 6}}
}

// send puts a packet into a frame for dst.
func (k *injector) send(dst MAC, packet []byte) {
	k.t.Helper()
	f := append(append([]byte{}, dst[:]...), 2, 0, 0, 0, 0, 9, 8, 0)
	if len(packet) > 0 && packet[0]>>4 == 6 {
		binary.BigEndian.PutUint16(f[12:], unix.ETH_P_IPV6)
	}
	if err := unix.Sendto(k.fd, append(f, packet...), 0, &k.to); err != nil {
		k.t.Fatal(err)
	}
}

// route says which of its sockets gave a packet to the port: "good", "bad", or
// "none". mark is an advert that surely comes through, and later.
func (k *injector) route(p *Port, dst MAC, packet, mark []byte) (to string) {
	k.t.Helper()
	_, group := Group(p.Family)
	k.send(dst, packet)
	k.send(group, mark)
	to = "none"
	var f Frame
	eventually(k.t, p.FD(), "the mark", func() bool {
		for {
			ok, _ := p.Receive(time.Now(), &f)
			switch {
			case !ok:
				return false
			case slices.Equal(f.Packet, mark):
				return true
			}
			to = "good"
		}
	})
	for p.Refused(&f) {
		if !slices.Equal(f.Packet, packet) && len(packet) > 0 {
			k.t.Errorf("refused % x\nsent % x", f.Packet, packet)
		}
		if to == "good" {
			k.t.Errorf("both sockets have % x", packet)
		}
		to = "bad"
	}
	return to
}

// withOptions makes an IPv4 header n words longer.
func withOptions(p []byte, n int) []byte {
	p = slices.Insert(slices.Clone(p), 20, make([]byte, 4*n)...)
	p[0] += byte(n)
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	return p
}

// behind puts IPv6 extension headers of the given kinds before the message, each
// of 8 octets more than the one before.
func behind(p []byte, kinds ...byte) []byte {
	p = slices.Clone(p)
	next := p[6]
	for i := len(kinds) - 1; i >= 0; i-- {
		h := make([]byte, 8*(i+1))
		h[0], h[1] = next, byte(i)
		if kinds[i] == 44 {
			h = []byte{next, 0, 0, 0, 0, 0, 0, 1}
		}
		next = kinds[i]
		p = slices.Insert(p, 40, h...)
	}
	p[6] = next
	binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
	return p
}

var (
	mine4, theirs4 = netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3")
	mine6, theirs6 = netip.MustParseAddr("fe80::2"), netip.MustParseAddr("fe80::3")
)

// said is an advert of priority 200 as its router sends it.
func said(vrid uint8, src, dst netip.Addr) []byte {
	a := vrrp.Advert{Version: 3, VRID: vrid, Priority: 200, Interval: time.Second, Form: vrrp.FormPseudo}
	vip := netip.MustParseAddr("10.0.0.1")
	if src.Is6() {
		vip = netip.MustParseAddr("fe80::1")
	}
	return vrrp.AppendPacketTo(nil, &a, []netip.Addr{vip}, src, dst)
}

// sealed is said in version 2, in an authentication header.
func sealed(vrid uint8, src, dst netip.Addr) []byte {
	a := vrrp.Advert{Version: 2, VRID: vrid, Priority: 200, Interval: time.Second, AuthType: vrrp.AuthHeader, Sequence: 7}
	return vrrp.AppendPacketTo(nil, &a, []netip.Addr{netip.MustParseAddr("10.0.0.1")}, src, dst)
}

// TestFilter: what comes through, what is refused, and what is no VRRP at all.
func TestFilter(t *testing.T) {
	inNamespace(t)
	veth(t, "a", "b")
	k := newInjector(t, "b")
	var w Wanted
	w.Group.Add(1)
	w.Group.Add(7)
	w.Group.Add(255)
	w.Single.Add(31)
	w.Single.Add(200)
	ports := map[uint8]*Port{4: open(t, "a", 4), 6: open(t, "a", 6)}
	for _, p := range ports {
		if err := p.Want(w); err != nil {
			t.Fatal(err)
		}
	}
	spoil := func(p []byte, at int, v byte) []byte { p = slices.Clone(p); p[at] = v; return p }
	for _, row := range []struct {
		name   string
		family uint8
		packet []byte
		want   string
	}{
		{"wanted", 4, said(7, theirs4, vrrp.Group4()), "good"},
		{"wanted, first VRID", 4, said(1, theirs4, vrrp.Group4()), "good"},
		{"wanted, last VRID", 4, said(255, theirs4, vrrp.Group4()), "good"},
		{"wanted, with options", 4, withOptions(said(7, theirs4, vrrp.Group4()), 10), "good"},
		{"wanted, to us", 4, said(200, theirs4, mine4), "good"},
		{"wanted, to us, from afar", 4, spoil(said(31, theirs4, mine4), 8, 3), "good"},
		{"wanted, wrong checksum: a matter of the reader", 4, spoil(said(7, theirs4, vrrp.Group4()), 27, 0), "good"},
		{"another VRID", 4, said(8, theirs4, vrrp.Group4()), "bad"},
		{"VRID 0", 4, said(0, theirs4, vrrp.Group4()), "bad"},
		{"another VRID behind options", 4, withOptions(said(8, theirs4, vrrp.Group4()), 3), "bad"},
		{"TTL 254", 4, spoil(said(7, theirs4, vrrp.Group4()), 8, 254), "bad"},
		{"group, but by unicast", 4, said(7, theirs4, mine4), "bad"},
		{"unicast, but by the group", 4, said(200, theirs4, vrrp.Group4()), "bad"},
		{"fragment", 4, spoil(said(7, theirs4, vrrp.Group4()), 6, 0x20), "bad"},
		{"later fragment", 4, spoil(said(7, theirs4, vrrp.Group4()), 7, 1), "bad"},
		{"header too short", 4, spoil(said(7, theirs4, vrrp.Group4()), 0, 0x44), "bad"},
		{"header longer than the packet", 4, spoil(said(7, theirs4, vrrp.Group4()), 0, 0x4f), "bad"},
		{"cut in the message", 4, said(7, theirs4, vrrp.Group4())[:21], "bad"},
		{"cut in the header", 4, said(7, theirs4, vrrp.Group4())[:19], "bad"},
		{"another protocol", 4, spoil(said(7, theirs4, vrrp.Group4()), 9, 113), "none"},
		{"sealed", 4, sealed(7, theirs4, vrrp.Group4()), "good"},
		{"sealed, with options", 4, withOptions(sealed(7, theirs4, vrrp.Group4()), 10), "good"},
		{"sealed, to us, from afar", 4, spoil(sealed(31, theirs4, mine4), 8, 3), "good"},
		{"sealed wrongly: a matter of the reader", 4, spoil(sealed(7, theirs4, vrrp.Group4()), 33, 0), "good"},
		{"sealed, another VRID", 4, sealed(8, theirs4, vrrp.Group4()), "bad"},
		{"sealed, another VRID behind options", 4, withOptions(sealed(8, theirs4, vrrp.Group4()), 3), "bad"},
		{"sealed, TTL 254", 4, spoil(sealed(7, theirs4, vrrp.Group4()), 8, 254), "bad"},
		{"sealed, group, but by unicast", 4, sealed(7, theirs4, mine4), "bad"},
		{"sealed at another length", 4, spoil(sealed(7, theirs4, vrrp.Group4()), 21, 5), "bad"},
		{"sealed, cut in the message", 4, sealed(7, theirs4, vrrp.Group4())[:45], "bad"},
		{"sealed, cut in the seal", 4, sealed(7, theirs4, vrrp.Group4())[:30], "bad"},
		{"sealed, cut before what it seals", 4, sealed(7, theirs4, vrrp.Group4())[:20], "none"},
		{"sealed, a fragment", 4, spoil(sealed(7, theirs4, vrrp.Group4()), 6, 0x20), "none"},
		{"sealed, another protocol", 4, spoil(sealed(7, theirs4, vrrp.Group4()), 20, 6), "none"},
		{"cut before the protocol", 4, said(7, theirs4, vrrp.Group4())[:9], "none"},

		{"wanted", 6, said(7, theirs6, vrrp.Group6()), "good"},
		{"wanted, to us", 6, said(200, theirs6, mine6), "good"},
		{"wanted, hop by hop", 6, behind(said(7, theirs6, vrrp.Group6()), 0), "good"},
		{"wanted, all the options there are", 6, behind(said(7, theirs6, vrrp.Group6()), 0, 60, 60, 60), "good"},
		{"another VRID behind options", 6, behind(said(8, theirs6, vrrp.Group6()), 0, 60), "bad"},
		{"another VRID", 6, said(8, theirs6, vrrp.Group6()), "bad"},
		{"hop limit 254", 6, spoil(said(7, theirs6, vrrp.Group6()), 7, 254), "bad"},
		{"group, but by unicast", 6, said(7, theirs6, mine6), "bad"},
		{"another group", 6, spoil(said(7, theirs6, vrrp.Group6()), 39, 0x13), "bad"},
		{"another group, in the middle", 6, spoil(said(7, theirs6, vrrp.Group6()), 30, 1), "bad"},
		{"fragment", 6, behind(said(7, theirs6, vrrp.Group6()), 44), "bad"},
		{"fragment behind options", 6, behind(said(7, theirs6, vrrp.Group6()), 0, 44), "bad"},
		{"options beyond the packet", 6, spoil(behind(said(7, theirs6, vrrp.Group6()), 0), 41, 200), "bad"},
		{"cut in the message", 6, said(7, theirs6, vrrp.Group6())[:41], "bad"},
		{"routed", 6, behind(said(7, theirs6, vrrp.Group6()), 43), "none"},
		{"too many options", 6, behind(said(7, theirs6, vrrp.Group6()), 60, 60, 60, 60, 60), "none"},
		{"another protocol", 6, spoil(said(7, theirs6, vrrp.Group6()), 6, 113), "none"},
		{"another protocol behind options", 6, spoil(behind(said(7, theirs6, vrrp.Group6()), 0), 40, 113), "none"},
	} {
		a := ports[row.family]
		_, dst := Group(row.family)
		d, _ := vrrp.ParseDatagram(row.packet)
		if d.Dst == mine4 || d.Dst == mine6 {
			dst = a.MAC
		}
		mark := said(255, theirs4, vrrp.Group4())
		if row.family == 6 {
			mark = said(255, theirs6, vrrp.Group6())
		}
		mark = spoil(mark, 1, 0x10) // another traffic class
		if got := k.route(a, dst, row.packet, mark); got != row.want {
			t.Errorf("IPv%d %s: want %s, got %s", row.family, row.name, row.want, got)
		}
	}
}

// TestFilterKeepsAwayNothingThatCounts sends adverts with every kind of damage: what
// a router of ours would accept comes through, what is kept away would have been
// dropped, and each packet of VRRP is in one of the two sockets.
func TestFilterKeepsAwayNothingThatCounts(t *testing.T) {
	inNamespace(t)
	veth(t, "a", "b")
	k := newInjector(t, "b")
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("TEST_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("TEST_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	count := map[string]int{}
	for _, family := range []uint8{4, 6} {
		a := open(t, "a", family)
		var w Wanted
		var group, single []uint8
		for range 40 {
			id := uint8(rng.IntN(256))
			if rng.IntN(2) == 0 {
				w.Group.Add(id)
				group = append(group, id)
			} else if !slices.Contains(group, id) {
				w.Single.Add(id)
				single = append(single, id)
			}
		}
		single = slices.DeleteFunc(single, func(id uint8) bool { return slices.Contains(group, id) })
		w.Single = VRIDs{}
		for _, id := range single {
			w.Single.Add(id)
		}
		if err := a.Want(w); err != nil {
			t.Fatal(err)
		}
		mine, theirs, all := mine4, theirs4, vrrp.Group4()
		if family == 6 {
			mine, theirs, all = mine6, theirs6, vrrp.Group6()
		}
		mark := said(group[0], theirs, all)
		mark[1] ^= 0x10
		for range 1500 {
			id := uint8(rng.IntN(256))
			if rng.IntN(3) > 0 {
				id = append(group, single...)[rng.IntN(len(group)+len(single))]
			}
			to := all
			if rng.IntN(3) == 0 {
				to = mine
			}
			p := said(id, theirs, to)
			if family == 4 && rng.IntN(3) == 0 {
				p = sealed(id, theirs, to)
			}
			for rng.IntN(2) == 0 {
				switch {
				case rng.IntN(4) == 0:
					p = p[:rng.IntN(len(p)+1)]
				case family == 6 && rng.IntN(3) == 0 && len(p) > 40:
					p = behind(p, []byte{0, 60, 44, 43}[rng.IntN(4)])
				case family == 4 && rng.IntN(3) == 0 && len(p) > 20 && p[0] == 0x45:
					p = withOptions(p, rng.IntN(11))
				case len(p) > 0:
					at := rng.IntN(min(len(p), 48))
					p[at] ^= 1 << rng.IntN(8)
				}
				if len(p) == 0 || p[0]>>4 != family { // it is what makes the frame's type
					break
				}
			}
			if len(p) == 0 || p[0]>>4 != family || bytes.Equal(p, mark) {
				continue
			}
			dst := a.MAC
			if rng.IntN(2) == 0 {
				_, dst = Group(family)
			}
			got := k.route(a, dst, p, mark)
			accepted := accepts(p, group, single, mine)
			isVRRP := looksLikeVRRP(p)
			count[got]++
			if accepted {
				count["accepted"]++
			}
			switch {
			case accepted && got != "good":
				t.Errorf("an advert that counts is %s: % x", got, p)
			case isVRRP != (got != "none"):
				t.Errorf("VRRP %v, and it is %s: % x", isVRRP, got, p)
			}
		}
	}
	t.Logf("%v", count)
	for _, what := range []string{"good", "bad", "none", "accepted"} {
		if count[what] < 20 {
			t.Errorf("%d packets are %s: too few to prove anything", count[what], what)
		}
	}
}

// accepts tells whether one of the routers would use the advert.
func accepts(p []byte, group, single []uint8, mine netip.Addr) bool {
	d, reason := vrrp.ParseDatagram(p)
	if reason != vrrp.ReasonNone || len(d.Payload) < 2 {
		return false
	}
	var a vrrp.Advert
	switch id := d.Payload[1]; {
	case slices.Contains(group, id):
		reason = vrrp.ParseAdvert(d, &a)
	case slices.Contains(single, id):
		reason = vrrp.ParseAdvertTo(d, &a, &vrrp.Unicast{Own: mine, Peers: []vrrp.Peer{{Address: d.Src, Routed: true}}})
	default:
		return false
	}
	return reason == vrrp.ReasonNone
}

// looksLikeVRRP says whether the filter can tell that it is: written down anew, and
// without bounds but the packet's.
func looksLikeVRRP(p []byte) bool {
	if p[0]>>4 == 4 {
		if len(p) < 10 || p[9] != 51 {
			return len(p) > 9 && p[9] == 112
		}
		at := 4 * int(p[0]&15)
		return p[6]&0x3f == 0 && p[7] == 0 && at >= 20 && len(p) > at+1 && p[at] == 112
	}
	if len(p) < 7 {
		return false
	}
	next, at := p[6], 40
	for range 4 {
		if next == 44 {
			return at < len(p) && p[at] == 112
		}
		if next != 0 && next != 60 {
			break
		}
		if at+1 >= len(p) {
			return false
		}
		next, at = p[at], at+8+8*int(p[at+1])
	}
	return next == 112
}

// A new filter is in place without a packet lost in between.
func TestFilterIsReplacedWithoutAGap(t *testing.T) {
	inNamespace(t)
	veth(t, "a", "b")
	k := newInjector(t, "b")
	a := open(t, "a", 4)
	var both, one Wanted
	one.Group.Add(7)
	both.Group.Add(7)
	both.Group.Add(8)
	_, group := Group(4)
	packet := said(7, theirs4, vrrp.Group4())
	stop, done := make(chan bool), make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				done <- n
				return
			default:
				f := append(append(append([]byte{}, group[:]...), 2, 0, 0, 0, 0, 9, 8, 0), packet...)
				if unix.Sendto(k.fd, f, 0, &k.to) == nil {
					n++
				}
				runtime.Gosched()
			}
		}
	}()
	heard := 0
	for i := range 1000 {
		w := one
		if i%2 == 1 {
			w = both
		}
		if err := a.Want(w); err != nil {
			t.Fatal(err)
		}
		heard += len(drain(a))
	}
	stop <- true
	sent := <-done
	eventually(t, a.FD(), "everything", func() bool { heard += len(drain(a)); return heard+int(a.Lost()) == sent })
	var f Frame
	if a.Refused(&f) {
		t.Error("something was refused")
	}
	if sent < 100 || heard < sent/2 {
		t.Errorf("%d packets only, %d of them heard", sent, heard)
	}
}

// In a flood of what nobody wants the port hears the peer, a few of the others,
// and how many there were; to the packet.
func TestFloodIsSampled(t *testing.T) {
	inNamespace(t)
	veth(t, "a", "b")
	k := newInjector(t, "b")
	a := open(t, "a", 4)
	var w Wanted
	w.Group.Add(7)
	if err := a.Want(w); err != nil {
		t.Fatal(err)
	}
	_, group := Group(4)
	stranger, peer := said(8, theirs4, vrrp.Group4()), said(7, theirs4, vrrp.Group4())
	const strangers, every = 20000, 100
	heard, seen := 0, 0
	var unseen uint64
	var f Frame
	look := func() {
		for n := 0; n < 64 && a.Refused(&f); n++ {
			seen++
		}
		unseen += a.RefusedUnseen()
	}
	for i := range strangers {
		k.send(group, stranger)
		if i%every == 0 {
			k.send(group, peer)
			heard += len(drain(a))
		}
		if i%2000 == 0 {
			look()
		}
	}
	for range 20 {
		look()
	}
	eventually(t, a.FD(), "the peer", func() bool { heard += len(drain(a)); return heard == strangers/every })
	if n := uint64(seen) + unseen; n != strangers {
		t.Errorf("%d seen and %d not: want %d", seen, unseen, strangers)
	}
	if seen > 30*64 || unseen < strangers/2 {
		t.Errorf("%d were looked at", seen)
	}
	// A thin sample is taken all along, at random.
	a.Sample(7)
	seen, unseen = 0, 0
	other := said(9, theirs4, vrrp.Group4())
	others := 0
	for i := range strangers {
		p := stranger
		if i%4 == 3 { // one in four, and in step
			p = other
		}
		k.send(group, p)
		for a.Refused(&f) {
			if seen++; f.Packet[21] == 9 {
				others++
			}
		}
	}
	unseen += a.RefusedUnseen()
	if n := (uint64(seen) + unseen) << a.Sampled(); n < strangers*6/10 || n > strangers*15/10 {
		t.Errorf("by the sample there were %d of %d", n, strangers)
	}
	if others < seen/8 || others > seen/2 {
		t.Errorf("%d of %d in the sample, want a quarter", others, seen)
	}
	if n := testing.AllocsPerRun(10, func() { a.Refused(&f); a.RefusedUnseen(); a.Sample(a.Sampled() ^ 1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
