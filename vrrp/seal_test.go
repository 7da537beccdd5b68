package vrrp_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"understudy/vrrp"
)

// sealedPacket is a line of testdata/sealed.txt.
type sealedPacket struct {
	sequence uint32
	priority uint8
	peer     bool
	packet   []byte
}

func sealedByKeepalived(t testing.TB) (all []sealedPacket) {
	t.Helper()
	text, err := os.ReadFile("testdata/sealed.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if f[0] != "#" {
			all = append(all, sealedPacket{uint32(number(t, f[0])), number(t, f[1]), f[2] != "224.0.0.18", unhex(t, f[3])})
		}
	}
	if len(all) < 4 {
		t.Fatalf("%d packets", len(all))
	}
	return all
}

var keepalivedKey = [8]byte{'s', '3', 'c', 'r', '3', 't'}

func sealedConfig(peer bool) *vrrp.Expect {
	e := &vrrp.Expect{Version: 2, VRID: 51, AuthType: vrrp.AuthHeader, Auth: keepalivedKey, Interval: time.Second,
		Addresses: []netip.Addr{netip.MustParseAddr("10.0.1.6"), netip.MustParseAddr("10.0.1.7")}}
	if peer {
		e.Unicast.Peers = []vrrp.Peer{{Address: netip.MustParseAddr("10.0.1.2"), Routed: true}}
	}
	return e
}

// What keepalived has sealed is taken, and not one octet of it may be another, but for those that may change on the way. Its
// own header's length and addresses decide what is looked at, so those are refused for that.
func TestSealedByKeepalived(t *testing.T) {
	for _, v := range sealedByKeepalived(t) {
		packet, e := v.packet, sealedConfig(v.peer)
		var a vrrp.Advert
		d, reason := vrrp.ParseDatagram(packet)
		if reason == vrrp.ReasonNone {
			reason = vrrp.ParseExpected(d, &a, e)
		}
		if reason != vrrp.ReasonNone || a.Sequence != v.sequence || a.Priority != v.priority || a.AuthType != vrrp.AuthHeader {
			t.Fatalf("%d: %v: %+v", v.sequence, reason, a)
		}
		changes := map[int]bool{1: true, 6: false, 10: true, 11: true, 8: v.peer} // 6 and 7 as well, but a fragment is none
		for i := range packet {
			bad := slices.Clone(packet)
			bad[i] ^= 0x10
			d, reason := vrrp.ParseDatagram(bad)
			if reason == vrrp.ReasonNone {
				reason = vrrp.ParseExpected(d, &a, e)
			}
			if (reason == vrrp.ReasonNone) != changes[i] {
				t.Errorf("%d, octet %d: %v", v.sequence, i, reason)
			}
		}
		e.Auth[7] = 1
		if got := vrrp.ParseExpected(d, &a, e); got != vrrp.ReasonICV {
			t.Errorf("another key: %v", got)
		}
		e.AuthType = vrrp.AuthNone
		if got := vrrp.ParseExpected(d, &a, e); got != vrrp.ReasonAuth {
			t.Errorf("not wanted: %v", got)
		}
	}
}

// librarySeal is the check value by the library.
func librarySeal(packet []byte, key [8]byte, single bool) []byte {
	p := slices.Clone(packet)
	p[1], p[6], p[7], p[10], p[11] = 0, 0, 0, 0, 0
	if single {
		p[8] = 0
	}
	clear(p[32:44])
	h := hmac.New(md5.New, key[:])
	h.Write(p)
	return h.Sum(nil)[:12]
}

func sealedAdvert(sequence uint32) *vrrp.Advert {
	return &vrrp.Advert{Version: 2, VRID: 51, Priority: 120, Interval: time.Second, AuthType: vrrp.AuthHeader, Key: keepalivedKey, Sequence: sequence}
}

