package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"understudy/appliance/lab/capture"
)

// MassOptions sets [RunMass] up. The zero value crashes each program nine times
// with 1000 addresses, in four routers of one interface that move together.
type MassOptions struct {
	Beside
	Addresses int
}

func (o MassOptions) withDefaults() MassOptions {
	o.Beside = o.Beside.withDefaults(9)
	if o.Addresses <= 0 {
		o.Addresses = 1000
	}
	return o
}

const (
	massInterval  = 100 * time.Millisecond // of adverts
	massPerRouter = 250                    // addresses: 255 fit into an advert
)

// MassReport is what [RunMass] found. Its JSON form is a contract: keys may be
// added, never removed.
type MassReport struct {
	Machine    Machine   `json:"machine"`
	Addresses  int       `json:"addresses"`
	IntervalMS float64   `json:"interval_ms"`
	Rows       []MassRow `json:"rows"` // ours, then keepalived
}

// MassRow is one program. All times are from the survivor's first advert on the
// wire, in ms.
type MassRow struct {
	Software  string  `json:"software"`
	Takeovers []Mass  `json:"takeovers"`
	FirstMS   Summary `json:"first_address_ms"`
	AllMS     Summary `json:"all_addresses_ms"`
	HeardMS   Summary `json:"first_announcement_ms"`
	ToldMS    Summary `json:"all_announced_ms"`
	LastMS    Summary `json:"last_announcement_ms"`
	Frames    Summary `json:"frames"` // announcements of all addresses in that time
}

// Mass is one takeover.
type Mass struct {
	FirstMS float64 `json:"first_address_ms"`      // the first address is in the kernel
	AllMS   float64 `json:"all_addresses_ms"`      // the last one is
	HeardMS float64 `json:"first_announcement_ms"` // the first announcement of any is on the wire
	ToldMS  float64 `json:"all_announced_ms"`      // the first announcement of the last one is
	// LastMS is when the last announcement of the first wave passed: before a
	// silence of 30 ms.
	LastMS float64 `json:"last_announcement_ms"`
	Frames int     `json:"frames"` // announcements until then
}

// waveEnd is a silence that ends a wave of announcements.
const waveEnd = 30 * time.Millisecond

// RunMass crashes gateways with many addresses. When it returns, nothing of what
// it started is left.
func RunMass(ctx context.Context, opt MassOptions) (_ *MassReport, err error) {
	opt = opt.withDefaults()
	r := &MassReport{Machine: thisMachine(time.Now()), Addresses: opt.Addresses, IntervalMS: ms(massInterval)}
	all, err := programs(opt.Beside)
	if err != nil {
		return nil, err
	}
	g, err := newGround(2, "lan0")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	for _, p := range all {
		r.Rows = append(r.Rows, MassRow{Software: p.Name()})
	}
	for range opt.Runs {
		for i, p := range all {
			one, err := mass(ctx, opt, g, p)
			if err != nil {
				return nil, fmt.Errorf("bench: %d addresses, %s: %w", opt.Addresses, p.Name(), err)
			}
			r.Rows[i].Takeovers = append(r.Rows[i].Takeovers, one)
			opt.say("%s, %d addresses: ms after the first advert: the first one in the kernel %.2f, all %.2f; the first announced %.2f, all %.2f, the last of %d announcements %.2f",
				p.Name(), opt.Addresses, one.FirstMS, one.AllMS, one.HeardMS, one.ToldMS, one.Frames, one.LastMS)
		}
	}
	for i := range r.Rows {
		r.Rows[i].sum()
	}
	r.Machine.LoadAfter = load()
	return r, nil
}

// crowded is the setup of a box with n addresses on one interface.
func crowded(n int) func(int) setup {
	return func(box int) setup {
		s := setup{node: fmt.Sprintf("gw%d", box+1), priority: 200 - 100*box, interval: massInterval, group: "all"}
		for first := 0; first < n; first += massPerRouter {
			r := virtualRouter{name: fmt.Sprintf("r%d", len(s.routers)+1), iface: "lan0", vrid: len(s.routers) + 1}
			for i := first; i < min(n, first+massPerRouter); i++ {
				r.addresses = append(r.addresses, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(1 + i/250), byte(1 + i%250)}), 16))
			}
			s.routers = append(s.routers, r)
		}
		return s
	}
}

