//go:build guest

package bonds

import (
	"fmt"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
	"understudy/appliance/lab/guest"
	"understudy/lacp"
)

// scene is the network: see the package's picture.
type scene struct {
	t          *testing.T
	client, sw *lab.Node
	gw, gw2    *gateway
	links      int
	net        *traffic
	peer       peer
}

// The switch that the gateway's links lead to, and another one.
var (
	system      = lacp.MAC{0x00, 0x1c, 0x73, 0xaa, 0x00, 0x01}
	otherSystem = lacp.MAC{0x00, 0x1c, 0x73, 0xbb, 0x00, 0x02}
	own         = lacp.MAC{0x02, 0x00, 0x00, 0x00, 0x00, 0x01} // of a team of the gateway
)

// server is who answers, reached through the gateways.
const server = "10.9.0.254"

// newScene builds it, with so many links of the gateway that leads the way by uplink,
// which is its aggregate: see bond and team.
func newScene(t *testing.T, links int, uplink string) *scene {
	t.Helper()
	guest.Load(t, guest.Bridge, guest.Nftables, guest.Bonding, guest.Team, guest.Classify)
	l := lab.NewT(t)
	s := &scene{t: t, client: l.Node("client"), sw: l.Node("sw"), links: links}
	lan := l.Segment("lan")
	s.gw = &gateway{Node: l.Node("gw"), uplink: uplink, priority: priority}
	s.gw2 = &gateway{Node: l.Node("gw2"), uplink: "wan0", priority: priority2}
	l.Join(s.client, lan, "eth0", "10.0.0.10/24")
	s.must(s.client.Route("default", "10.0.0.1"))
	l.Join(s.gw.Node, lan, "lan0", "10.0.0.2/24")
	l.Join(s.gw2.Node, lan, "lan0", "10.0.0.3/24")
	for i := range links {
		s.must(s.gw.Wire(eth(i), s.sw, port(i)))
	}
	s.must(s.gw2.Wire("wan0", s.sw, "w0"))
	s.address(s.gw2.Node, "wan0", "10.9.0.3/24")
	snooping := false
	s.must(s.sw.Netlink().LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "core"}, MulticastSnooping: &snooping}))
	s.enslave(s.sw, "core", "w0")
	s.address(s.sw, "core", server+"/24")
	s.must(s.sw.Route("10.0.0.0/24", "10.9.0.1"))
	s.net = startTraffic(s, lan)
	return s
}

// The gateway's link i, and what it leads to.
func eth(i int) string  { return fmt.Sprintf("eth%d", i) }
func port(i int) string { return fmt.Sprintf("p%d", i) }

// names are those of the first n links.
func names(of func(int) string, n int) (all []string) {
	for i := range n {
		all = append(all, of(i))
	}
	return all
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// link changes an interface.
func (s *scene) link(n *lab.Node, name string, change func(*netlink.Handle, netlink.Link) error) {
	s.t.Helper()
	l, err := n.Netlink().LinkByName(name)
	if err == nil {
		err = change(n.Netlink(), l)
	}
	if err != nil {
		s.t.Fatalf("%s of %s: %v", name, n.Name, err)
	}
}

func (s *scene) up(n *lab.Node, name string) {
	s.t.Helper()
	s.link(n, name, (*netlink.Handle).LinkSetUp)
}
func (s *scene) down(n *lab.Node, name string) {
	s.t.Helper()
	s.link(n, name, (*netlink.Handle).LinkSetDown)
}

func (s *scene) address(n *lab.Node, name, addr string) {
	s.t.Helper()
	a, err := netlink.ParseAddr(addr)
	s.must(err)
	s.link(n, name, func(h *netlink.Handle, l netlink.Link) error { return h.AddrAdd(l, a) })
}

// enslave gives links to a bond, team or bridge. They go down for that.
func (s *scene) enslave(n *lab.Node, master string, links ...string) {
	s.t.Helper()
	m, err := n.Netlink().LinkByName(master)
	s.must(err)
	for _, name := range links {
		s.down(n, name)
		s.link(n, name, func(h *netlink.Handle, l netlink.Link) error { return h.LinkSetMaster(l, m) })
		s.up(n, name)
	}
	s.up(n, master)
}

// bond makes a bond of a node, without links yet; set says what is special about it.
func (s *scene) bond(n *lab.Node, name string, mode netlink.BondMode, set func(*netlink.Bond)) {
	s.t.Helper()
	b := netlink.NewLinkBond(netlink.LinkAttrs{Name: name})
	b.Mode, b.Miimon = mode, 100
	if mode == netlink.BOND_MODE_802_3AD || mode == netlink.BOND_MODE_BALANCE_XOR {
		b.XmitHashPolicy = netlink.BOND_XMIT_HASH_POLICY_LAYER3_4
	}
	if set != nil {
		set(b)
	}
	s.must(n.Netlink().LinkAdd(b))
}

func rate(fast bool) netlink.BondLacpRate {
	if fast {
		return netlink.BOND_LACP_RATE_FAST
	}
	return netlink.BOND_LACP_RATE_SLOW
}

// bonded makes the gateway's aggregate a bond of the kernel with LACP.
func (s *scene) bonded(fast bool) {
	s.t.Helper()
	s.bond(s.gw.Node, s.gw.uplink, netlink.BOND_MODE_802_3AD, func(b *netlink.Bond) { b.LacpRate = rate(fast) })
	s.enslave(s.gw.Node, s.gw.uplink, names(eth, s.links)...)
	s.address(s.gw.Node, s.gw.uplink, "10.9.0.2/24")
}

// cut lets nothing of that protocol out of an interface any more, though it stays up;
// mend is its end. Of unix.ETH_P_ALL one fibre of the pair is broken.
func (s *scene) cut(n *lab.Node, name string, protocol uint16) {
	s.t.Helper()
	s.link(n, name, func(h *netlink.Handle, l netlink.Link) error {
		if err := h.QdiscAdd(clsact(l)); err != nil {
			return err
		}
		return h.FilterAdd(&netlink.MatchAll{
			FilterAttrs: netlink.FilterAttrs{LinkIndex: l.Attrs().Index, Parent: netlink.HANDLE_MIN_EGRESS, Priority: 1, Protocol: protocol},
			Actions:     []netlink.Action{&netlink.GenericAction{ActionAttrs: netlink.ActionAttrs{Action: netlink.TC_ACT_SHOT}}},
		})
	})
}

func (s *scene) mend(n *lab.Node, name string) {
	s.t.Helper()
	s.link(n, name, func(h *netlink.Handle, l netlink.Link) error { return h.QdiscDel(clsact(l)) })
}

func clsact(l netlink.Link) netlink.Qdisc {
	return &netlink.GenericQdisc{QdiscType: "clsact",
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: l.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}
}

// slow is the protocol of LACPDUs.
const slow = unix.ETH_P_SLOW
