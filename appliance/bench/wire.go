package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"understudy/appliance/lab/capture"
	"understudy/appliance/lab/pair"
)

// side is one of the segments that a gateway's addresses are on.
type side struct {
	name    string
	address netip.Addr
	frames  func() []capture.Frame
}

// wire watches both segments for adverts and announcements.
type wire struct {
	sides    []side
	captures []*capture.Capture
}

func watch(p *pair.Pair) (*wire, error) {
	w := &wire{}
	keep := func(f capture.Frame) bool {
		k := capture.Decode(f.Data).Kind
		return k == capture.VRRP || k == capture.ARP
	}
	for _, s := range []struct {
		name    string
		segment capture.Segment
		address netip.Addr
	}{{"lan", p.LAN, pair.LANAddress.Addr()}, {"wan", p.WAN, pair.WANAddress.Addr()}} {
		c, err := capture.Start(s.segment, capture.Options{Keep: keep})
		if err != nil {
			return nil, errors.Join(err, w.stop())
		}
		w.captures = append(w.captures, c)
		w.sides = append(w.sides, side{s.name, s.address, c.Frames})
	}
	return w, nil
}

func (w *wire) stop() error {
	var errs []error
	for _, c := range w.captures {
		errs = append(errs, c.Stop())
	}
	return errors.Join(errs...)
}

// errNotYet says that a takeover is not complete.
var errNotYet = errors.New("bench: no takeover yet")

// took is how long a takeover took, after some moment: from the survivor's first
// advert on any side to the first announcement of its address on the last.
func took(sides []side, survivor string, after time.Time) (time.Duration, error) {
	began, ended, err := moments(sides, survivor, after)
	return ended.Sub(began), err
}

// moments are when a takeover began and ended.
func moments(sides []side, survivor string, after time.Time) (began, ended time.Time, err error) {
	for _, s := range sides {
		advert, announced, err := onSide(s, survivor, after)
		if err != nil {
			return began, ended, err
		}
		if began.IsZero() || advert.Before(began) {
			began = advert
		}
		if announced.After(ended) {
			ended = announced
		}
	}
	return began, ended, nil
}

// resigned is when a gateway first said priority 0 on any side, after some moment.
func resigned(sides []side, gateway string, after time.Time) (first time.Time, err error) {
	for _, s := range sides {
		for _, f := range s.frames() {
			if f.From != gateway || !f.At.After(after) || first.Before(f.At) && !first.IsZero() {
				continue
			}
			if p := capture.Decode(f.Data); p.Kind == capture.VRRP && p.Priority == 0 {
				first = f.At
			}
		}
	}
	if first.IsZero() {
		err = fmt.Errorf("bench: %s did not resign", gateway)
	}
	return first, err
}

func onSide(s side, survivor string, after time.Time) (advert, announced time.Time, err error) {
	for _, f := range s.frames() {
		if f.From != survivor || !f.At.After(after) {
			continue
		}
		p := capture.Decode(f.Data)
		if p.Kind == capture.VRRP && p.Priority > 0 && advert.IsZero() {
			advert = f.At
		}
		if p.Announces(s.address) && announced.IsZero() {
			announced = f.At
		}
	}
	if advert.IsZero() || announced.IsZero() {
		return advert, announced, fmt.Errorf("%w: %s on %s: advert %v, announcement %v", errNotYet, survivor, s.name, !advert.IsZero(), !announced.IsZero())
	}
	return advert, announced, nil
}
