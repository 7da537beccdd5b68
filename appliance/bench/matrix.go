package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab/pair"
	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// Modes lists what `sessions.mode` can be, in the order of the survey's table.
func Modes() []string {
	return []string{"leader-follower", modeActive, "periodic", "incremental", "log-dependency", "log-optimistic", "hybrid"}
}

// exact tells whether a mode promises that no flow is lost whose record the peer
// has applied.
func exact(mode string) bool {
	return mode == "hybrid" || mode == "leader-follower" || mode == "incremental"
}

// MatrixOptions sets [RunMatrix] up. The zero value crashes a gateway twenty times
// in each mode, at 600 new connections a second.
type MatrixOptions struct {
	Binary   string // the program; "": the running executable
	Modes    []string
	Keys     string        // lines for [sessions], in every mode
	Crashes  int           // in each mode; 0: 20
	Few      int           // crashes in modes that promise less than [exact] ones; 0: as many
	Rate     int           // new connections a second until the crash; 0: 600
	Interval time.Duration // of adverts; 0: 100 ms
	Seed     uint64        // of the moments; 0: another one each time

	Progress io.Writer // a line for each crash; nil: nobody
	Log      io.Writer // what the gateways write; nil: only with an error
}

func (o MatrixOptions) withDefaults() MatrixOptions {
	if len(o.Modes) == 0 {
		o.Modes = Modes()
	}
	if o.Crashes <= 0 {
		o.Crashes = 20
	}
	if o.Few <= 0 {
		o.Few = o.Crashes
	}
	if o.Rate <= 0 {
		o.Rate = 600
	}
	if o.Interval == 0 {
		o.Interval = 100 * time.Millisecond
	}
	if o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	return o
}

// MatrixReport is what [RunMatrix] found. Its JSON form is a contract: keys may be
// added, never removed.
type MatrixReport struct {
	Machine    Machine     `json:"machine"`
	IntervalMS float64     `json:"interval_ms"`
	Rate       int         `json:"rate"` // new connections a second that were asked for
	Seed       uint64      `json:"seed"`
	Rows       []MatrixRow `json:"rows"`
}

// MatrixRow is all crashes in one mode.
type MatrixRow struct {
	Mode string `json:"mode"`
	// Refused is why this program does not run in the mode; no crashes then.
	Refused string       `json:"refused,omitempty"`
	Crashes []Blow       `json:"crashes"`
	Classes []ClassCount `json:"classes"` // of all crashes
	Within  bool         `json:"within"`  // of every crash
}

// RunMatrix crashes gateways at random moments, with flows of every class and many
// that have just begun, and tells what became of each. When it returns, nothing of
// what it started is left.
func RunMatrix(ctx context.Context, opt MatrixOptions) (*MatrixReport, error) {
	opt = opt.withDefaults()
	if _, err := exec.LookPath("nft"); err != nil {
		return nil, fmt.Errorf("bench: %w (apt-get install nftables)", err)
	}
	r := &MatrixReport{Machine: thisMachine(time.Now()), IntervalMS: ms(opt.Interval), Rate: opt.Rate, Seed: opt.Seed}
	for _, mode := range opt.Modes {
		row, err := matrixOf(ctx, opt, mode)
		if err != nil {
			return nil, fmt.Errorf("bench: crashes in mode %s: %w", mode, err)
		}
		r.Rows = append(r.Rows, *row)
	}
	r.Machine.LoadAfter = load()
	return r, nil
}

