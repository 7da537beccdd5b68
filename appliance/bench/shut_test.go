package bench

import (
	"net/netip"
	"testing"
	"time"

	"understudy/appliance/lab/capture"
)

// Ours stops to forward for every virtual MAC, each way; keepalived in fault goes
// on for all, which is what the measurement is there to see.
func TestRunShut(t *testing.T) {
	const macs = 12
	r, err := RunShut(patient(t), ShutOptions{Beside: besideT(t).once(), MACs: macs})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 4 {
		t.Fatalf("%d rows", len(r.Rows))
	}
	for i, want := range []ShutRow{{Software: "understudy", Way: "fault"}, {Software: "keepalived", Way: "fault", Remained: macs},
		{Software: "understudy", Way: "stop"}, {Software: "keepalived", Way: "stop"}} {
		row := r.Rows[i]
		if row.Software != want.Software || row.Way != want.Way || len(row.Shuts) != 1 || row.Remained != want.Remained {
			t.Errorf("row %d: want %+v, got %+v", i, want, row)
		}
		if want.Remained == 0 && row.SpreadMS.N != 1 {
			t.Errorf("row %d: no end: %+v", i, row)
		}
	}
	// The gate goes first, then the advert that says so.
	if after := r.Rows[0].AfterMS.Max; after > 100 {
		t.Errorf("in fault, the last frame was forwarded %.1f ms after priority 0", after)
	}
}

func TestShutResult(t *testing.T) {
	const ms = time.Millisecond
	ends := func(d ...time.Duration) *forwarded {
		f := &forwarded{resigned: noon.Add(5 * ms)}
		for _, d := range d {
			f.last = append(f.last, noon.Add(d))
		}
		return f
	}
	end := noon.Add(3 * time.Second)
	if got, err := ends(3*ms, 1*ms, 2*ms).result(noon, end); err != nil || got != (Shut{SpreadMS: 2, AfterMS: -2}) {
		t.Errorf("all ended before it was said: got %+v, %v", got, err)
	}
	if got, err := ends(3*ms, 2999*ms, 2998*ms).result(noon, end); err != nil || got != (Shut{Remained: 2}) {
		t.Errorf("two went on: got %+v, %v", got, err)
	}
	f := ends(3 * ms)
	f.resigned = time.Time{}
	if _, err := f.result(noon, end); err == nil {
		t.Error("nobody resigned")
	}
}

// What the frames are is for the kernel to judge as well: it forwards them.
func TestFramesAreWhatTheySeem(t *testing.T) {
	from, to := netip.MustParseAddr("10.0.9.9"), netip.MustParseAddr("10.1.9.9")
	b := ipv4Frame([6]byte{0, 0, 0x5e, 0, 1, 7}, [6]byte{2, 0, 0, 0, 0, 1}, 64, 17, from, to, udp(9, 20006, []byte("odd")))
	p := capture.Decode(b)
	if p.Kind != capture.UDP || p.Src != from || p.Dst != to || p.SrcPort != 9 || p.DstPort != 20006 || p.TTL != 64 || p.DstMAC.String() != "00:00:5e:00:01:07" || len(b) != 60 {
		t.Errorf("got %v, %d bytes", p, len(b))
	}
	if sum := internetSum(0, b[14:34]); sum != 0 {
		t.Errorf("header checksum does not add up: %#x", sum)
	}
	if got := internetSum(0, []byte{0x45, 0, 1}); got != 0xbaff-0x0100 {
		t.Errorf("odd length: got %#x", got)
	}
}
