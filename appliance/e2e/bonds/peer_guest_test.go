//go:build guest

package bonds

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os/exec"
	"time"

	"github.com/vishvananda/netlink"

	"understudy/appliance/lab"
	"understudy/lacp"
	"understudy/lacp/lacpnet"
)

// peer is what the gateway's links lead to. It has one aggregate of all ports, "lag",
// which is part of the switch's core.
type peer interface {
	// put takes a port somewhere else. Its link is up afterwards.
	put(i int, at place)
}

// place is what a link leads to.
type place int

const (
	home         place = iota // the aggregate
	otherSwitch               // another system
	otherChannel              // another aggregate of the system
	nowhere                   // the link is up, and nobody speaks LACP
)

// otherKey is that of otherChannel, where we choose it.
const otherKey = 99

// mac is a system as an address.
func mac(m lacp.MAC) net.HardwareAddr { return m[:] }

// systemOf is who speaks at a place.
func systemOf(at place) lacp.MAC {
	if at == otherSwitch {
		return otherSystem
	}
	return system
}

// actors are a switch that speaks with our own actor. What carries is a team, of which
// the actor's word enables the ports.
type actors struct {
	s    *scene
	fast bool
	stop []func() // by port; nil: nobody speaks
	ends []*lacpnet.Speaker
}

// ours makes a switch of actors.
func (s *scene) ours(fast bool) {
	s.t.Helper()
	a := &actors{s: s, fast: fast, stop: make([]func(), s.links), ends: make([]*lacpnet.Speaker, s.links)}
	s.peer = a
	s.static()
	for i := range s.links {
		a.enable(i, false)
		a.put(i, home)
	}
	t := s.t
	t.Cleanup(func() {
		for i := range a.stop {
			a.put(i, nowhere)
		}
	})
}

// static makes an aggregate of the switch's ports, without LACP.
func (s *scene) static() {
	s.t.Helper()
	s.must(s.sw.Netlink().LinkAdd(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Name: "lag"}, LinkType: "team"}))
	s.teamnl("lag", "setoption", "mode", "roundrobin")
	s.enslave(s.sw, "lag", names(port, s.links)...)
	s.enslave(s.sw, "core", "lag")
}

func (s *scene) teamnl(args ...string) {
	s.t.Helper()
	p, err := s.sw.StartWith(exec.Command("teamnl", args...))
	s.must(err)
	<-p.Done()
	if err := p.Err(); err != nil {
		s.t.Errorf("teamnl %q: %v: %s", args, err, p.Output())
	}
}

func (a *actors) enable(i int, on bool) {
	a.s.t.Helper()
	a.s.teamnl("-p", port(i), "lag", "setoption", "enabled", fmt.Sprint(on))
}