func matrixOf(ctx context.Context, opt MatrixOptions, mode string) (row *MatrixRow, err error) {
	row = &MatrixRow{Mode: mode, Crashes: []Blow{}}
	o := pair.Options{Binary: opt.Binary, Interval: opt.Interval, Log: opt.Log, Mode: mode, SessionKeys: opt.Keys}
	if row.Refused, err = refused(o); err != nil || row.Refused != "" {
		fmt.Fprintf(opt.Progress, "%s: %s\n", mode, row.Refused)
		return row, err
	}
	d, err := startDuoOf(ctx, o, helped)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	m := &matrix{duo: d, opt: opt, mode: mode, far: newFar(), random: rand.New(rand.NewPCG(opt.Seed, uint64(len(mode))))}
	defer m.far.stop()
	if err := m.build(); err != nil {
		return nil, err
	}
	n := opt.Crashes
	if !exact(mode) {
		n = min(n, opt.Few)
	}
	for i := range n {
		one, err := m.crash(ctx, i)
		if err != nil {
			return nil, fmt.Errorf("crash %d: %w%s", i+1, err, d.Logs())
		}
		row.Crashes = append(row.Crashes, *one)
		fmt.Fprintf(opt.Progress, "%s, crash %d: %s\n", mode, i+1, one)
	}
	row.sum()
	return row, nil
}

// refused tells why the program does not take a configuration; "": it does.
func refused(o pair.Options) (why string, err error) {
	p, err := pair.New(o)
	if err != nil {
		return "", err
	}
	if err := p.Gateways[0].Check(); err != nil {
		why, _, _ = strings.Cut(err.Error(), "\n")
	}
	return why, p.Close()
}

// routedNet is behind the inside host, and translated by nobody.
var (
	routedNet  = netip.MustParsePrefix("10.7.0.0/24")
	routedHost = netip.MustParseAddr("10.7.0.10")
)

// helped gives a gateway the rules that have its kernel's helpers read along.
func helped(g *pair.Gateway) error {
	const file = "/run/lab/helpers.nft"
	if err := g.WriteFile(file, []byte(ftpRules), 0o644); err != nil {
		return err
	}
	nft, err := g.Node.Start("nft", "-f", file)
	if err != nil {
		return err
	}
	if <-nft.Done(); nft.Err() != nil {
		return fmt.Errorf("bench: nft on %s: %w\n%s", g.Name, nft.Err(), nft.Output())
	}
	return nil
}

// matrix is the network of the crashes in one mode.
type matrix struct {
	*duo
	opt    MatrixOptions
	mode   string
	far    *far
	random *rand.Rand
}

// Ports of the far ends that are asked.
const (
	matrixTCP = 7001
	matrixUDP = 7002
)

// build adds the routed network, and the far ends.
func (m *matrix) build() error {
	if err := m.Inside.Link("eth0").AddStatic(netip.PrefixFrom(routedHost, 32)); err != nil {
		return err
	}
	for _, g := range m.Gateways {
		if err := g.Route(routedNet.String(), pair.InsideHost.String()); err != nil {
			return err
		}
	}
	return errors.Join(
		m.Outside.Route(routedNet.String(), pair.WANAddress.Addr().String()),
		m.far.listen(m.Outside, netip.AddrPortFrom(pair.Outside, matrixTCP)),
		m.far.listen(m.Inside, netip.AddrPortFrom(pair.Server, pair.TCPPort)),
		m.far.hear(m.Outside, netip.AddrPortFrom(pair.Outside, matrixUDP)),
	)
}

// callers are the ways to begin a flow, by node.
func (m *matrix) callers() (inside, outside []caller) {
	tcp, udp := netip.AddrPortFrom(pair.Outside, matrixTCP), netip.AddrPortFrom(pair.Outside, matrixUDP)
	source := caller{"tcp", pair.InsideHost, tcp, unix.IPPROTO_TCP}
	datagram := caller{"udp", pair.InsideHost, udp, unix.IPPROTO_UDP}
	routed := caller{"tcp-routed", routedHost, tcp, unix.IPPROTO_TCP}
	forward := caller{"tcp-forward", pair.Outside, netip.AddrPortFrom(pair.WANAddress.Addr(), pair.TCPPort), unix.IPPROTO_TCP}
	return []caller{source, source, datagram, source, routed}, []caller{forward}
}

// lanes share the rate: a sixth through the forward.
func (m *matrix) lanes() (lanes []stormLane) {
	inside, outside := m.callers()
	const threads = 6
	for range threads - 1 {
		lanes = append(lanes, stormLane{m.Inside, inside, max(1, m.opt.Rate/threads)})
	}
	return append(lanes, stormLane{m.Outside, outside, max(1, m.opt.Rate/threads)})
}

