package election

import (
	"net/netip"
	"slices"
	"time"

	"understudy/vrrp"
	"understudy/vrrp/vrrpnet"
)

// port is one interface and family that routers are on. It outlives deletion and
// re-creation of the interface, its socket does not.
type port struct {
	name   string
	family uint8
	port   *vrrpnet.Port // nil: there is no such interface
	link   vrrpnet.Link
	single bool // some of the routers have peers
	sealed bool // … and some of those an authentication header
	want   vrrpnet.Wanted
	groups []netip.Addr // of adverts, beside VRRP's own
	vrids  [256]int16   // index of the router, -1: not ours

	drops                drops // of no router
	sampled              time.Time
	seen                 uint   // in the sample since then
	estimated            uint64 // drops of any router and of none that were not looked at
	lost                 uint64
	sendErrors, reopened uint64
	failed               bool // could not be opened: try again
}

// route is a router as the wire knows it. Its index is that of the configuration.
type route struct {
	port     *port
	mac      vrrpnet.MAC // adverts come from; zero: the interface's own
	to       vrrpnet.MAC // adverts go to, unless there are peers
	group    int
	interval time.Duration
	sent     time.Time // last advert, priority 0 aside
	inferior time.Time // when the daemon was told last of an inferior advert
}

// member is a group as the board and the daemon know it.
type member struct {
	name    string
	routers []int
	state   vrrp.State
	term    uint64
	leaving bool

	since     time.Time // Active since then
	announced bool      // told by the daemon, in this activation

	fault      string // told by the daemon; "": none
	faultStale bool   // ... by a daemon that is no more
	unfenced   bool   // the last fence failed
}

// tables are what a configuration becomes here.
type tables struct {
	ports  []*port
	routes []route
	groups []member
	index  map[string]int // groups by name
}

// build makes the tables for a normalized configuration, keeping what stays.
func (t *tables) build(cfg vrrp.SetConfig) tables {
	next := tables{index: make(map[string]int)}
	for i, g := range cfg.Groups {
		m := member{name: g.Name}
		if old, ok := t.index[g.Name]; ok {
			m = t.groups[old]
			m.routers = nil
		}
		next.groups = append(next.groups, m)
		next.index[g.Name] = i
	}
	for i, r := range cfg.Routers {
		p := next.find(r.Interface, r.Family)
		if p == nil {
			p = &port{name: r.Interface, family: r.Family}
			if old := t.find(r.Interface, r.Family); old != nil {
				// The old one still sends what the old routers have to say.
				was := *old
				p = &was
				p.single, p.sealed, p.groups = false, false, nil
			}
			for v := range p.vrids {
				p.vrids[v] = -1
			}
			next.ports = append(next.ports, p)
		}
		p.vrids[r.VRID] = int16(i)
		p.single = p.single || len(r.Peers) > 0
		p.sealed = p.sealed || len(r.Peers) > 0 && r.AuthHeader
		group := slices.IndexFunc(cfg.Groups, func(g vrrp.GroupConfig) bool { return slices.Contains(g.Routers, r.Name) })
		next.groups[group].routers = append(next.groups[group].routers, i)
		_, to := vrrpnet.Group(r.Family)
		next.routes = append(next.routes, route{port: p, mac: sourceMAC(r), to: to, group: group, interval: r.Interval})
		if r.Multicast.IsValid() && len(r.Peers) == 0 {
			p.groups = append(p.groups, r.Multicast)
			next.routes[i].to = vrrpnet.GroupMAC(r.Multicast)
		}
		if old := t.routeOf(r); old != nil {
			next.routes[i].sent = old.sent
		}
	}
	for _, p := range next.ports {
		p.want = p.wanted(cfg)
	}
	return next
}

// sourceMAC is the Ethernet address that adverts come from. RFC 9568 7.2: with a
// virtual MAC, that one, so that switches learn where it is; also for the advert
// that resigns. At the beginning of an activation: see early.
func sourceMAC(r vrrp.RouterConfig) vrrpnet.MAC {
	if r.VirtualMAC && !r.InterfaceMAC {
		return vrrp.VirtualMAC(r.Family, r.VRID)
	}
	return vrrpnet.MAC{}
}

func (t *tables) find(name string, family uint8) *port {
	for _, p := range t.ports {
		if p.name == name && p.family == family {
			return p
		}
	}
	return nil
}

func (t *tables) routeOf(r vrrp.RouterConfig) *route {
	if p := t.find(r.Interface, r.Family); p != nil {
		if i := p.vrids[r.VRID]; i >= 0 {
			return &t.routes[i]
		}
	}
	return nil
}

// interests lists the interfaces that a configuration depends on.
func interests(cfg vrrp.SetConfig) (watch []vrrpnet.Interface) {
	for _, r := range cfg.Routers {
		for i, name := range append([]string{r.Interface}, r.Track...) {
			k := slices.IndexFunc(watch, func(w vrrpnet.Interface) bool { return w.Name == name })
			if k < 0 {
				k = len(watch)
				watch = append(watch, vrrpnet.Interface{Name: name})
			}
			// An owner's addresses are the interface's own, and do not move.
			if i == 0 && r.Priority != 255 {
				watch[k].Virtual = append(watch[k].Virtual, r.Addresses...)
			}
			if i == 0 && r.Source.IsValid() && !slices.Contains(watch[k].Chosen, r.Source) {
				watch[k].Chosen = append(watch[k].Chosen, r.Source)
			}
		}
	}
	return watch
}

