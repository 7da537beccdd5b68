package interop

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"understudy/appliance/lab/capture"
	"understudy/vrrp"
)

func own() netip.Addr { return netip.MustParseAddr(dutAddress) }

// 6.4.2: a Backup answers nobody for the virtual address: not to ARP, not to
// packets, whichever MAC they come to. It is awake: it answers for its own.
func TestBackupIsNotThere(t *testing.T) {
	for _, mac := range macs {
		t.Run(mac.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			d := newDUT(s, settings{priority: 100, interval: 40950 * time.Millisecond}, mac.keys)
			a, vip := d.asker(), d.v.address.Addr()
			start := time.Now()
			to := []string{broadcast, d.Link("lan0").MAC.String(), "00:00:5e:00:01:33"}
			for range 3 {
				at := time.Now()
				for _, m := range to {
					a.arp(m, vip)
					a.ping(m, vip)
					a.udp(m, vip)
					a.syn(m, vip)
				}
				a.arp(broadcast, own())
				a.ping(to[1], own())
				d.answered("an ARP reply for our own address", own(), at, capture.ARP)
				d.answered("an echo of our own address", own(), at, capture.ICMP)
			}
			if got := d.wire.answers(d.Name, vip, start); len(got) > 0 {
				t.Errorf("answered: %v", got)
			}
			s.must(d.is("lan", "backup")())
		})
	}
}

// 6.4.2: a Backup does not forward what is for the virtual MAC.
func TestBackupDoesNotForwardForTheVirtualMAC(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	d, beyond := newGateway(s, settings{priority: 100, interval: 40950 * time.Millisecond}, `mac = "virtual"`)
	a := d.asker()
	d.passes(a, beyond, d.Link("lan0").MAC.String())
	_, before := beyond.packets(d.Name, capture.UDP)
	for range 20 {
		a.ipv4("00:00:5e:00:01:33", netip.MustParseAddr(farAddress), 99, 17, []byte{0x30, 0x39, 0x30, 0x39, 0, 8, 0, 0})
	}
	a.udp(d.Link("lan0").MAC.String(), netip.MustParseAddr(farAddress))
	s.wait("one more to pass", func() error {
		if _, now := beyond.packets(d.Name, capture.UDP); len(now) == len(before) {
			return errNotYet
		}
		return nil
	})
	_, now := beyond.packets(d.Name, capture.UDP)
	for _, p := range now {
		if p.TTL == 98 {
			t.Fatalf("forwarded: %v", p)
		}
	}
}

// 6.4.2: after priority 0 a Backup waits Skew_Time, of the interval it has
// learned.
func TestPriorityZeroIsWaitedForSkewOnly(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	d := newDUT(s, settings{priority: 100, interval: 300 * time.Millisecond}, "")
	r := d.injector("10.0.1.3")
	r.heard(200, 2*time.Second, vrrp.FormPseudo)
	at := r.says(0, time.Second, vrrp.FormPseudo) // of this interval nothing is learned
	gap := d.firstAfter(at).At.Sub(at)
	s.between("takeover after priority 0", gap, skew(100, 2*time.Second)-early, skew(100, 2*time.Second)+slack)
}

// early is what a time taken in this process may be off one of the kernel's.
const early = 5 * time.Millisecond

// 6.4.2: an advert that counts starts the timer anew, by its own interval: of a
// higher priority, of an equal one whatever the address, and of a lower one for
// a router that does not preempt.
func TestAdvertsThatCountAreLearned(t *testing.T) {
	for _, tt := range []struct {
		name      string
		priority  int
		noPreempt bool
	}{{"higher", 101, false}, {"equal", 100, false}, {"lower, no preempt", 99, true}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			d := newDUT(s, settings{priority: 100, interval: 300 * time.Millisecond, noPreempt: tt.noPreempt}, "")
			at := d.injector("10.0.1.1").heard(tt.priority, time.Second, vrrp.FormPseudo)
			gap := d.firstAfter(at).At.Sub(at)
			s.between("takeover", gap, activeDown(100, time.Second)-early, activeDown(100, time.Second)+slack)
		})
	}
}

// 6.4.2: an advert that is discarded, or refused, changes nothing: the timer runs
// on from the last one that counted.
func TestAdvertsThatDoNotCountChangeNothing(t *testing.T) {
	for name, say := range map[string]func(r *rival){
		"lower":            func(r *rival) { r.says(99, 10*time.Second, vrrp.FormPseudo) },
		"TTL":              func(r *rival) { r.vrrp(spoiled(r, func(b []byte) { b[8] = 254 })) },
		"priority 0, TTL":  func(r *rival) { r.vrrp(spoiled(r, func(b []byte) { b[8], b[22] = 1, 0; messageSum(b) })) },
		"checksum":         func(r *rival) { r.vrrp(spoiled(r, func(b []byte) { b[26] ^= 1 })) },
		"version":          func(r *rival) { r.vrrp(spoiled(r, func(b []byte) { b[20] = 0x41; messageSum(b) })) },
		"type":             func(r *rival) { r.vrrp(spoiled(r, func(b []byte) { b[20] = 0x32; messageSum(b) })) },
		"interval 0":       func(r *rival) { r.vrrp(spoiled(r, func(b []byte) { b[24], b[25] = 0, 0; messageSum(b) })) },
		"our own address":  func(r *rival) { r.vrrp(spoiled(r, func(b []byte) { b[15] = 2 })) },
		"another VRID":     func(r *rival) { r.vrrp(spoiled(r, func(b []byte) { b[21] = 52; messageSum(b) })) },
		"none at all":      func(r *rival) {},
		"incomplete":       func(r *rival) { r.vrrp(spoiled(r, func(b []byte) { b[23] = 2; messageSum(b) })) },
		"another protocol": func(r *rival) { r.vrrp(spoiled(r, func(b []byte) { b[9] = 111 })) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			// Without what is ours: in its first two seconds it would leave a lower one alone.
			d := newDUT(s, settings{priority: 100, interval: 200 * time.Millisecond}, `settle = "0s"`)
			r := d.injector("10.0.1.3")
			at := r.heard(200, 400*time.Millisecond, vrrp.FormPseudo)
			want := activeDown(100, 400*time.Millisecond)
			s.wait("us to take over", func() error {
				if len(since(d.adverts(), at)) > 0 {
					return nil
				}
				say(r)
				return errNotYet
			})
			s.between("takeover", d.firstAfter(at).At.Sub(at), want-early, want+slack)
		})
	}
}

// spoiled is an advert of priority 200 and 10 s, with something wrong.
func spoiled(r *rival, how func(b []byte)) []byte {
	b := vrrp.AppendPacket(nil, &vrrp.Advert{Version: 3, VRID: 51, Priority: 200, Interval: 10 * time.Second}, []netip.Addr{r.d.v.address.Addr()}, r.src)
	how(b)
	if len(b) != 32 {
		panic(fmt.Sprint("an advert of one address has ", len(b), " octets"))
	}
	return ipSum(b)
}