// crash is one round: flows of every class, new ones all the time, the power cut,
// and the question to each of them whether it goes on.
func (m *matrix) crash(ctx context.Context, round int) (one *Blow, err error) {
	watch, err := m.StartWatch()
	if err != nil {
		return nil, err
	}
	flows, err := m.flows(ctx, round)
	defer flows.stop()
	if err != nil {
		_, stop := watch.Result()
		return nil, errors.Join(err, stop)
	}
	one, err = m.cut(ctx, flows)
	found, stop := watch.Result()
	if err = errors.Join(err, stop); err != nil {
		return nil, err
	}
	one.Wrong += m.far.forget()
	one.Leaks, one.Leaked = found.Leaks, found.Examples
	one.Within = one.within(exact(m.mode))
	return one, m.comesBack(ctx)
}

// gathered is the flows of one round.
type gathered struct {
	lasting []*lasting
	calls   []*call // that stood before the others began
	young   []*call
}

func (g *gathered) stop() {
	for _, l := range g.lasting {
		l.stop()
	}
	for _, k := range append(g.calls, g.young...) {
		k.close()
	}
}

// flows begins those that are there for a while before the crash.
func (m *matrix) flows(ctx context.Context, round int) (g *gathered, err error) {
	g = &gathered{}
	one := func(l *lasting, err error) error {
		if err == nil {
			g.lasting = append(g.lasting, l)
		}
		return err
	}
	port := uint16(8100 + 4*round%400)
	if err := patiently(ctx, func(ctx context.Context) error {
		return errors.Join(one(transfer(ctx, m.Pair, port, false)), one(transfer(ctx, m.Pair, port+1, true)))
	}); err != nil {
		return g, err
	}
	if err := errors.Join(one(stream(m.Pair, port+2)), one(echoes(m.Pair, uint16(100+round))), one(association(m.Pair, 3000+uint16(round))), one(tunnel(m.Pair))); err != nil {
		return g, err
	}
	both, err := ftp(m.Pair)
	if err != nil {
		return g, err
	}
	g.lasting = append(g.lasting, both...)
	inside, outside := m.callers()
	for n, way := range []struct {
		class string
		at    caller
		from  interface{ Do(func() error) error }
		then  func(*call) error
	}{
		{"idle", inside[0], m.Inside, nil},
		{"idle", inside[4], m.Inside, nil},
		{"idle", outside[0], m.Outside, nil},
		{"server-first", inside[0], m.Inside, func(k *call) error { k.mute = true; return nil }},
		{"server-first", outside[0], m.Outside, func(k *call) error { k.mute = true; return nil }},
		{"half-closed", inside[0], m.Inside, func(k *call) error { m.far.keep(k.number()); return k.halve() }},
	} {
		for i := range 4 {
			var k *call
			c := way.at
			c.class = way.class
			if err := way.from.Do(func() (err error) { k, err = c.open(-1 - 10*n - i); return err }); err != nil {
				return g, err
			}
			g.calls = append(g.calls, k)
			if k.said == "" {
				return g, fmt.Errorf("bench: %s: no answer", k)
			}
			if way.then != nil {
				if err := way.then(k); err != nil {
					return g, err
				}
			}
		}
	}
	return g, nil
}

