package vrrpnet

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/vrrp"
)

func advert(vrid uint8) []byte {
	a := vrrp.Advert{Version: 3, VRID: vrid, Priority: 200, Interval: time.Second}
	vip := []netip.Addr{netip.MustParseAddr("10.0.0.1")}
	return vrrp.AppendPacket(nil, &a, vip, netip.MustParseAddr("10.0.0.2"))
}

func open(t *testing.T, name string, family uint8) *Port {
	t.Helper()
	p, err := OpenPort(name, 0, family)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func receive(t *testing.T, p *Port) (f Frame) {
	t.Helper()
	eventually(t, p.FD(), "a packet on "+p.Interface, func() bool {
		ok, err := p.Receive(time.Now(), &f)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	})
	return f
}

func TestPortCarriesAdverts(t *testing.T) {
	inNamespace(t)
	veth(t, "a", "b")
	a, b := open(t, "a", 4), open(t, "b", 4)

	before := time.Now()
	if err := a.Send(MAC{}, advert(7)); err != nil {
		t.Fatal(err)
	}
	f := receive(t, b)
	if f.Source != a.MAC {
		t.Errorf("source %v, want the interface's own %v", f.Source, a.MAC)
	}
	if f.At.Before(before.Add(-time.Millisecond)) || f.At.After(time.Now()) {
		t.Errorf("received at %v, sent after %v", f.At, before)
	}
	d, reason := vrrp.ParseDatagram(f.Packet)
	var got vrrp.Advert
	if reason == vrrp.ReasonNone {
		reason = vrrp.ParseAdvert(d, &got)
	}
	if reason != vrrp.ReasonNone || got.VRID != 7 {
		t.Errorf("parsed: %v, %+v", reason, got)
	}
	if ok, _ := a.Receive(time.Now(), &f); ok {
		t.Error("a port hears its own packets")
	}
}

func TestPortSendsFromVirtualMAC(t *testing.T) {
	inNamespace(t)
	veth(t, "a", "b")
	a, b := open(t, "a", 4), open(t, "b", 4)
	virtual := MAC{0, 0, 0x5e, 0, 1, 7}
	if err := a.Send(virtual, advert(7)); err != nil {
		t.Fatal(err)
	}
	if f := receive(t, b); f.Source != virtual {
		t.Errorf("source %v, want %v", f.Source, virtual)
	}
}

// The stamp is made on arrival, not when somebody comes round to read. (The kernel
// takes a moment to begin stamping; until then it stamps when read.)
func TestPortStampsArrival(t *testing.T) {
	inNamespace(t)
	veth(t, "a", "b")
	a, b := open(t, "a", 4), open(t, "b", 4)
	var late time.Duration
	for range 20 {
		if err := a.Send(MAC{}, advert(7)); err != nil {
			t.Fatal(err)
		}
		sent := time.Now()
		time.Sleep(50 * time.Millisecond)
		if late = receive(t, b).At.Sub(sent); late <= 0 {
			return
		}
	}
	t.Errorf("received %v after it was sent and left lying", late)
}

func TestPortHearsNothingButVRRP(t *testing.T) {
	inNamespace(t)
	veth(t, "a", "b", "10.0.0.2/24")
	raw, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, 113)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(raw)
	a, b := open(t, "a", 4), open(t, "b", 4)
	mreq := unix.IPMreqn{Ifindex: int32(a.Index)}
	if err := unix.SetsockoptIPMreqn(raw, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &mreq); err != nil {
		t.Fatal(err)
	}
	if err := unix.Sendto(raw, []byte("not vrrp"), 0, &unix.SockaddrInet4{Addr: [4]byte{224, 0, 0, 18}}); err != nil {
		t.Fatal(err)
	}
	if err := a.Send(MAC{}, advert(7)); err != nil {
		t.Fatal(err)
	}
	if f := receive(t, b); f.Packet[9] != 112 {
		t.Errorf("heard protocol %d", f.Packet[9])
	}
}

// The switch learns of the group by IGMP or MLD, the adapter by both that and the
// packet membership, which is there without any address.
func TestPortJoinsTheGroup(t *testing.T) {
	for _, test := range []struct {
		family         uint8
		file, group    string
		adapter, users string
	}{
		{4, "igmp", "120000E0", "01005e000012", "2"},
		{6, "igmp6", "ff020000000000000000000000000012", "333300000012", "2"},
	} {
		inNamespace(t)
		veth(t, "a", "b")
		open(t, "a", test.family)
		if !bytes.Contains(read(t, "/proc/thread-self/net/"+test.file), []byte(test.group)) {
			t.Errorf("ipv%d: no %s in %s", test.family, test.group, test.file)
		}
		users := "0"
		for line := range strings.Lines(string(read(t, "/proc/thread-self/net/dev_mcast"))) {
			if f := strings.Fields(line); len(f) == 5 && f[1] == "a" && f[4] == test.adapter {
				users = f[2]
			}
		}
		if users != test.users {
			t.Errorf("ipv%d: the adapter has %s for %s users, want %s", test.family, test.adapter, users, test.users)
		}
	}
}

func TestPortTellsThatItsInterfaceIsGone(t *testing.T) {
	inNamespace(t)
	veth(t, "a", "b")
	a := open(t, "a", 4)
	setUp(t, "a", false)
	if err := a.Send(MAC{}, advert(7)); !errors.Is(err, ErrGone) {
		t.Errorf("down: %v", err)
	}
	setUp(t, "a", true)
	// The error of the way down is reported once more; then it works again.
	_ = a.Send(MAC{}, advert(7))
	if err := a.Send(MAC{}, advert(7)); err != nil {
		t.Errorf("up again: %v", err)
	}
	if err := netlink.LinkDel(link(t, "a")); err != nil {
		t.Fatal(err)
	}
	if err := a.Send(MAC{}, advert(7)); !errors.Is(err, ErrGone) {
		t.Errorf("deleted: %v", err)
	}
	veth(t, "a", "b")
	if _, err := OpenPort("a", a.Index+100, 4); !errors.Is(err, ErrGone) {
		t.Errorf("another index: %v", err)
	}
	again := open(t, "a", 4)
	if err := again.Send(MAC{}, advert(7)); err != nil {
		t.Errorf("re-created: %v", err)
	}
}

func TestPortAllocatesNothing(t *testing.T) {
	inNamespace(t)
	veth(t, "a", "b")
	a, b := open(t, "a", 4), open(t, "b", 4)
	packet := advert(7)
	var f Frame
	heard := 0
	if n := testing.AllocsPerRun(100, func() {
		if err := a.Send(MAC{}, packet); err != nil {
			t.Fatal(err)
		}
		for ok := true; ok; {
			if ok, _ = b.Receive(time.Now(), &f); ok {
				heard++
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
	if heard == 0 {
		t.Error("nothing was heard")
	}
}
