//go:build guest

package nft_test

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/lab/guest"
	"understudy/nat/entry"
	"understudy/nat/ipvs"
)

func tunnelServer(six bool, i int) netip.Addr {
	if six {
		return netip.MustParseAddr(fmt.Sprintf("2001:db8:2::2%d", i))
	}
	return netip.MustParseAddr(fmt.Sprintf("10.9.0.2%d", i))
}

// What goes by MAC to servers on a link goes in tunnels to those behind a router, and
// packets that get too long by that are sent in smaller pieces.
func TestGuestTunnelByIPVS(t *testing.T) {
	guest.Require(t)
	// Other tests get no tunnels in their namespaces by our modules.
	if err := os.WriteFile("/proc/sys/net/core/fb_tunnels_only_for_init_net", []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	guest.Load(t, guest.Bonding, guest.IPVS, guest.Tunnels)
	n := newHandingLab(t, true)
	var table *ipvs.Table
	n.must(n.gateway.Do(func() (err error) { table, err = ipvs.Open(); return err }))
	t.Cleanup(func() { n.must(table.Close()) })
	n.d = table
	n.families(func(six bool) {
		clients := n.clients(six, 4)
		for _, tunnel := range []entry.Tunnel{{Kind: entry.IPIP}, {Kind: entry.GRE}, {Kind: entry.GUE, Port: 5555}} {
			t.Run(fmt.Sprintf("%v six %v", tunnel, six), func(t *testing.T) {
				s := direct(six, entry.RoundRobin, func(c *entry.Config) {
					c.Tunnel = tunnel
					for i := range c.Servers {
						c.Servers[i].Address = netip.AddrPortFrom(tunnelServer(six, i), 0)
					}
				})
				n.apply(s)
				if changed, err := n.d.Apply([]entry.Point{s.Point()}); err != nil || changed { // the kernel has taken the kind of the tunnel for what it is
					t.Errorf("applied again: %v, %v", changed, err)
				}
				undo := n.unwrap(six, tunnel)
				n.upload(s)
				n.life(t, s, clients)
				for i := range n.servers {
					if got := n.unwrapped(i); got == 0 {
						t.Errorf("server %d got nothing by its tunnel", i)
					}
				}
				n.apply()
				undo()
			})
		}
	})
	n.must(n.d.Clean())
}

// unwrap has every server take packets out of a tunnel, until undo is called.
func (n *directLab) unwrap(six bool, tunnel entry.Tunnel) (undo func()) {
	n.t.Helper()
	var all []func() error
	family := map[bool]int{false: unix.AF_INET, true: unix.AF_INET6}[six]
	for i, s := range n.servers {
		attrs, own := netlink.NewLinkAttrs(), tunnelServer(six, i).AsSlice()
		attrs.Name = "tun0"
		var link netlink.Link
		switch {
		case tunnel.Kind == entry.GRE:
			link = &netlink.Gretun{LinkAttrs: attrs, Local: own}
		case six:
			link = &netlink.Ip6tnl{LinkAttrs: attrs, Local: own, Proto: unix.IPPROTO_IPV6}
		default:
			link = &netlink.Iptun{LinkAttrs: attrs, Local: own, Proto: unix.IPPROTO_IPIP}
		}
		n.must(s.Netlink().LinkAdd(link))
		n.must(s.Netlink().LinkSetUp(link))
		if !six {
			n.must(s.Sysctl("ipv4/conf/tun0/rp_filter", "0"))
		}
		all = append(all, func() error { return s.Netlink().LinkDel(link) })
		if tunnel.Kind == entry.GUE {
			f := netlink.Fou{Family: family, Port: int(tunnel.Port), EncapType: netlink.FOU_ENCAP_GUE}
			n.must(s.Do(func() error { return netlink.FouAdd(f) }))
			all = append(all, func() error { return s.Do(func() error { return netlink.FouDel(f) }) })
		}
	}
	return func() {
		for _, f := range all {
			n.must(f())
		}
	}
}

// unwrapped is how many packets a server has had out of its tunnel.
func (n *directLab) unwrapped(server int) uint64 {
	n.t.Helper()
	link, err := n.servers[server].Netlink().LinkByName("tun0")
	n.must(err)
	return link.Attrs().Statistics.RxPackets
}

// upload sends what takes packets of full size, and waits for the answers.
func (n *directLab) upload(s *entry.Set) {
	n.t.Helper()
	c, err := n.call(netip.Addr{}, vipOf(s))
	n.must(err)
	defer c.Close()
	n.must(c.SetDeadline(time.Now().Add(90 * time.Second)))
	b := make([]byte, 8<<10)
	_, err = c.Write(b)
	n.must(err)
	_, err = io.ReadFull(c, b)
	n.must(err)
}