// cut has new flows begin, cuts the power at a random moment, and finds out what
// became of all.
func (m *matrix) cut(ctx context.Context, g *gathered) (one *Blow, err error) {
	one = &Blow{}
	began := time.Now()
	heard := m.follow(ctx)
	storm := startStorm(m.lanes())
	after := time.Second + time.Duration(m.random.Int64N(int64(2*time.Second)))
	err = sleep(ctx, after)
	// All its processes stop by one system call: what its kernel lets through from
	// here to the cut is known to nobody.
	if err == nil {
		err = m.active.Freeze()
	}
	frozen := time.Now()
	made := storm.made()
	storm.stop.Store(true)
	from := frozen
	if err == nil {
		from, err = m.active.Crash()
	}
	said := heard()
	said.copies = m.mode == modeActive
	held := map[session.Key]session.Record{}
	if err == nil {
		held, err = entries(m.standby)
	}
	g.young = storm.end()
	if err != nil {
		return nil, err
	}
	one.AfterMS, one.Rate = ms(frozen.Sub(began)), round(float64(made)/frozen.Sub(began).Seconds())
	one.Unmade, one.LagMS = storm.failed, ms(said.lag)
	if err := m.wait(ctx, m.standby.Name+" taking over", func(ctx context.Context) (err error) {
		one.Installed, err = tookOver(ctx, m.standby, from)
		return err
	}); err != nil {
		return nil, err
	}
	since := time.Now()
	deadline := since.Add(8 * time.Second)
	for _, k := range g.calls {
		if k.mute {
			_ = m.far.speak(k.number()) // if it is over, that is found out below
		}
	}
	all := append(append([]*call{}, g.calls...), g.young...)
	asked := make(chan error, 1)
	go func() { asked <- askAll(all, deadline) }()
	seen := judgeLasting(g.lasting, since, deadline)
	if err := <-asked; err != nil {
		return nil, err
	}
	for _, k := range all {
		seen = append(seen, sighting{class: k.class, what: k.String(), key: k.key, born: k.born, err: k.err, wrong: k.moved != "", spoke: !k.mute})
	}
	report, err := m.reported(ctx, seen, frozen)
	if err != nil {
		return nil, err
	}
	one.judge(seen, frozen, said, held, report)
	return one, nil
}

// judgeLasting asks the flows of a kind of their own, all at the same time.
func judgeLasting(flows []*lasting, since, deadline time.Time) []sighting {
	seen := make([]sighting, len(flows))
	done := make(chan struct{})
	for i, l := range flows {
		go func() {
			err := l.check(since, deadline)
			var wrong wrongly
			seen[i] = sighting{class: l.class, what: l.class, key: l.key, born: l.born, err: err, wrong: errors.As(err, &wrong), spoke: l.speaks}
			done <- struct{}{}
		}()
	}
	for range flows {
		<-done
	}
	return seen
}

// tookOver is a condition: a gateway is active, and tells how many sessions its
// takeover has installed.
func tookOver(ctx context.Context, g *pair.Gateway, from time.Time) (installed int, err error) {
	if err := g.Is("active")(ctx); err != nil {
		return 0, err
	}
	s, err := g.Status(ctx)
	if err != nil {
		return 0, err
	}
	if s.Sessions == nil || s.Sessions.LastTakeover == nil || s.Sessions.LastTakeover.At.Before(from.Round(0)) {
		return 0, fmt.Errorf("%w: %s knows of none", errNotYet, g.Name)
	}
	return s.Sessions.LastTakeover.Installed, nil
}

// entries are the connections in a gateway's kernel, by the original direction.
func entries(g *pair.Gateway) (map[session.Key]session.Record, error) {
	all := make(map[session.Key]session.Record)
	err := g.Do(func() error {
		k, err := conntrack.OpenKernel()
		if err != nil {
			return err
		}
		defer k.Close()
		return k.Dump(conntrack.Filter{}, func(ev *conntrack.Event) { all[ev.Rec.Key] = ev.Rec })
	})
	if err != nil {
		return nil, fmt.Errorf("bench: connections of %s: %w", g.Name, err)
	}
	return all, nil
}

// follow asks the active gateway again and again how far behind its peer is, until
// it is called to tell.
func (m *matrix) follow(ctx context.Context) (end func() horizon) {
	ctx, cancel := context.WithCancel(ctx)
	result := make(chan horizon, 1)
	go func() {
		var h horizon
		for {
			at := time.Now()
			s, err := m.active.Status(ctx)
			if err == nil && s.Sessions != nil && s.Sessions.LagSeconds != nil {
				h.say(at, time.Duration(*s.Sessions.LagSeconds*float64(time.Second)))
			}
			if sleep(ctx, 20*time.Millisecond) != nil {
				result <- h
				return
			}
		}
	}()
	return func() horizon { cancel(); return <-result }
}