// mass boots both boxes, crashes the first one and looks at the second.
func mass(ctx context.Context, opt MassOptions, g *ground, p program) (one Mass, err error) {
	setup := crowded(opt.Addresses)
	if err := g.play(ctx, p, setup); err != nil {
		return one, err
	}
	survivor := g.boxes[1]
	added, err := watchAddresses(survivor)
	if err != nil {
		return one, err
	}
	defer added.stop()
	c, err := capture.Start(g.segments[0], capture.Options{SnapLen: 64, Keep: func(f capture.Frame) bool {
		k := capture.Decode(f.Data).Kind
		return f.From == survivor.Name && (k == capture.VRRP || k == capture.ARP)
	}})
	if err != nil {
		return one, err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	if err := sleep(ctx, opt.calm); err != nil {
		return one, err
	}
	cut, err := g.boxes[0].Crash()
	if err != nil {
		return one, err
	}
	var told announced
	if err := g.wait(ctx, "all addresses announced by gw2", func() (err error) {
		if told, err = announcements(c.Frames(), setup(1).addresses(), cut); err == nil && time.Since(told.last) < 2*waveEnd {
			err = errors.New("still announcing")
		}
		return err
	}); err != nil {
		return one, err
	}
	if err := g.complete(survivor, setup(1)); err != nil {
		return one, err
	}
	first, last, err := added.span(setup(1).addresses(), cut)
	if err != nil {
		return one, err
	}
	since := func(t time.Time) float64 { return ms(t.Sub(told.advert)) }
	return Mass{FirstMS: since(first), AllMS: since(last), HeardMS: since(told.first), ToldMS: since(told.all), LastMS: since(told.last), Frames: told.frames}, nil
}

// announced is when a takeover showed on the wire.
type announced struct {
	advert           time.Time // the first one
	first, all, last time.Time // announcements: see Mass
	frames           int
}

// announcements reads a takeover of addresses off the frames of the survivor,
// after some moment.
func announcements(frames []capture.Frame, addresses []netip.Addr, after time.Time) (a announced, err error) {
	missing := make(map[netip.Addr]bool, len(addresses))
	for _, x := range addresses {
		missing[x] = true
	}
	of := make(map[netip.Addr]bool, len(addresses))
	for x := range missing {
		of[x] = true
	}
	for _, f := range frames {
		if !f.At.After(after) {
			continue
		}
		p := capture.Decode(f.Data)
		switch {
		case p.Kind == capture.VRRP:
			if p.Priority > 0 && a.advert.IsZero() {
				a.advert = f.At
			}
		case !of[p.Src] || !p.Announces(p.Src):
		case !a.last.IsZero() && len(missing) == 0 && f.At.Sub(a.last) > waveEnd: // the next wave
		default:
			if a.first.IsZero() {
				a.first = f.At
			}
			if missing[p.Src] {
				delete(missing, p.Src)
				a.all = f.At
			}
			a.last = f.At
			a.frames++
		}
	}
	if a.advert.IsZero() || len(missing) > 0 {
		return a, fmt.Errorf("an advert: %v; %d of %d addresses not announced", !a.advert.IsZero(), len(missing), len(addresses))
	}
	return a, nil
}

func (r *MassRow) sum() {
	for _, f := range []struct {
		to *Summary
		of func(Mass) float64
	}{
		{&r.FirstMS, func(m Mass) float64 { return m.FirstMS }},
		{&r.AllMS, func(m Mass) float64 { return m.AllMS }},
		{&r.HeardMS, func(m Mass) float64 { return m.HeardMS }},
		{&r.ToldMS, func(m Mass) float64 { return m.ToldMS }},
		{&r.LastMS, func(m Mass) float64 { return m.LastMS }},
		{&r.Frames, func(m Mass) float64 { return float64(m.Frames) }},
	} {
		*f.to = collect(r.Takeovers, f.of)
	}
}
