package interop

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance"
	"understudy/appliance/lab"
	"understudy/vrrp"
)

// flood is a host that sends as much as it is told of what nobody should listen to.
type flood struct {
	*scene
	fd     int
	to     unix.SockaddrLinklayer
	frames [][]byte
	why    []string // each is refused
	sent   int
	count  map[string]int
}

// newFlood makes malformed, misaddressed and forged adverts for the router of d,
// whose peer is src: none of them may move it.
func newFlood(d *dut, mac net.HardwareAddr, src, dst netip.Addr) *flood {
	d.t.Helper()
	f := &flood{scene: d.scene, count: map[string]int{}}
	k := d.socket(d.host, "lan0")
	f.fd, f.to = k.fd, k.to
	vips := []netip.Addr{d.v.address.Addr()}
	add := func(why string, vrid uint8, spoil func(p []byte)) {
		a := &vrrp.Advert{Version: 3, VRID: vrid, Priority: 254, Interval: 10 * time.Second, Form: vrrp.FormPseudo}
		p := vrrp.AppendPacketTo(nil, a, vips, src, dst)
		spoil(p)
		frame := append(append(append([]byte{}, mac...), 2, 0, 0, 0, 0, 66), 8, 0)
		frame = append(frame, p...)
		for len(frame) < 60 {
			frame = append(frame, 0)
		}
		f.frames, f.why = append(f.frames, frame), append(f.why, why)
	}
	// Kept away by the kernel: the VRIDs of others, and what comes from afar.
	nobody := "vrid"
	if !dst.IsMulticast() {
		nobody = "destination" // a VRID of nobody has no peers
	}
	for vrid := range 256 {
		switch {
		case vrid == 0:
			add("destination", 0, func(p []byte) { copy(p[16:], []byte{224, 0, 0, 19}) })
		case uint8(vrid) != d.v.vrid:
			add(nobody, uint8(vrid), func([]byte) {})
		}
	}
	if dst.IsMulticast() {
		for ttl := range 255 {
			add("ttl", d.v.vrid, func(p []byte) { p[8] = byte(ttl) })
		}
	}
	// For us to find out: for the router, with every mistake there is. The sender is
	// the peer, as far as the packet says.
	for i := range 200 {
		add("checksum", d.v.vrid, func(p []byte) { binary.BigEndian.PutUint16(p[26:], uint16(i)) }) // checksum
		add("version", d.v.vrid, func(p []byte) { p[20] = byte(i) | 0x40 })                         // version
		add("length", d.v.vrid, func(p []byte) { p[23] = byte(i + 2) })                             // count
	}
	return f
}

// pour sends n frames of the flood, about a hundred thousand in a second.
func (f *flood) pour(n int) {
	f.t.Helper()
	const burst = 500
	for start, i := time.Now(), 0; i < n; i++ {
		if i%burst == 0 {
			time.Sleep(time.Until(start.Add(time.Duration(i) * 10 * time.Microsecond)))
		}
		k := f.sent % len(f.frames)
		f.must(unix.Sendto(f.fd, f.frames[k], 0, &f.to))
		f.sent++
		f.count[f.why[k]]++
	}
}

// resident is the memory of the node's processes, bytes.
func resident(t *testing.T, n *lab.Node) (total int) {
	t.Helper()
	pids, err := n.Pids()
	if err != nil || len(pids) < 2 {
		t.Fatalf("processes %v (%v)", pids, err)
	}
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(b), "VmRSS:")
		kib, err := strconv.Atoi(strings.Fields(rest)[0])
		if err != nil {
			t.Fatal(err)
		}
		total += kib << 10
	}
	return total
}

