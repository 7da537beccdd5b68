package daemon

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/mdlayher/ethernet"
	"golang.org/x/sys/unix"

	"understudy/appliance"
	"understudy/appliance/config"
	"understudy/appliance/identity"
	"understudy/appliance/kernel"
	"understudy/appliance/lab"
	"understudy/appliance/lab/capture"
	"understudy/garp"
	"understudy/garp/garpnet"
	"understudy/nat"
	"understudy/nat/nft"
	"understudy/vrrp"
	"understudy/vrrp/election"
	"understudy/vrrp/vrrpnet"
)

// What a box with a virtual MAC does on the wire, by the edges that the daemon
// joins, without the daemon: each can be set as no daemon would.
//
//	host 10.0.0.10 ── LAN ── gw1 (10.0.0.2), gw2 (10.0.0.3) ── WAN ── server 203.0.113.254
type wire struct {
	t        *testing.T
	net      *lab.T
	lan, wan *lab.Segment
	host     *lab.Node
	gw       [2]*box
}

// box is one gateway's kernel.
type box struct {
	*lab.Node
	t         *testing.T
	addresses *kernel.Applier
	table     *nft.Applier
	identity  identity.Identity
}

var (
	wireVIP    = netip.MustParseAddr("10.0.0.1")
	wireHost   = netip.MustParseAddr("10.0.0.10")
	wireServer = netip.MustParseAddr("203.0.113.254")
	lanDevice  = identity.NewDevice("lan0", 51, 4)
)