// What we seal is what the library would, is read back, and does not hold the key.
func TestSeal(t *testing.T) {
	src := netip.MustParseAddr("10.0.1.2")
	for _, dst := range []string{"224.0.0.18", "224.0.0.99", "10.0.1.3"} {
		for _, n := range []int{1, 2, 255} {
			addresses := make([]netip.Addr, n)
			for i := range addresses {
				addresses[i] = netip.AddrFrom4([4]byte{10, 0, 1, byte(i)})
			}
			to := netip.MustParseAddr(dst)
			b := vrrp.AppendPacketTo([]byte("before"), sealedAdvert(0x01020304), addresses, src, to)
			packet := b[len("before"):]
			if string(b[:6]) != "before" || !slices.Equal(packet[32:44], librarySeal(packet, keepalivedKey, !to.IsMulticast())) {
				t.Fatalf("%s, %d: % x", dst, n, b)
			}
			if bytes.Contains(packet, keepalivedKey[:6]) {
				t.Fatalf("the key is in % x", packet)
			}
			e := sealedConfig(false)
			e.Addresses, e.Unicast.Group = addresses, to
			if !to.IsMulticast() {
				e.Unicast = vrrp.Unicast{Peers: []vrrp.Peer{{Address: src, Routed: true}}}
				packet[8] = 3 // as after some hops
			}
			var a vrrp.Advert
			d, reason := vrrp.ParseDatagram(append(packet, 0, 0, 0)) // and padding
			if reason == vrrp.ReasonNone {
				reason = vrrp.ParseExpected(d, &a, e)
			}
			if reason != vrrp.ReasonNone || a.Sequence != 0x01020304 || !a.Lists(addresses) {
				t.Errorf("%s, %d: %v", dst, n, reason)
			}
			plain := sealedAdvert(0)
			plain.AuthType, plain.Auth = vrrp.AuthSimple, keepalivedKey
			d, _ = vrrp.ParseDatagram(vrrp.AppendPacketTo(nil, plain, addresses, src, to))
			if got := vrrp.ParseExpected(d, &a, e); got != vrrp.ReasonAuth {
				t.Errorf("a password: %v", got)
			}
		}
	}
}

// Cut, of another length, for another protocol, and with an index that is not the sender's.
func TestSealedOtherwise(t *testing.T) {
	good := sealedByKeepalived(t)[0].packet
	e := sealedConfig(false)
	for name, tt := range map[string]struct {
		change func(p []byte) []byte
		want   vrrp.Reason
	}{
		"cut": {func(p []byte) []byte {
			binary.BigEndian.PutUint16(p[2:], 43)
			return p
		}, vrrp.ReasonTruncated},
		"nothing behind it": {func(p []byte) []byte {
			binary.BigEndian.PutUint16(p[2:], 44)
			return p
		}, vrrp.ReasonTruncated},
		"longer":           {func(p []byte) []byte { p[21] = 5; return p }, vrrp.ReasonTruncated},
		"another protocol": {func(p []byte) []byte { p[20] = 6; return p }, vrrp.ReasonType},
		"index": {func(p []byte) []byte {
			p[27]++
			copy(p[32:], librarySeal(p, keepalivedKey, false))
			return p
		}, vrrp.ReasonICV},
		"the type of another": {func(p []byte) []byte {
			p[48] = vrrp.AuthSimple
			p[50]++ // the checksum with it
			copy(p[32:], librarySeal(p, keepalivedKey, false))
			return p
		}, vrrp.ReasonAuth},
		"its type, and no header": {func(p []byte) []byte {
			p = slices.Delete(p, 20, 44)
			p[3], p[9] = byte(len(p)), 112
			return p
		}, vrrp.ReasonAuth},
		"TTL": {func(p []byte) []byte {
			p[8] = 254
			copy(p[32:], librarySeal(p, keepalivedKey, false))
			return p
		}, vrrp.ReasonTTL},
	} {
		var a vrrp.Advert
		d, reason := vrrp.ParseDatagram(tt.change(slices.Clone(good)))
		if reason == vrrp.ReasonNone {
			reason = vrrp.ParseExpected(d, &a, e)
		}
		if reason != tt.want {
			t.Errorf("%s: %v, want %v", name, reason, tt.want)
		}
	}
	// Nor does a router without authentication take what is in a header and says that it has none.
	p := slices.Clone(good)
	p[48], p[50] = vrrp.AuthNone, p[50]+2
	e.AuthType = vrrp.AuthNone
	var a vrrp.Advert
	d, _ := vrrp.ParseDatagram(p)
	if got := vrrp.ParseExpected(d, &a, e); got != vrrp.ReasonAuth {
		t.Errorf("for nobody: %v", got)
	}
}