// TestFlood: a hundred thousand adverts a second that are malformed, forged or for
// somebody else change nothing: the state is held, whichever it is, the peer is
// heard, the memory does not grow, and the status says how many there were.
func TestFlood(t *testing.T) {
	lab.Require(t)
	for _, c := range []struct {
		name    string
		state   string
		unicast bool
	}{
		{"Backup", "backup", false},
		{"Active", "active", false},
		{"Backup, unicast", "backup", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			const interval = 100 * time.Millisecond
			keys, src, dst := "", "10.0.1.9", "224.0.0.18"
			if c.unicast {
				keys, dst = `unicast = ["10.0.1.9"]`, dutAddress
			}
			d := unrecorded(newScene(t), row("v3 IPv4"), settings{priority: 100, interval: interval}, dutAddress+"/24", "10.0.1.9/24")
			d.begin(keys)
			mac := net.HardwareAddr{1, 0, 0x5e, 0, 0, 0x12}
			if c.unicast {
				mac = net.HardwareAddr(d.Link("lan0").MAC[:])
			}
			priority := 50 // a peer that an Active outranks
			if c.state == "backup" {
				priority = 200
			}
			k := d.socket(d.host, "lan0")
			p := vrrp.AppendPacketTo(nil, &vrrp.Advert{Version: 3, VRID: d.v.vrid, Priority: uint8(priority), Interval: interval, Form: vrrp.FormPseudo},
				[]netip.Addr{d.v.address.Addr()}, netip.MustParseAddr(src), netip.MustParseAddr(dst))
			stop, done, spoken := make(chan bool), make(chan bool), 0
			go func() {
				defer close(done)
				for {
					select {
					case <-stop:
						return
					case <-time.After(interval):
						k.frame(hostMAC, mac.String(), unix.ETH_P_IP, p)
						spoken++
					}
				}
			}()
			silence := func() {
				select {
				case <-done:
				default:
					close(stop)
					<-done
				}
			}
			t.Cleanup(silence)
			d.wait("the state to be held", d.is("lan", c.state))
			f := newFlood(d, mac, netip.MustParseAddr(src), netip.MustParseAddr(dst))
			f.pour(20000) // every buffer has been used
			before, err := d.router("lan")
			d.must(err)
			memory := resident(t, d.Node)
			start := time.Now()
			f.pour(400000)
			t.Logf("%d packets in a second", int(400000/time.Since(start).Seconds()))
			silence()
			after := d.accounted(f)
			if after.State != c.state || after.Transitions != before.Transitions {
				t.Errorf("%s (%s) after %d transitions in the flood", after.State, after.Reason, after.Transitions-before.Transitions)
			}
			if grown := resident(t, d.Node) - memory; grown > 16<<20 {
				t.Errorf("the memory grew by %d KiB", grown>>10)
			}
			if int(after.Adverts.Received) < spoken*9/10 {
				t.Errorf("%d of %d adverts of the peer were heard", after.Adverts.Received, spoken)
			}
			if c.state == "active" && after.Adverts.Sent < before.Adverts.Sent+20 {
				t.Errorf("%d adverts were sent in the flood", after.Adverts.Sent-before.Adverts.Sent)
			}
			if after.DropsEstimated == 0 || after.DropsEstimated >= uint64(f.sent) {
				t.Errorf("%d of %d are an estimate", after.DropsEstimated, f.sent)
			}
		})
	}
}

// accounted waits until the router has counted the whole flood: exactly what it
// had to read, and by a sample what the kernel kept away.
func (d *dut) accounted(f *flood) (r appliance.RouterStatus) {
	d.t.Helper()
	d.wait(fmt.Sprintf("%d drops", f.sent), func() (err error) {
		if r, err = d.router("lan"); err != nil {
			return err
		}
		for reason, count := range r.Drops {
			sent := f.count[reason]
			slack := int(r.Adverts.Lost)
			if reason == "vrid" || reason == "ttl" || reason == "destination" {
				slack += sent/4 + 2000 // by a sample: of few there may be none in it
			}
			if got := int(count); got < sent-slack || got > sent+slack {
				return fmt.Errorf("%d dropped for %s, want %d: %v, lost %d", got, reason, sent, r.Drops, r.Adverts.Lost)
			}
		}
		return nil
	})
	d.t.Logf("%d heard, %d lost, %d of the drops are estimated: %v; sent %v", r.Adverts.Received, r.Adverts.Lost, r.DropsEstimated, r.Drops, f.count)
	return r
}