func newWire(t *testing.T, more string) *wire {
	t.Helper()
	cfg, err := config.Parse("f", []byte(`node = "gw1"
[[router]]
name = "lan"
interface = "lan0"
vrid = 51
addresses = ["10.0.0.1/24"]
mac = "virtual"
`+more), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := nat.New(cfg.NAT())
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{t: t, net: lab.NewT(t)}
	w.lan, w.wan = w.net.Segment("lan"), w.net.Segment("wan")
	w.host = w.net.Node("host")
	w.net.Join(w.host, w.lan, "eth0", "10.0.0.10/24")
	server := w.net.Node("server")
	w.net.Join(server, w.wan, "eth0", "203.0.113.254/24")
	for i := range w.gw {
		b := &box{Node: w.net.Node(fmt.Sprintf("gw%d", i+1)), t: t}
		for _, g := range cfg.Groups {
			b.identity = identity.Union(b.identity, cfg.Identity(g.Name))
		}
		if err := b.Sysctl("ipv6/conf/default/accept_dad", "0"); err != nil { // link-local addresses are there at once
			t.Fatal(err)
		}
		w.net.Join(b.Node, w.lan, "lan0", fmt.Sprintf("10.0.0.%d/24", i+2))
		w.net.Join(b.Node, w.wan, "wan0", fmt.Sprintf("203.0.113.%d/24", i+2))
		b.do(func() (err error) {
			if err := kernel.NewSysctls(t.TempDir()).Apply(settings(cfg)); err != nil {
				return err
			}
			if b.table, err = nft.Open(nft.Config{}); err != nil {
				return err
			}
			if _, err := b.table.Apply(plan); err != nil {
				return err
			}
			if b.addresses, err = kernel.Open(); err != nil {
				return err
			}
			return b.addresses.Prepare(cfg.Devices())
		})
		t.Cleanup(func() { b.addresses.Close(); b.table.Close() })
		w.gw[i] = b
	}
	return w
}

func (b *box) do(fn func() error) {
	b.t.Helper()
	if err := b.Do(fn); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) gated(string) ([]netip.Addr, []string) {
	return b.identity.Gated(), gatedDevices(b.identity)
}

// set makes the box be as it is told: the gate, and what it holds.
func (b *box) set(open bool, want identity.Identity) {
	b.t.Helper()
	b.do(func() error {
		gate := b.table.CloseGate
		if open {
			gate = b.table.OpenGate
		}
		if err := gate(b.identity.Gated(), gatedDevices(b.identity)...); err != nil {
			return err
		}
		if _, err := b.addresses.Apply(want); err != nil {
			return err
		}
		for {
			if more, err := b.addresses.Settle(); err != nil || !more {
				return err
			}
		}
	})
}

func (b *box) activate() { b.t.Helper(); b.set(true, b.identity) }
func (b *box) standBy()  { b.t.Helper(); b.set(false, identity.Identity{}) }

// fence is what the election would do in the daemon's place.
func (b *box) fence() (fence election.Fence) {
	b.t.Helper()
	b.do(func() error {
		f := fences{addresses: b.addresses, gated: b.gated, log: slog.New(slog.DiscardHandler)}
		fence = f.prepare(appliance.GroupConfig{Name: "lan", Identity: b.identity})
		return nil
	})
	return fence
}

// run does what was prepared as the election would: with sockets of its own.
func (b *box) run(what string, batches []election.NetlinkBatch) {
	b.t.Helper()
	if len(batches) == 0 {
		b.t.Fatalf("%s: nothing prepared", what)
	}
	b.do(func() error {
		x, err := election.NewExecutor()
		if err != nil {
			return err
		}
		defer x.Close()
		return x.Run(batches).Err
	})
}

// held reads back which parts of the identity the kernel has.
func (b *box) held() (id identity.Identity) {
	b.t.Helper()
	b.do(func() (err error) { id, err = b.addresses.Held(); return err })
	return id
}

// send puts frames on the LAN from the host, in order.
func (w *wire) send(frames ...[]byte) {
	w.t.Helper()
	err := w.host.Do(func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for _, f := range frames {
			if err := unix.Sendto(fd, f, 0, &unix.SockaddrLinklayer{Ifindex: ifi.Index}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *wire) frame(to garp.MAC, typ ethernet.EtherType, payload []byte) []byte {
	src := w.host.Link("eth0").MAC
	b, err := (&ethernet.Frame{Destination: to[:], Source: src, EtherType: typ, Payload: payload}).MarshalBinary()
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// udp is a datagram of the host's.
func (w *wire) udp(mac garp.MAC, to netip.Addr, port uint16) []byte {
	b := make([]byte, 28)
	b[0], b[3], b[8], b[9] = 0x45, 28, 64, unix.IPPROTO_UDP
	copy(b[12:], wireHost.AsSlice())
	copy(b[16:], to.AsSlice())
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum>>16+sum&0xffff))
	binary.BigEndian.PutUint16(b[20:], 4000)
	binary.BigEndian.PutUint16(b[22:], port)
	b[25] = 8
	return w.frame(mac, ethernet.EtherTypeIPv4, b)
}

// whoHas is the host's question for an address.
func (w *wire) whoHas(a netip.Addr) []byte {
	own := garp.MAC(w.host.Link("eth0").MAC)
	return w.frame(garp.Broadcast, ethernet.EtherTypeARP,
		garp.AppendARP(nil, garp.ARP{Op: garp.OpRequest, SenderMAC: own, Sender: wireHost, Target: a}))
}

// heard records what the gateways send.
func (w *wire) heard(seg *lab.Segment) *capture.Capture {
	w.t.Helper()
	c, err := capture.Start(seg, capture.Options{Keep: func(f capture.Frame) bool { return f.From == "gw1" || f.From == "gw2" }})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Stop() })
	return c
}

// soon is how long what has to come is waited for.
const soon = 30 * time.Second

// until waits for a frame and returns those of the same kind up to it.
func until(t *testing.T, c *capture.Capture, what string, last func(capture.Packet) bool) (seen []capture.Packet) {
	t.Helper()
	for deadline := time.Now().Add(soon); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		seen = nil
		for _, f := range c.Frames() {
			p := capture.Decode(f.Data)
			seen = append(seen, p)
			if last(p) {
				return seen
			}
		}
	}
	t.Fatalf("no %s, only %v", what, seen)
	return nil
}

// forwarded tells whether what the host sends to the virtual MAC comes out at the
// other side of gw1. What it sends to gw1's own MAC afterwards always does.
func (w *wire) forwarded(port uint16) bool {
	w.t.Helper()
	c := w.heard(w.wan)
	defer c.Stop()
	virtual, own := garp.MAC(lanDevice.MAC), garp.MAC(w.gw[0].Link("lan0").MAC)
	w.send(w.udp(virtual, wireServer, port), w.udp(own, wireServer, 9))
	seen := until(w.t, c, "second datagram", func(p capture.Packet) bool { return p.DstPort == 9 })
	return slices.ContainsFunc(seen, func(p capture.Packet) bool { return p.DstPort == port })
}

