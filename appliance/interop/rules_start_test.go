package interop

import (
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab/capture"
	"understudy/vrrp"
)

// 6.4.1 and 6.4.2: silence for an Active_Down_Interval, then an advert, then an
// announcement of each address: a request for itself, by the MAC that hosts are
// to use. None comes before the address is in the kernel (8.1.2).
func TestStartIsSilentThenAdvertThenAnnouncements(t *testing.T) {
	for _, mac := range macs {
		t.Run(mac.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			d := joinDUT(s, settings{priority: 100, interval: 300 * time.Millisecond})
			start := time.Now()
			addresses := []string{"10.0.1.254", "10.0.1.253", "10.0.1.252"}
			list := ""
			for _, a := range addresses {
				list += fmt.Sprintf("%q,", a+"/24")
			}
			d.run(routerTOML("lan", "lan0", 51, d.set, list, mac.keys))
			first := d.firstAfter(start)
			s.between("the first advert", first.At.Sub(start), activeDown(100, d.set.interval), patience)
			want := d.Link("lan0").MAC.String()
			if mac.virtual {
				want = "00:00:5e:00:01:33"
			}
			for _, a := range addresses {
				f := d.announcement(a)
				if f.At.Before(first.At) {
					t.Errorf("%v is before the advert at %v", f, first.At)
				}
				p := capture.Decode(f.Data)
				target := net.HardwareAddr(f.Data[14+18 : 14+24])
				if p.Op != 1 || p.Hardware.String() != want || target.String() != want || p.SrcMAC.String() != want || p.DstMAC.String() != broadcast {
					t.Errorf("%v: from %v, sender %v, target %v, want %v", f, p.SrcMAC, p.Hardware, target, want)
				}
			}
			for _, f := range d.wire.c.Frames() {
				p := capture.Decode(f.Data)
				if f.From == d.Name && p.Kind == capture.ARP && f.At.Before(first.At) && p.Src.String() != dutAddress {
					t.Errorf("%v before the first advert", f)
				}
			}
		})
	}
}

// announcement waits for the first announcement of an address.
func (d *dut) announcement(addr string) capture.Frame {
	d.t.Helper()
	var got capture.Frame
	d.wait("an announcement of "+addr, func() error {
		for _, f := range d.wire.c.Frames() {
			if p := capture.Decode(f.Data); f.From == d.Name && p.Src.String() == addr && p.Announces(p.Src) {
				got = f
				return nil
			}
		}
		return errNotYet
	})
	return got
}

// 6.4.2: a Backup that is stopped says nothing.
func TestStopOfABackupIsSilent(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	d := newDUT(s, settings{priority: 100, interval: 40950 * time.Millisecond}, "")
	d.end()
	if list := d.adverts(); len(list) > 0 {
		t.Errorf("we said %v", list)
	}
}

// 6.4.3: an Active that is stopped says priority 0, once, and its addresses are
// gone. That it serves on for a moment is a deviation: see docs/conformance.md.
func TestStopOfAnActiveIsOneWord(t *testing.T) {
	for _, mac := range macs {
		t.Run(mac.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			d := newDUT(s, settings{priority: 250, interval: 100 * time.Millisecond}, mac.keys)
			s.wait("us to be Active", d.is("lan", "active"))
			s.wait("the address", func() error {
				if on, err := has(d.Node, d.v); err != nil || !on {
					return fmt.Errorf("no address (%v)", err)
				}
				return nil
			})
			d.end()
			list := d.adverts()
			for i, a := range list {
				if lastOne := i == len(list)-1; lastOne != (a.Priority == 0) {
					t.Errorf("advert %d of %d has priority %d", i+1, len(list), a.Priority)
				}
			}
			if on, err := has(d.Node, d.v); err != nil || on {
				t.Errorf("the address is still there (%v)", err)
			}
			// Nor does anybody answer for it.
			a := d.asker()
			at := a.arp(broadcast, d.v.address.Addr())
			a.arp(broadcast, own())
			d.answered("an ARP reply of our kernel", own(), at, capture.ARP)
			if got := d.wire.answers(d.Name, d.v.address.Addr(), at); len(got) > 0 {
				t.Errorf("answered: %v", got)
			}
		})
	}
}

// 7.1: the VRID has to be configured on the interface that the advert came in by.
func TestVRIDOfAnotherInterface(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	d := joinDUT(s, settings{priority: 100, interval: 40950 * time.Millisecond})
	wan := s.Segment("wan")
	s.Join(d.Node, wan, "wan0", "10.0.2.2/24")
	s.Join(d.host, wan, "wan0", "10.0.2.9/24")
	d.run(routerTOML("lan", "lan0", 51, d.set, `"10.0.1.254/24"`, "") + routerTOML("wan", "wan0", 52, d.set, `"10.0.2.254/24"`, ""))
	s.wait("us to be Backup", d.is("wan", "backup"))
	before := d.counters(t)
	out := s.socket(d.host, "wan0")
	out.frame(hostMAC, "01:00:5e:00:00:12", unix.ETH_P_IP, vrrpPacket(t)) // VRID 51, valid
	s.wait("it to be counted", func() error {
		if d.counters(t)["wan vrid"] != before["wan vrid"]+1 {
			return errNotYet
		}
		return nil
	})
	after := d.counters(t)
	for key, n := range after {
		if n != before[key] && key != "wan vrid" {
			t.Errorf("%s moved too", key)
		}
	}
}

// 7.1: another interval than ours, or other addresses, is used and counted.
func TestMismatchesAreUsedAndCounted(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	d := newDUT(s, settings{priority: 100, interval: 40950 * time.Millisecond}, "")
	r := d.injector("10.0.1.3")
	r.heard(200, 40950*time.Millisecond, vrrp.FormPseudo)
	before := d.counters(t)
	r.heard(200, 20*time.Second, vrrp.FormPseudo)
	d.v.address.Addr()
	r.vrrp(vrrpPacket(t)) // interval 1 s, address 10.0.1.8
	s.wait("both to be counted", func() error {
		now := d.counters(t)
		if now["lan interval_mismatch"] != before["lan interval_mismatch"]+2 || now["lan address_mismatch"] != before["lan address_mismatch"]+1 ||
			now["lan received"] != before["lan received"]+2 {
			return fmt.Errorf("interval_mismatch %d, address_mismatch %d, received %d", now["lan interval_mismatch"], now["lan address_mismatch"], now["lan received"])
		}
		return nil
	})
	if r, err := d.router("lan"); err != nil || r.ActiveAddress != "10.0.1.1" {
		t.Errorf("Active is %q for us (%v), want the one heard last", r.ActiveAddress, err)
	}
}
