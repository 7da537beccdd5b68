package interop

import (
	"fmt"
	"testing"
	"time"

	"understudy/appliance/lab/capture"
	"understudy/vrrp"
)

// 6.4.3 and 8.1.2: an Active answers ARP with its MAC, once, and what is for the
// virtual address, if it accepts that.
func TestActiveAnswers(t *testing.T) {
	for _, mac := range macs {
		for _, accept := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, accept %t", mac.name, accept), func(t *testing.T) {
				t.Parallel()
				s := newScene(t)
				d := newDUT(s, settings{priority: 250, interval: 100 * time.Millisecond}, fmt.Sprintf("%s\naccept = %t", mac.keys, accept))
				d.announcement("10.0.1.254")
				want := d.Link("lan0").MAC.String()
				if mac.virtual {
					want = "00:00:5e:00:01:33"
				}
				a, vip := d.asker(), d.v.address.Addr()
				at := a.arp(broadcast, vip)
				reply := d.answered("an ARP reply", vip, at, capture.ARP)
				if reply.Hardware.String() != want || reply.SrcMAC.String() != want {
					t.Errorf("%v from %v, want %v", reply, reply.SrcMAC, want)
				}
				at = time.Now()
				a.ping(want, vip)
				a.udp(want, vip)
				a.syn(want, vip)
				if accept {
					if p := d.answered("an echo", vip, at, capture.ICMP); p.Type != 0 && p.Type != 3 {
						t.Errorf("answered: %v", p)
					}
					d.answered("a reset", vip, at, capture.TCP)
				}
				a.ping(d.Link("lan0").MAC.String(), own())
				d.answered("an echo of our own address", own(), at, capture.ICMP)
				if got := d.wire.answers(d.Name, vip, at); !accept && len(got) > 0 {
					t.Errorf("answered: %v", got)
				}
				replies := 0
				for _, p := range d.wire.answers(d.Name, vip, time.Time{}) {
					if p.Kind == capture.ARP {
						replies++
					}
				}
				if replies != 1 {
					t.Errorf("%d replies to one ARP request", replies)
				}
			})
		}
	}
}

// 6.4.3: an Active forwards what is for its MAC.
func TestActiveForwards(t *testing.T) {
	for _, mac := range macs {
		t.Run(mac.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			d, beyond := newGateway(s, settings{priority: 250, interval: 100 * time.Millisecond}, mac.keys)
			d.announcement("10.0.1.254")
			to := d.Link("lan0").MAC.String()
			if mac.virtual {
				to = "00:00:5e:00:01:33"
			}
			if p := d.passes(d.asker(), beyond, to); p.TTL != 63 || p.Src.String() != "10.0.1.9" {
				t.Errorf("%v came through with TTL %d", p, p.TTL)
			}
		})
	}
}

// 6.4.3: the Adver_Timer sends again and again, at its interval: no drift adds
// up.
func TestAdvertsKeepTheirInterval(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	const interval, n = 20 * time.Millisecond, 200
	d := newDUT(s, settings{priority: 250, interval: interval}, "")
	s.wait("adverts", func() error {
		if len(d.adverts()) <= n {
			return errNotYet
		}
		return nil
	})
	list := d.adverts()
	// A machine that had something else to do now and then makes some of them late.
	best := list[n].At.Sub(list[0].At) / n
	s.between("mean interval", best, interval*99/100, interval*10)
	for i := range n - n/8 {
		best = min(best, list[i+n/8].At.Sub(list[i].At)/(n/8))
	}
	s.between("best mean interval", best, 0, interval*110/100)
	for i, a := range list {
		if a.Interval != interval || a.Priority != 250 {
			t.Fatalf("advert %d: %v", i, a)
		}
	}
}

// activeDUT is Active, advertises each 2 s, and has just done so.
func activeDUT(t *testing.T) (*dut, time.Time) {
	t.Helper()
	s := newScene(t)
	d := newDUT(s, settings{priority: 100, interval: rhythm}, "")
	r := d.injector("10.0.1.3")
	r.heard(0, rhythm, vrrp.FormPseudo) // shorter than to wait for the first one
	s.wait("us to be Active", d.is("lan", "active"))
	list := d.adverts()
	return d, list[len(list)-1].At
}

const rhythm = 2 * time.Second

// 6.4.3: priority 0 is answered at once, and the timer starts anew.
func TestActiveAnswersPriorityZero(t *testing.T) {
	t.Parallel()
	d, beat := activeDUT(t)
	at := d.injector("10.0.1.3").says(0, rhythm, vrrp.FormPseudo)
	answer := d.firstAfter(at)
	d.between("the answer", answer.At.Sub(at), 0, rhythm-at.Sub(beat)-early)
	next := d.firstAfter(answer.At.Add(1))
	d.between("the next advert", next.At.Sub(answer.At), rhythm-early, rhythm+slack)
}

// 6.4.3: an advert of less is answered at once, and the rhythm kept.
func TestActiveAssertsItself(t *testing.T) {
	for _, tt := range []struct {
		name, src string
		priority  int
	}{{"lower priority, higher address", "10.0.1.3", 99}, {"equal priority, lower address", "10.0.1.1", 100}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d, beat := activeDUT(t)
			at := d.injector(tt.src).says(tt.priority, rhythm, vrrp.FormPseudo)
			answer := d.firstAfter(at)
			d.between("the answer", answer.At.Sub(at), 0, rhythm-at.Sub(beat)-early)
			next := d.firstAfter(answer.At.Add(1))
			d.between("the next advert", next.At.Sub(beat), rhythm-early, rhythm+slack)
			d.must(d.is("lan", "active")())
		})
	}
}

// 6.4.3: an advert of more ends it: no more adverts, and the address is gone.
func TestActiveYields(t *testing.T) {
	for _, tt := range []struct {
		name, src string
		priority  int
	}{{"higher priority, lower address", "10.0.1.1", 101}, {"equal priority, higher address", "10.0.1.3", 100}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d, _ := activeDUT(t)
			const every = 500 * time.Millisecond
			r := d.injector(tt.src)
			at := r.says(tt.priority, every, vrrp.FormPseudo)
			d.wait("us to be Backup", d.is("lan", "backup"))
			d.wait("the address to go", func() error {
				if on, err := has(d.Node, d.v); err != nil || on {
					return fmt.Errorf("the address is there (%v)", err)
				}
				return nil
			})
			// It has learned the interval: that of the one that took it away.
			d.between("our next advert", d.firstAfter(at).At.Sub(at), activeDown(100, every)-early, activeDown(100, every)+slack)
		})
	}
}