func (a *actors) put(i int, at place) {
	a.s.t.Helper()
	if a.stop[i] != nil {
		a.stop[i]()
		a.stop[i] = nil
	}
	if at == nowhere {
		return
	}
	key := uint16(17)
	if at == otherChannel {
		key = otherKey
	}
	var sp *lacpnet.Speaker
	a.s.must(a.s.sw.Do(func() (err error) {
		sp, err = lacpnet.OpenSpeaker(lacp.ActorConfig{System: systemOf(at), SystemPriority: 32768, Fast: a.fast,
			Ports: []lacp.PortConfig{{Key: key, Number: uint16(i + 1), Priority: 32768}}}, slog.New(slog.DiscardHandler), port(i))
		return err
	}))
	a.ends[i] = sp
	carriesC := make(chan bool, 1) // holds the latest word
	told := false
	sp.Tap(func(_ time.Time, ac *lacp.Actor, _ lacp.ActorInput, _ []lacp.Sending) {
		if now := ac.Port(0).Carries() && at == home; now != told {
			told = now
			select {
			case <-carriesC:
			default:
			}
			carriesC <- now
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	done, followed := make(chan error, 1), make(chan struct{})
	go func() { done <- a.s.sw.Do(func() error { return sp.Run(ctx) }) }()
	go func() {
		defer close(followed)
		for on := range carriesC {
			a.enable(i, on)
		}
	}()
	a.stop[i] = func() {
		cancel()
		if err := <-done; err != nil {
			a.s.t.Errorf("the switch: %v", err)
		}
		close(carriesC)
		<-followed
		a.enable(i, false)
	}
}

// bonds are a switch that has the kernel's bonding driver.
type kernel struct{ s *scene }

// channels are the names of the aggregates at a place.
var channels = map[place]string{home: "lag", otherSwitch: "lag2", otherChannel: "lag3"}

// kernel makes a switch of bonds of the kernel.
func (s *scene) kernel(fast bool) {
	s.t.Helper()
	s.peer = &muting{s, &kernel{s}, make([]place, s.links)}
	for at, name := range channels {
		s.bond(s.sw, name, netlink.BOND_MODE_802_3AD, func(b *netlink.Bond) {
			b.LacpRate, b.AdActorSystem = rate(fast), mac(systemOf(at))
			if at == otherChannel {
				b.AdUserPortKey = otherKey
			}
		})
	}
	s.enslave(s.sw, "lag", names(port, s.links)...)
	s.enslave(s.sw, "core", "lag")
}

func (k *kernel) put(i int, at place) {
	k.s.t.Helper()
	k.s.enslave(k.s.sw, channels[at], port(i))
}

// teamds are a switch with teamd.
type teamds struct {
	s     *scene
	fast  bool
	extra []*lab.Process // of a place other than home, by port
}

// teamd makes a switch of teamd's teams.
func (s *scene) teamd(fast bool) {
	s.t.Helper()
	d := &teamds{s, fast, make([]*lab.Process, s.links)}
	s.peer = &muting{s, d, make([]place, s.links)}
	all := names(port, s.links)
	s.team(s.sw, "lag", d.config("lag", home, all...), all...)
	s.enslave(s.sw, "core", "lag")
}

func (d *teamds) config(name string, at place, links ...string) string {
	key := 0
	if at == otherChannel {
		key = otherKey
	}
	return teamConfig(name, systemOf(at), fmt.Sprintf(`{"name": "lacp", "active": true, "fast_rate": %v, "tx_hash": ["ipv4", "l4"]}`, d.fast), key, links...)
}

func (d *teamds) put(i int, at place) {
	s := d.s
	s.t.Helper()
	s.down(s.sw, port(i))
	if p := d.extra[i]; p != nil { // its team goes with it
		d.extra[i] = nil
		s.must(p.Stop(30 * time.Second))
	}
	if at == home {
		s.enslave(s.sw, "lag", port(i))
		return
	}
	s.link(s.sw, port(i), (*netlink.Handle).LinkSetNoMaster)
	d.extra[i] = s.team(s.sw, channels[at], d.config(channels[at], at, port(i)))
}

// teamConfig is teamd's.
func teamConfig(name string, system lacp.MAC, runner string, key int, links ...string) string {
	ports := ""
	for i, l := range links {
		if i > 0 {
			ports += ", "
		}
		ports += fmt.Sprintf(`%q: {"lacp_key": %d}`, l, key)
	}
	return fmt.Sprintf(`{"device": %q, "hwaddr": %q, "runner": %s, "link_watch": {"name": "ethtool"}, "ports": {%s}}`, name, system, runner, ports)
}

// team runs teamd on a node, and waits for its team.
func (s *scene) team(n *lab.Node, name, config string, links ...string) *lab.Process {
	s.t.Helper()
	for _, l := range links {
		s.down(n, l) // teamd takes none that is up
	}
	p, err := n.StartWith(exec.Command("teamd", "-c", config))
	s.must(err)
	t := s.t
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("teamd of %s on %s said:\n%s", name, n.Name, p.Output())
		}
		_ = p.Stop(10 * time.Second) // it may have gone
	})
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if _, err := n.Netlink().LinkByName(name); err == nil {
			s.up(n, name)
			return p
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("teamd made no %s: %s", name, p.Output())
		}
	}
}

// muting adds nowhere to a peer that cannot be told to be silent: its LACPDUs are lost.
type muting struct {
	s *scene
	peer
	is []place
}

func (m *muting) put(i int, at place) {
	m.s.t.Helper()
	was := m.is[i]
	m.is[i] = at
	switch {
	case at == nowhere:
		m.s.cut(m.s.sw, port(i), slow)
	case was == nowhere:
		m.s.mend(m.s.sw, port(i))
	default:
		m.peer.put(i, at)
	}
}
