//go:build guest

package bonds

import (
	"context"
	"fmt"
	"log/slog"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"understudy/appliance"
	"understudy/appliance/control"
	"understudy/appliance/lab"
	"understudy/appliance/lab/capture"
	"understudy/appliance/lab/guest"
	"understudy/lacp"
	"understudy/lacp/lacpnet"
)

// patience is how long anything may take. The machine is an emulated one.
const patience = 90 * time.Second

// scene is a gateway with a LAN, on which it speaks VRRP, and with two links to a
// switch:
//
//	lan ── lan0 gw eth0 ── p0 sw
//	             └ eth1 ── p1 ┘
type scene struct {
	t       *testing.T
	gw, sw  *lab.Node
	adverts *capture.Capture
	proc    *lab.Process
	client  *control.Client
}

var members, ports = []string{"eth0", "eth1"}, []string{"p0", "p1"}

func newScene(t *testing.T) *scene {
	t.Helper()
	guest.Load(t, guest.Bonding)
	l := lab.NewT(t)
	s := &scene{t: t, gw: l.Node("gw"), sw: l.Node("sw")}
	lan := l.Segment("lan")
	l.Join(s.gw, lan, "lan0", "10.0.0.2/24")
	for i := range members {
		s.must(s.gw.Wire(members[i], s.sw, ports[i]))
	}
	var err error
	s.adverts, err = capture.Start(lan, capture.Options{Filter: capture.Protocols(112)})
	s.must(err)
	t.Cleanup(func() { _ = s.adverts.Stop() })
	return s
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// bond makes a bond of links of a node.
func (s *scene) bond(n *lab.Node, mode netlink.BondMode, rate netlink.BondLacpRate, links ...string) {
	s.t.Helper()
	b := netlink.NewLinkBond(netlink.LinkAttrs{Name: "bond0"})
	b.Mode, b.Miimon = mode, 100
	if mode == netlink.BOND_MODE_802_3AD {
		b.LacpRate = rate
	}
	s.must(n.Netlink().LinkAdd(b))
	s.enslave(n, "bond0", links...)
}

func (s *scene) enslave(n *lab.Node, master string, links ...string) {
	s.t.Helper()
	nl := n.Netlink()
	m, err := nl.LinkByName(master)
	s.must(err)
	for _, name := range links {
		l, err := nl.LinkByName(name)
		s.must(err)
		s.must(nl.LinkSetDown(l))
		s.must(nl.LinkSetMaster(l, m))
		s.must(nl.LinkSetUp(l))
	}
	s.must(nl.LinkSetUp(m))
}

// link changes an interface.
func (s *scene) link(n *lab.Node, name string, change func(*netlink.Handle, netlink.Link) error) {
	s.t.Helper()
	l, err := n.Netlink().LinkByName(name)
	s.must(err)
	s.must(change(n.Netlink(), l))
}

// pull takes the cable out at the switch, plug puts it in again.
func (s *scene) pull(port string) { s.t.Helper(); s.link(s.sw, port, (*netlink.Handle).LinkSetDown) }
func (s *scene) plug(port string) { s.t.Helper(); s.link(s.sw, port, (*netlink.Handle).LinkSetUp) }

// silence lets nothing out of an interface any more, though it stays up: a fibre
// of the pair is broken. hear is its end.
func (s *scene) silence(n *lab.Node, name string) {
	s.t.Helper()
	guest.Load(s.t, guest.Netem)
	s.link(n, name, func(h *netlink.Handle, l netlink.Link) error {
		return h.QdiscReplace(netlink.NewNetem(netlink.QdiscAttrs{LinkIndex: l.Attrs().Index, Handle: netlink.MakeHandle(1, 0),
			Parent: netlink.HANDLE_ROOT}, netlink.NetemQdiscAttrs{Loss: 100}))
	})
}

func (s *scene) hear(n *lab.Node, name string) {
	s.t.Helper()
	s.link(n, name, func(h *netlink.Handle, l netlink.Link) error {
		return h.QdiscDel(&netlink.GenericQdisc{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: l.Attrs().Index, Handle: netlink.MakeHandle(1, 0),
			Parent: netlink.HANDLE_ROOT}, QdiscType: "netem"})
	})
}

// system is the switch that the gateway's links lead to, otherSystem another one.
var (
	system      = lacp.MAC{0x00, 0x1c, 0x73, 0xaa, 0x00, 0x01}
	otherSystem = lacp.MAC{0x00, 0x1c, 0x73, 0xbb, 0x00, 0x02}
)