// RFC 9568 6.4.2 and 6.4.3: the Active forwards what is sent to the virtual MAC, a
// Backup must not. A macvlan that is up does, without any address on it: either
// being down or the gate alone keeps the box quiet. The last row is what shows
// that this test could see it.
func TestS6_4_2_BackupDoesNotForwardFramesToTheVirtualMAC(t *testing.T) {
	w := newWire(t, "")
	b := w.gw[0]
	bare := identity.Identity{}.With(lanDevice)
	for i, c := range []struct {
		name string
		open bool
		hold identity.Identity
		want bool
	}{
		{"Backup: gate shut, device down", false, identity.Identity{}, false},
		{"gate shut, device still up", false, bare, false},
		{"gate shut, device and address still there", false, b.identity, false},
		{"gate open, device down", true, identity.Identity{}, false},
		{"Active", true, b.identity, true},
		{"Backup again", false, identity.Identity{}, false},
		{"gate open, device up, no address", true, bare, true},
	} {
		b.set(c.open, c.hold)
		if got := w.forwarded(7000 + uint16(i)); got != c.want {
			t.Errorf("%s: forwarded %v, want %v", c.name, got, c.want)
		}
	}
}

// RFC 9568 6.4.2, 6.4.3, 8.1.2: who is asked for an address, and with which MAC he
// answers. Every question gets at most one answer.
func TestS8_1_2_AnswersToARP(t *testing.T) {
	w := newWire(t, "")
	a, b := w.gw[0], w.gw[1]
	virtual := net.HardwareAddr(lanDevice.MAC[:]).String()
	own := a.Link("lan0").MAC.String()
	ask := func(when string, to netip.Addr, want ...string) {
		t.Helper()
		c := w.heard(w.lan)
		defer c.Stop()
		isAnswer := func(p capture.Packet) bool { return p.Kind == capture.ARP && p.Op == 2 && p.Src == to }
		w.send(w.whoHas(to))
		if len(want) > 0 {
			until(t, c, "answer", isAnswer)
		}
		// Broadcasts to a device pass through a queue: time for a second answer.
		// Then gw2's own address is asked for, which ends the wait.
		time.Sleep(20 * time.Millisecond)
		w.send(w.whoHas(netip.MustParseAddr("10.0.0.3")))
		var got []string
		for _, p := range until(t, c, "answer of gw2", func(p capture.Packet) bool { return p.Op == 2 && p.Src.String() == "10.0.0.3" }) {
			if isAnswer(p) {
				got = append(got, p.Hardware.String())
				if p.SrcMAC.String() != p.Hardware.String() {
					t.Errorf("%s: the answer %v comes from %v", when, p, p.SrcMAC)
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v answered by %v, want %v", when, to, got, want)
		}
	}
	a.standBy()
	b.standBy()
	ask("two Backups", wireVIP)
	a.activate()
	ask("gw1 Active", wireVIP, virtual)
	ask("gw1 Active, its own address", netip.MustParseAddr("10.0.0.2"), own)
	a.standBy()
	b.activate()
	ask("gw2 Active", wireVIP, virtual)
}

// RFC 9568 7.4, 8.1.2: the announcement is the virtual MAC's in every field, and
// nothing else is said by bringing the device up.
func TestS6_4_2_AnnouncementCarriesTheVirtualMAC(t *testing.T) {
	w := newWire(t, "")
	c := w.heard(w.lan)
	b := w.gw[0]
	b.activate()
	b.do(func() error {
		s, err := garpnet.New()
		if err != nil {
			return err
		}
		defer s.Close()
		_, err = s.SendAll([]garp.Claim{{Interface: lanDevice.Name, Addr: wireVIP}})
		return err
	})
	until(t, c, "announcement", func(p capture.Packet) bool { return p.Announces(wireVIP) })
	for _, f := range c.Frames() {
		switch p := capture.Decode(f.Data); {
		case p.Announces(wireVIP):
			arp, r := garp.ParseARP(f.Data[14:])
			want := garp.MAC(lanDevice.MAC)
			if r != garp.ReasonNone || garp.MAC(p.SrcMAC) != want || arp.SenderMAC != want || arp.TargetMAC != want || arp.Op != garp.OpRequest {
				t.Errorf("announced as %+v from %v", arp, p.SrcMAC)
			}
		case garp.MAC(p.SrcMAC) == garp.MAC(lanDevice.MAC):
			t.Errorf("sent in the name of the virtual MAC: %v", p)
		}
	}
}

// Two Actives with one virtual MAC must hear each other, or a split never heals:
// the frame's source is the receiver's own device, which is up.
func TestTwoActivesWithOneVirtualMACHearEachOther(t *testing.T) {
	w := newWire(t, "")
	var ports [2]*vrrpnet.Port
	for i, b := range w.gw {
		b.activate()
		b.do(func() (err error) {
			ports[i], err = vrrpnet.OpenPort("lan0", 0, 4)
			return err
		})
		t.Cleanup(ports[i].Close)
	}
	set, err := vrrp.NewSet(vrrp.SetConfig{Node: "x", Routers: []vrrp.RouterConfig{{
		Name: "lan", Interface: "lan0", VRID: 51, Priority: 100, Addresses: []netip.Addr{wireVIP}}}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	set.Step(now, vrrp.SetInput{Kind: vrrp.InLink, Interface: "lan0", Up: true, Primary: netip.MustParseAddr("10.0.0.2")})
	packet := set.AppendPacket(nil, vrrp.Op{Kind: vrrp.OpSend, Priority: 100})
	for i, from := range ports {
		to := ports[1-i]
		heard := 0
		for n := range 5 {
			if err := from.Send(lanDevice.MAC, packet); err != nil {
				t.Fatal(err)
			}
			var f vrrpnet.Frame
			for deadline := time.Now().Add(soon); heard <= n && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
				ok, err := to.Receive(time.Now(), &f)
				if err != nil {
					t.Fatal(err)
				}
				if ok && f.Source == lanDevice.MAC {
					heard++
				}
			}
		}
		if heard != 5 {
			t.Errorf("gw%d: heard %d of 5 adverts", 2-i, heard)
		}
	}
}

// RFC 9568 8.1.1: a host is sent to a better router by nobody: the redirect would
// come from an address that it has not used.
func TestS8_1_1_NoRedirectFromTheVirtualMAC(t *testing.T) {
	w := newWire(t, "")
	b := w.gw[0]
	b.activate()
	c := w.heard(w.lan)
	better := netip.MustParseAddr("10.0.0.3") // on the same link
	for port := range uint16(3) {
		w.send(w.udp(garp.MAC(lanDevice.MAC), better, 7000+port))
		until(t, c, "forwarded datagram", func(p capture.Packet) bool { return p.DstPort == 7000+port })
	}
	for _, f := range c.Frames() {
		if p := capture.Decode(f.Data); p.Kind == capture.ICMP && p.Type == 5 {
			t.Errorf("redirected: %v", f)
		}
	}
}

// RFC 9568 6.1, V24 and V42: with accept = false the Active resolves its address
// and does not answer otherwise.
func TestS6_4_3_AcceptModeFalse(t *testing.T) {
	for _, accept := range []bool{true, false} {
		w := newWire(t, fmt.Sprintf("accept = %v\n", accept))
		b := w.gw[0]
		b.activate()
		c := w.heard(w.lan)
		// A datagram to a port that nobody serves draws an unreachable.
		w.send(w.udp(garp.MAC(lanDevice.MAC), wireVIP, 7000))
		unreachable := func(p capture.Packet) bool { return p.Kind == capture.ICMP && p.Type == 3 }
		if accept {
			until(t, c, "unreachable", unreachable)
			continue
		}
		time.Sleep(20 * time.Millisecond) // an answer would need a neighbour first
		w.send(w.whoHas(wireVIP))
		seen := until(t, c, "answer to ARP", func(p capture.Packet) bool { return p.Kind == capture.ARP && p.Op == 2 && p.Src == wireVIP })
		if slices.ContainsFunc(seen, unreachable) {
			t.Errorf("answered: %v", seen)
		}
		var counters nft.Counters
		b.do(func() (err error) { counters, err = b.table.Counters(); return err })
		if counters.Refused != 1 {
			t.Errorf("%d refused", counters.Refused)
		}
	}
}

// The fence of a group with a device: what is prepared takes all of it out of
// service, in its order, though nobody of this process does anything any more.
func TestFenceOfADevice(t *testing.T) {
	w := newWire(t, "")
	b := w.gw[0]
	b.activate()
	if !w.forwarded(7000) {
		t.Fatal("the Active does not forward")
	}
	fence := b.fence()
	b.run("gate", fence.GateClose)
	if w.forwarded(7001) {
		t.Error("gate shut: forwarded")
	}
	b.run("addresses", fence.Remove)
	if id := b.held(); len(id.Addresses) != 0 || len(id.Devices) != 1 {
		t.Errorf("addresses removed: holds %v", id)
	}
	b.run("devices", fence.Lower)
	if id := b.held(); len(id.Devices) != 0 {
		t.Errorf("devices down: holds %v", id)
	}
}