func TestSealAllocations(t *testing.T) {
	addresses := []netip.Addr{netip.MustParseAddr("10.0.1.6"), netip.MustParseAddr("10.0.1.7")}
	src, e := netip.MustParseAddr("10.0.1.2"), sealedConfig(false)
	out, a, in := sealedAdvert(7), new(vrrp.Advert), make([]byte, 0, 1500)
	if n := testing.AllocsPerRun(100, func() {
		in = vrrp.AppendPacket(in[:0], out, addresses, src)
		d, _ := vrrp.ParseDatagram(in)
		if vrrp.ParseExpected(d, a, e) != vrrp.ReasonNone {
			t.Fatal("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzSealed: whatever comes does not panic, and what is taken is sealed as the library would.
func FuzzSealed(f *testing.F) {
	for _, v := range sealedByKeepalived(f) {
		f.Add(v.packet, v.peer)
	}
	f.Fuzz(func(t *testing.T, packet []byte, peer bool) {
		var a vrrp.Advert
		d, reason := vrrp.ParseDatagram(packet)
		if reason != vrrp.ReasonNone {
			return
		}
		if vrrp.ParseExpected(d, &a, sealedConfig(peer)) != vrrp.ReasonNone {
			return
		}
		if packet[0] == 0x45 && !slices.Equal(packet[32:44], librarySeal(d.Sealed, keepalivedKey, peer)) {
			t.Errorf("taken: % x", packet)
		}
	})
}

func sealedGateway(t testing.TB) *gateway {
	cfg := gatewayConfig()
	cfg.Groups, cfg.Routers = nil, cfg.Routers[lan:lan+1]
	r := &cfg.Routers[0]
	r.Version, r.Interval, r.Auth, r.AuthHeader = 2, time.Second, "s3cr3t", true
	return newGateway(t, cfg)
}

// hears gives the gateway an advert of that number, and returns why it was dropped.
func (g *gateway) hears(sequence uint32, priority uint8, src string) (dropped vrrp.Reason) {
	g.t.Helper()
	cfg, from := g.Config().Routers[0], netip.MustParseAddr(src)
	a := vrrp.Advert{Version: 2, VRID: cfg.VRID, Priority: priority, Interval: cfg.Interval, AuthType: vrrp.AuthHeader,
		Key: keepalivedKey, Sequence: sequence}
	var read vrrp.Advert
	d, reason := vrrp.ParseDatagram(vrrp.AppendPacket(nil, &a, cfg.Addresses, from))
	if reason == vrrp.ReasonNone {
		reason = g.Parse(0, d, &read)
	}
	if reason != vrrp.ReasonNone {
		g.t.Fatal(reason)
	}
	for _, op := range g.Step(g.now, vrrp.SetInput{Kind: vrrp.InAdvert, Router: 0, Src: from, Advert: &read, Rx: g.now}).Ops {
		if op.Kind == vrrp.OpDrop {
			return op.Reason
		}
	}
	return vrrp.ReasonNone
}

// sends is the number of the next advert by the timer, as it is on the wire.
func (g *gateway) sends() uint32 {
	g.t.Helper()
	for range 3 {
		g.now = g.Deadline()
		for _, op := range g.Step(g.now, vrrp.SetInput{Kind: vrrp.InTick}).Ops {
			if op.Kind != vrrp.OpSend {
				continue
			}
			var a vrrp.Advert
			d, _ := vrrp.ParseDatagram(g.AppendPacket(nil, op))
			e := sealedConfig(false)
			e.VRID, e.Addresses = g.Config().Routers[0].VRID, g.Config().Routers[0].Addresses
			if r := vrrp.ParseExpected(d, &a, e); r != vrrp.ReasonNone {
				g.t.Fatal(r)
			}
			return a.Sequence
		}
	}
	g.t.Fatal("nothing sent")
	return 0
}

// A number counts once, whoever says it; what was refused for another reason does not use it up; who takes over counts on above
// all that was heard and not below the clock; a router that did not listen for a while takes what it hears.
func TestSequence(t *testing.T) {
	g := sealedGateway(t).start()
	drops := func() uint64 { return g.Snapshot(g.now).Routers[0].Drops["replay"] }
	for i, step := range []struct {
		sequence uint32
		priority uint8
		src      string
		want     vrrp.Reason
	}{
		{5, 200, "10.0.0.3", vrrp.ReasonNone},
		{5, 200, "10.0.0.3", vrrp.ReasonReplay},
		{4, 200, "10.0.0.3", vrrp.ReasonReplay},
		{5, 0, "10.0.0.4", vrrp.ReasonReplay},
		{9, 200, "10.0.0.2", vrrp.ReasonOwn},
		{7, 200, "10.0.0.4", vrrp.ReasonNone},
		{6, 200, "10.0.0.3", vrrp.ReasonReplay},
		{8, 200, "10.0.0.3", vrrp.ReasonNone},
	} {
		if got := g.hears(step.sequence, step.priority, step.src); got != step.want {
			t.Fatalf("step %d: %v, want %v", i, got, step.want)
		}
	}
	if drops() != 4 {
		t.Errorf("%d counted", drops())
	}
	for want, change := range map[vrrp.Reason]func(*vrrp.Advert){
		vrrp.ReasonICV:  func(a *vrrp.Advert) { a.Key[7]++ },
		vrrp.ReasonAuth: func(a *vrrp.Advert) { a.AuthType, a.Auth = vrrp.AuthSimple, a.Key },
	} {
		a := sealedAdvert(100)
		change(a)
		d, _ := vrrp.ParseDatagram(vrrp.AppendPacket(nil, a, g.Config().Routers[0].Addresses, netip.MustParseAddr("10.0.0.3")))
		if got := g.Parse(0, d, new(vrrp.Advert)); got != want {
			t.Errorf("%v, want %v", got, want)
		}
	}
	first := g.sends()
	if unix := g.now.Unix(); int64(first) < unix || first < 9 {
		t.Errorf("it begins with %d at %d", first, unix)
	}
	if next := g.sends(); next <= first {
		t.Errorf("%d after %d", next, first)
	}
	// A worse rival that is ahead is heard, and outdone.
	if got := g.hears(4e9, 1, "10.0.0.3"); got != vrrp.ReasonNone {
		t.Fatal(got)
	}
	if next := g.sends(); next <= 4e9 {
		t.Errorf("%d after 4000000000 was heard", next)
	}
	// Its own numbers are no measure: what a rival has sent meanwhile it has not heard before.
	if got := g.hears(4e9+1, 1, "10.0.0.3"); got != vrrp.ReasonNone {
		t.Errorf("sent at the same time: %v", got)
	}
	name := g.Config().Routers[0].Interface
	g.do(vrrp.SetInput{Kind: vrrp.InLink, Interface: name})
	g.link(name, "10.0.0.2")
	if got := g.hears(3, 200, "10.0.0.3"); got != vrrp.ReasonNone {
		t.Errorf("begun anew while nobody listened: %v", got)
	}
}

func TestSealedConfig(t *testing.T) {
	for name, change := range map[string]func(*vrrp.RouterConfig){
		"no key":    func(r *vrrp.RouterConfig) { r.Auth = "" },
		"version 3": func(r *vrrp.RouterConfig) { r.Version = 3 },
	} {
		cfg := sealedGateway(t).Config()
		change(&cfg.Routers[0])
		if _, err := vrrp.NewSet(cfg); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
