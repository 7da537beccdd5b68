package interop

import (
	"net/netip"
	"time"

	"understudy/appliance/lab"
	"understudy/appliance/lab/capture"
	"understudy/vrrp"
)

// wire is a recording of a segment.
type wire struct {
	c *capture.Capture
	v variant // of a row; of others the zero value
}

func (s *scene) record(seg *lab.Segment) *wire {
	s.t.Helper()
	c, err := capture.Start(seg, capture.Options{SnapLen: 1200})
	s.must(err)
	w := &wire{c: c}
	s.t.Cleanup(func() {
		_ = c.Stop()
		if s.t.Failed() {
			frames := c.Frames()
			for _, f := range frames[max(0, len(frames)-60):] {
				s.t.Logf("%v", f)
			}
		}
	})
	return w
}

// advert is a VRRP advert as it was on the wire.
type advert struct {
	capture.Frame
	packet capture.Packet
	data   vrrp.Datagram
	vrrp.Advert
	reason vrrp.Reason // of a receiver that knows no configuration
}

// adverts lists the adverts a node has sent, "" for any.
func (w *wire) adverts(from string) (list []advert) {
	for _, f := range w.c.Frames() {
		if from != "" && f.From != from {
			continue
		}
		a := advert{Frame: f, packet: capture.Decode(f.Data)}
		if a.packet.Kind != capture.VRRP {
			continue
		}
		var to vrrp.Unicast // as a peer would that it may be for
		if d, _ := vrrp.ParseDatagram(f.Data[14:]); !d.Dst.IsMulticast() {
			to.Peers = []vrrp.Peer{{Address: d.Src}}
		}
		if w.v.group != "" {
			to.Group = netip.MustParseAddr(w.v.group)
		}
		if a.data, a.reason = vrrp.ParseDatagram(f.Data[14:]); a.reason == vrrp.ReasonNone {
			a.reason = vrrp.ParseAdvertTo(a.data, &a.Advert, &to)
		}
		if a.reason == vrrp.ReasonLinkLocal && w.v.six() && !w.v.local.IsValid() {
			a.reason = vrrp.ReasonNone
		}
		list = append(list, a)
	}
	return list
}

// since leaves away what was sent before.
func since(list []advert, t time.Time) []advert {
	for i, a := range list {
		if !a.At.Before(t) {
			return list[i:]
		}
	}
	return nil
}

// packets lists what a node has sent of one kind.
func (w *wire) packets(from string, kind capture.Kind) (at []time.Time, list []capture.Packet) {
	for _, f := range w.c.Frames() {
		if p := capture.Decode(f.Data); f.From == from && p.Kind == kind {
			at, list = append(at, f.At), append(list, p)
		}
	}
	return at, list
}

// last returns the last n elements, or fewer.
func last[T any](list []T, n int) []T { return list[max(0, len(list)-n):] }
