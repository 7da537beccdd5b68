package nft

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/nat"
)

const vmac = "us4-51-lan0"

// deviceLab is a lab whose client sends what is for others to a MAC that is not
// lan0's: a macvlan on it has that one, and is up.
func deviceLab(t *testing.T) *lab {
	t.Helper()
	l := newLab(t)
	mac := net.HardwareAddr{0, 0, 0x5e, 0, 1, 51}
	l.gateway.do(func() error {
		parent, err := netlink.LinkByName("lan0")
		if err != nil {
			return err
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.HardwareAddr, attrs.ParentIndex = vmac, mac, parent.Attrs().Index
		if err := netlink.LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_BRIDGE}); err != nil {
			return err
		}
		dev, err := netlink.LinkByName(vmac)
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(dev)
	})
	l.client.do(func() error {
		eth0, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.NeighSet(&netlink.Neigh{LinkIndex: eth0.Attrs().Index, IP: lanVIP.AsSlice(), HardwareAddr: mac, State: netlink.NUD_PERMANENT})
	})
	return l
}

// deviceConfig maps nothing, so that only gates judge.
func deviceConfig() nat.Config {
	c := config()
	c.Sources, c.Forwards = nil, nil
	c.Devices = []nat.DeviceGate{{Device: vmac, Group: "gateway"}}
	return c
}

// Fact: a macvlan that is up forwards what is sent to its MAC, without any
// address on it. The gate of the device is what keeps a standby out of it.
func TestDeviceGate(t *testing.T) {
	l := deviceLab(t)
	l.apply(deviceConfig())
	seen := l.server.capture()
	transit := func(port uint16) packet {
		return packet{src: inside, dst: outside, proto: unix.IPPROTO_UDP, sport: 1000, dport: port}
	}
	kept := func(when string, port uint16, drops uint64) {
		t.Helper()
		l.client.send(transit(port))
		l.eventually(when+": dropped", func() bool { return l.counters().Gate == drops })
	}
	passes := func(when string, port uint16) {
		t.Helper()
		l.client.send(transit(port))
		before, _ := seen.until("packet", func(p packet) bool { return p.dport == port })
		if slices.ContainsFunc(before, func(p packet) bool { return p.proto == unix.IPPROTO_UDP }) {
			t.Errorf("%s: forwarded before: %v", when, before)
		}
	}
	kept("loaded", 7000, 1)
	l.must(l.a.OpenGate(allOfGroup, vmac))
	passes("opened", 7001)
	l.unchanged("open", l.apply(deviceConfig()))
	passes("applied again", 7002)
	l.must(l.a.CloseGate(allOfGroup, vmac))
	kept("closed", 7003, 2)
	l.must(l.a.OpenGate(allOfGroup, vmac))
	passes("opened again", 7004)
	for seq, errno := range l.gateway.sendBatch(GateCloseMessage(allOfGroup, vmac)) {
		if errno != 0 {
			t.Errorf("message %d: errno %d", seq, -errno)
		}
	}
	kept("closed by the batch", 7005, 3)
}

func (l *lab) eventually(what string, met func() bool) {
	l.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !met(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Fatalf("not %s", what)
		}
	}
}

func TestDeviceGateOverReload(t *testing.T) {
	l := newLab(t)
	bare := deviceConfig()
	bare.Devices = nil
	closed := func() int { return len(l.state().elements[setClosedDevices]) }
	l.apply(bare)
	l.must(l.a.OpenGate(allOfGroup))
	if r := l.apply(deviceConfig()); r.NewGate || closed() != 0 {
		t.Errorf("a device joins an open group: new gate %v, %d closed", r.NewGate, closed())
	}
	if l.state().chains[chainDevices] == nil {
		t.Error("no chain for the device")
	}
	l.must(l.a.CloseGate(nil, vmac))
	if got, err := l.a.Gates(); err != nil || !slices.Equal(got, []GateState{{"gateway", false}}) {
		t.Errorf("half shut: %v, error %v", got, err)
	}
	if r := l.apply(bare); r.NewGate || closed() != 0 || l.state().chains[chainDevices] != nil {
		t.Errorf("the device leaves: new gate %v, %d closed", r.NewGate, closed())
	}
	if got := len(l.state().elements[setClosed]); got != len(allOfGroup) {
		t.Errorf("half shut counts as shut: %d addresses closed", got)
	}
	l.apply(deviceConfig())
	if closed() != 1 {
		t.Error("a device joins a shut group and is not shut")
	}
}

// RFC 9568 6.1 and 6.4.3, Accept_Mode false: the address resolves and translates,
// and nobody can talk to it.
func TestRefusedAddress(t *testing.T) {
	l := newLab(t)
	l.gateway.address("wan0", "203.0.113.77/24")
	c := config()
	c.Refused = []netip.Addr{vip2}
	l.apply(c)
	l.must(l.a.OpenGate(allOfGroup))
	if got := l.answers(vip, vip2); !slices.Equal(got, []netip.Addr{vip}) {
		t.Errorf("ping: want an answer of %v, got %v", vip, got)
	}
	seen := l.server.capture()
	for _, p := range []packet{
		{src: outside, dst: vip2, proto: unix.IPPROTO_TCP, sport: 999, dport: 22, flags: syn},
		{src: outside, dst: vip2, proto: unix.IPPROTO_UDP, sport: 999, dport: 22},
	} {
		l.server.send(p)
	}
	l.server.send(ping(vip))
	before, _ := seen.until("echo reply", func(p packet) bool { return p.src == vip })
	if len(before) > 0 {
		t.Errorf("want no reset and no unreachable, got %v", before)
	}
	if n := l.counters().Refused; n != 3 {
		t.Errorf("want 3 refused, got %d", n)
	}
	// Its forward still works.
	atClient := l.client.capture()
	l.server.send(packet{src: outside, dst: vip2, proto: unix.IPPROTO_UDP, sport: 4000, dport: 53})
	if _, got := atClient.until("query", func(p packet) bool { return p.proto == unix.IPPROTO_UDP }); got.dst != inside || got.dport != 5353 {
		t.Errorf("forward: got %v", got)
	}
	l.unchanged("same plan", l.apply(c))
	l.apply(config())
	if got := l.answers(vip2); len(got) != 1 {
		t.Errorf("accepted again: got %v", got)
	}
}
