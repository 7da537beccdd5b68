package pair

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"understudy/appliance/lab"
	"understudy/appliance/lab/capture"
)

// Watch records on both sides what a gateway must never send.
type Watch struct {
	lan, wan *capture.Capture
	routed   bool
}

// Findings is how many frames of each kind the gateways sent.
type Findings struct {
	Leaks      int      `json:"leaks"`       // with an inside source, on the outside
	Resets     int      `json:"resets"`      // TCP, on either side
	ICMPErrors int      `json:"icmp_errors"` // on either side
	Examples   []string `json:"examples"`    // the first few
}

// Clean reports whether there were none.
func (c Findings) Clean() bool { return c.Leaks+c.Resets+c.ICMPErrors == 0 }

// nobody is a network that no packet has for a source.
var nobody = netip.MustParsePrefix("255.255.255.255/32")

// StartWatch begins to record.
func (p *Pair) StartWatch() (*Watch, error) {
	w := &Watch{routed: p.opt.NoNAT}
	fromGateway := func(f capture.Frame) bool { return strings.HasPrefix(f.From, "gw") }
	start := func(seg *lab.Segment, inside netip.Prefix) (*capture.Capture, error) {
		return capture.Start(seg, capture.Options{Filter: capture.Suspicious(inside), Keep: fromGateway})
	}
	inside := InsideNet
	if w.routed {
		inside = nobody
	}
	var err error
	if w.wan, err = start(p.WAN, inside); err != nil {
		return nil, err
	}
	if w.lan, err = start(p.LAN, nobody); err != nil {
		return nil, errors.Join(err, w.wan.Stop())
	}
	return w, nil
}

// Result ends the recording.
func (w *Watch) Result() (Findings, error) {
	c := Findings{Examples: []string{}}
	err := errors.Join(w.wan.Stop(), w.lan.Stop())
	for _, side := range []struct {
		name   string
		frames []capture.Frame
	}{{"wan", w.wan.Frames()}, {"lan", w.lan.Frames()}} {
		for _, f := range side.frames {
			p := capture.Decode(f.Data)
			switch {
			case side.name == "wan" && !w.routed && InsideNet.Contains(p.Src):
				c.Leaks++
			case p.Kind == capture.TCP:
				c.Resets++
			default:
				c.ICMPErrors++
			}
			if len(c.Examples) < 10 {
				c.Examples = append(c.Examples, fmt.Sprintf("%s %s", side.name, f))
			}
		}
	}
	return c, err
}