// speaker plays the switch on one port. Two of them with the same system and key are
// a pair of switches with one aggregate. stop makes it fall silent, the link stays up.
func (s *scene) speaker(port string, number uint16, fast bool) (sp *lacpnet.Speaker, stop func()) {
	s.t.Helper()
	cfg := lacp.ActorConfig{System: system, SystemPriority: 32768, Fast: fast,
		Ports: []lacp.PortConfig{{Key: 17, Number: number, Priority: 32768}}}
	s.must(s.sw.Do(func() (err error) {
		sp, err = lacpnet.OpenSpeaker(cfg, slog.New(slog.DiscardHandler), port)
		return err
	}))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.sw.Do(func() error { return sp.Run(ctx) }) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			if err := <-done; err != nil {
				s.t.Errorf("the switch: %v", err)
			}
		}
	}
	s.t.Cleanup(stop)
	return sp, stop
}

// config is the gateway's, less what the test is about.
const config = `node = "gw"
guard = "off"

[[router]]
name = "lan"
interface = "lan0"
vrid = 51
priority = 200
advertise = "500ms"
settle = "0s"
addresses = ["10.0.0.1/24"]
`

// start runs the gateway: track is what its router tracks, bond its [[bond]].
func (s *scene) start(track, bond string) {
	s.t.Helper()
	const file, socket = "/run/understudy.toml", "/run/understudy/control.sock"
	text := fmt.Sprintf("%strack = [%q]\n\n[[bond]]\n%s\n", config, track, bond)
	s.must(s.gw.WriteFile(file, []byte(text), 0o644))
	var err error
	s.proc, err = s.gw.StartWith(exec.Command(guest.Program, "run", "--config", file, "--control", socket))
	s.must(err)
	path, err := s.gw.Path(socket)
	s.must(err)
	s.client = control.NewClient(path)
	s.t.Cleanup(func() {
		s.client.Close()
		if err := s.proc.Stop(30 * time.Second); err != nil {
			s.t.Error(err)
		}
		if s.t.Failed() {
			s.t.Logf("the gateway said:\n%s", s.proc.Output())
		}
	})
}

// until waits for a condition.
func (s *scene) until(what string, met func(appliance.Status) error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		st, err := s.client.Status(ctx)
		if err == nil {
			err = met(st)
		}
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("waited for %s: %v\nlast: %+v\nthe gateway said:\n%s", what, err, st.Bonds, s.proc.Output())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// bondIs is a condition: the bond is in that state.
func bondIs(state string) func(appliance.Status) error {
	return func(st appliance.Status) error {
		if len(st.Bonds) != 1 || st.Bonds[0].State != state {
			return fmt.Errorf("it is %+v", st.Bonds)
		}
		return nil
	}
}

// found is a condition: there is a finding of that name about that member, with
// evidence.
func found(name, member string) func(appliance.Status) error {
	return func(st appliance.Status) error {
		for _, f := range st.Bonds[0].Findings {
			if f.Name == name && (member == "" || strings.HasPrefix(f.Detail, member+": ")) && f.Detail != "" && !f.Since.IsZero() {
				return nil
			}
		}
		return fmt.Errorf("findings: %+v", st.Bonds[0].Findings)
	}
}

// notFound is a condition: there is none of these names.
func notFound(names ...string) func(appliance.Status) error {
	return func(st appliance.Status) error {
		for _, f := range st.Bonds[0].Findings {
			if slices.Contains(names, f.Name) {
				return fmt.Errorf("there is %+v", f)
			}
		}
		return nil
	}
}

// all is every condition at once.
func all(conditions ...func(appliance.Status) error) func(appliance.Status) error {
	return func(st appliance.Status) error {
		for _, c := range conditions {
			if err := c(st); err != nil {
				return err
			}
		}
		return nil
	}
}

// advertised waits for an advert with that priority, sent after the wait began.
func (s *scene) advertised(priority uint8) {
	s.t.Helper()
	since := time.Now()
	s.until(fmt.Sprintf("an advert of priority %d", priority), func(appliance.Status) error {
		frames := s.adverts.Frames()
		var last uint8
		for _, f := range frames {
			if f.At.After(since) {
				if last = capture.Decode(f.Data).Priority; last == priority {
					return nil
				}
			}
		}
		return fmt.Errorf("%d adverts, the last of priority %d", len(frames), last)
	})
}

// role is a condition: the router is in that state.
func role(state string) func(appliance.Status) error {
	return func(st appliance.Status) error {
		if got := st.Routers[0].State; got != state {
			return fmt.Errorf("the router is %s: %s", got, st.Routers[0].Reason)
		}
		return nil
	}
}