// onLink follows an interface: first the sockets, then the Set, which may want to
// send at once.
func (l *loop) onLink(link vrrpnet.Link) {
	up := link.Up
	for _, p := range l.ports {
		if p.name == link.Name {
			l.follow(p, link)
			up = up && p.port != nil
		}
	}
	l.log.Debug("link", "iface", link.Name, "index", link.Index, "up", up, "primary", link.Primary4, "link_local", link.Primary6)
	if l.set != nil {
		l.step(vrrp.SetInput{Kind: vrrp.InLink, Interface: link.Name, Up: up, Gone: link.Index == 0 || up != link.Up,
			Primary: link.Primary4, LinkLocal: link.Primary6, Sources: l.sources(link)})
	}
}

// follow opens and closes a port with its interface.
func (l *loop) follow(p *port, link vrrpnet.Link) {
	again := p.failed
	p.link, p.failed = link, false
	if p.port != nil && p.port.Index != link.Index {
		p.close()
	}
	if p.port == nil && link.Index != 0 {
		fresh, err := vrrpnet.OpenPort(p.name, link.Index, p.family)
		if err != nil {
			p.failed = true
			if !again { // once, not with each retry
				l.log.Warn("port not opened", "iface", p.name, "family", p.family, "error", err)
			}
			return
		}
		p.port = fresh
		p.reopened++
	}
	if p.port == nil {
		return
	}
	p.port.MAC = link.MAC
	err := p.port.Want(p.want)
	if err == nil {
		err = p.port.Join(p.groups)
	}
	if err == nil && p.single {
		err = p.port.OpenUnicast()
	}
	if err == nil && p.sealed {
		err = p.port.OpenSealed()
	}
	if err != nil {
		p.failed = true
		if p.close(); !again {
			l.log.Warn("port not opened", "iface", p.name, "family", p.family, "error", err)
		}
	}
}

// reopen tries again what could not be opened.
func (l *loop) reopen() {
	for _, p := range l.ports {
		if p.failed {
			l.onLink(p.link)
		}
	}
}

func (l *loop) planReopen() {
	l.retryPorts = time.Time{}
	for _, p := range l.ports {
		if p.failed {
			l.retryPorts = l.now.Add(100 * time.Millisecond)
		}
	}
}

func (p *port) primary() netip.Addr {
	if p.family == 6 {
		return p.link.Primary6
	}
	return p.link.Primary4
}

func (p *port) close() {
	if p.port != nil {
		p.lost += p.port.Lost()
		p.port.Close()
		p.port = nil
	}
}

const (
	// receiveBound is how many packets are taken from a port in a turn.
	receiveBound = 64
	// patience is for how many turns an expired timer waits for what lies before
	// it in a port: longer than the socket is deep.
	patience = 64
)

// receive takes packets from a port. It tells whether all of them were taken that
// had come in until then.
func (l *loop) receive(p *port, until time.Time) (through bool) {
	for n := 0; p.port != nil && n < receiveBound; n++ {
		ok, err := p.port.Receive(l.now, &l.frame)
		if err == vrrpnet.ErrGone {
			continue // said once per socket; the watcher tells the rest
		}
		if !ok {
			return true
		}
		through = through || l.frame.At.After(until)
		l.onFrame(p)
	}
	return through || p.port == nil
}

func (l *loop) onFrame(p *port) {
	r, d := l.judge(p)
	if r.reason != vrrp.ReasonNone {
		l.refused(p, r, 1, l.frame.At)
		return
	}
	router, inferior := r.router, l.set.Inferior(r.router)
	out := l.decide(vrrp.SetInput{Kind: vrrp.InAdvert, Router: router, Src: d.Src, Advert: &l.advert, Rx: l.frame.At})
	if reason := dropped(out.Ops); reason != vrrp.ReasonNone {
		l.guard.Refused(l.frame.At, router, d.Src, reason)
	} else {
		l.guard.Heard(l.frame.At, l.set, router, d.Src, &l.advert)
	}
	l.apply(l.now, out)
	if l.set.Inferior(router) != inferior {
		l.tellInferior(router, d.Src)
	}
}

// inferiorPace is how often the daemon is told of inferior adverts of one router.
const inferiorPace = time.Second

// tellInferior tells the daemon of the advert that is in hand.
func (l *loop) tellInferior(router int, src netip.Addr) {
	r := &l.routes[router]
	if !r.inferior.IsZero() && l.now.Sub(r.inferior) < inferiorPace {
		return
	}
	r.inferior = l.now
	c := &l.set.Config().Routers[router]
	l.tell(Inferior{Router: c.Name, Family: c.Family, Source: src, Priority: l.advert.Priority})
}

// dropped is why the Set has refused an advert; ReasonNone: it has not.
func dropped(ops []vrrp.Op) vrrp.Reason {
	for i := range ops {
		if ops[i].Kind == vrrp.OpDrop {
			return ops[i].Reason
		}
	}
	return vrrp.ReasonNone
}
