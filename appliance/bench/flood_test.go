package bench

import (
	"bytes"
	"testing"
	"time"

	"understudy/appliance/lab/capture"
	"understudy/vrrp"
)

// Ours holds its roles in a flood, loses no process and hears its peer through it;
// keepalived is measured likewise, whatever becomes of it.
func TestRunFlood(t *testing.T) {
	r, err := RunFlood(patient(t), FloodOptions{Beside: besideT(t).once(), Rate: 2000, Window: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 2 || r.Rows[0].Software != "understudy" || r.Rows[1].Software != "keepalived" {
		t.Fatalf("got %+v", r.Rows)
	}
	for i, row := range r.Rows {
		if len(row.Floods) != 1 || row.Rate.Min < 200 || row.Rate.Max > 2500 || row.Active.Memory.Min <= 1 || row.Answers.Min <= 0 {
			t.Errorf("row %d: got %+v", i, row)
		}
	}
	if f := r.Rows[0].Floods[0]; f.Takeovers != 0 || f.Died != 0 || f.HeardMS < ms(floodSkew)*9/10 {
		t.Errorf("ours: got %+v", f)
	}
}

// Each forgery is one: a receiver that goes by RFC 9568 refuses it, but for those
// that are another router's, one's own, or of a lower priority.
func TestForgeries(t *testing.T) {
	src := [6]byte{2, 0, 0, 0, 0, 9}
	frames := forge(20*len(forgeries), 1, src)
	well := map[string]bool{"VRID": true, "its own address": true, "lower priority": true}
	for i, b := range frames {
		name := forgeries[i%len(forgeries)].name
		p := capture.Decode(b)
		if p.Proto != 112 || [6]byte(p.SrcMAC) != src || p.DstMAC.String() != "01:00:5e:00:00:12" {
			t.Fatalf("%s: got %v", name, p)
		}
		var a vrrp.Advert
		d, reason := vrrp.ParseDatagram(b[14:])
		if reason == vrrp.ReasonNone {
			reason = vrrp.ParseAdvert(d, &a)
		}
		if (reason == vrrp.ReasonNone) != well[name] {
			t.Errorf("%s: %v", name, reason)
		}
		if well[name] && a.VRID == floodVRID && a.Priority != 1 {
			t.Errorf("%s would win: %+v", name, a)
		}
	}
	if !bytes.Equal(frames[0], forge(1, 1, src)[0]) {
		t.Error("the same seed makes another flood")
	}
}
