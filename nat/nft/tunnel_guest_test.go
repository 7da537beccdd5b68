//go:build guest

package nft_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
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

// newTunnelLab has servers behind a router, in a kernel that knows tunnels. Namespaces of
// other tests get none by that.
func newTunnelLab(t *testing.T) *directLab {
	t.Helper()
	guest.Require(t)
	if err := os.WriteFile("/proc/sys/net/core/fb_tunnels_only_for_init_net", []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	guest.Load(t, guest.Bonding, guest.IPVS, guest.Tunnels)
	return newHandingLab(t, true)
}

// What goes by MAC to servers on a link goes in tunnels to those behind a router, and
// packets that get too long by that are sent in smaller pieces.
func TestGuestTunnelByIPVS(t *testing.T) {
	n := newTunnelLab(t)
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

// tunnelProgram is what the gateway runs by.
const tunnelProgram = `node = "gateway"
guard = "off"

[[router]]
name = "wan"
interface = "wan0"
vrid = 51
advertise = "500ms"
settle = "0s"
addresses = ["192.0.2.10/24"]

[[nat.entry]]
name = "web"
address = "192.0.2.10:80/tcp"
steer = "round-robin"
forward = "tunnel"
servers = [{ address = "10.9.0.20" }, { address = "10.9.0.21" }, { address = "10.9.0.22" }]
`

// The whole program has clients reach servers by tunnel, with all that it has in the kernel
// besides, and leaves nothing of it behind. To a keepalived.conf there is nothing wrong
// with it here.
func TestGuestTunnelByTheProgram(t *testing.T) {
	n := newTunnelLab(t)
	wan, err := n.gateway.Netlink().LinkByName("wan0")
	n.must(err)
	vip, err := netlink.ParseAddr("192.0.2.10/32")
	n.must(err)
	n.must(n.gateway.Netlink().AddrDel(wan, vip))
	n.serve(false, 80)
	undo := n.unwrap(false, entry.Tunnel{Kind: entry.IPIP})

	const spoken, file = "/run/keepalived.conf", "/run/gateway.toml"
	n.must(n.gateway.WriteFile(spoken, []byte("vrrp_instance a {\n interface lo\n virtual_router_id 1\n virtual_ipaddress { 10.0.0.1 }\n}\n"+
		"virtual_server 10.0.0.1 80 {\n lb_kind TUN\n protocol TCP\n real_server 10.9.0.20 80 {\n }\n}\n"), 0o644))
	test, err := n.gateway.Start(guest.Program, "keepalived", "-t", "-f", spoken)
	n.must(err)
	if <-test.Done(); test.Err() != nil {
		t.Errorf("keepalived -t: %v\n%s", test.Err(), test.Output())
	}

	n.must(n.gateway.WriteFile(file, []byte(tunnelProgram), 0o644))
	program, err := n.gateway.Start(guest.Program, "run", "--config", file)
	n.must(err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the program said:\n%s", program.Output())
		}
	})
	s := direct(false, entry.RoundRobin, nil) // for its address alone
	var first net.Conn
	for end := time.Now().Add(90 * time.Second); first == nil; time.Sleep(200 * time.Millisecond) {
		n.must(n.client.Do(func() (err error) {
			d := net.Dialer{Timeout: 5 * time.Second}
			if first, err = d.Dial("tcp", vipOf(s).String()); err != nil && time.Now().Before(end) {
				first, err = nil, nil // it is not active yet
			}
			return err
		}))
	}
	t.Cleanup(func() { first.Close() })
	n.must(first.SetDeadline(time.Now().Add(90 * time.Second)))
	with := n.Ask(first)
	seen := map[int]bool{}
	for range 2 * directServers {
		seen[n.Who(netip.Addr{}, vipOf(s))] = true
	}
	if len(seen) != directServers || n.Ask(first) != with {
		t.Errorf("new flows are with %v, the first, which was with %d, with %d", seen, with, n.Ask(first))
	}
	n.upload(s)
	if list := n.services(); strings.Count(list, " Tunnel ") != directServers || !strings.Contains(list, "TCP  C000020A:0050 wrr") {
		t.Errorf("IPVS has\n%s", list)
	}
	if err := program.Stop(60 * time.Second); err != nil {
		t.Error(err)
	}
	if list := n.services(); strings.Contains(list, "C000020A") {
		t.Errorf("IPVS still has\n%s", list)
	}
	undo()
}

// services is what IPVS of the gateway has.
func (n *directLab) services() string {
	n.t.Helper()
	var list []byte
	n.must(n.gateway.Do(func() (err error) { list, err = os.ReadFile("/proc/thread-self/net/ip_vs"); return err }))
	return string(list)
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
			n.must(s.Do(func() error { return hearGUE(f) }))
			all = append(all, func() error { return s.Do(func() error { return netlink.FouDel(f) }) })
		}
	}
	return func() {
		for _, f := range all {
			n.must(f())
		}
	}
}

// hearGUE is [netlink.FouAdd] without a protocol of IP's: to the kernel 0 is none.
func hearGUE(f netlink.Fou) error {
	id, err := netlink.FouFamilyId()
	if err != nil {
		return err
	}
	data := []byte{netlink.FOU_CMD_ADD, 1, 0, 0}
	for _, a := range []*nl.RtAttr{
		nl.NewRtAttr(netlink.FOU_ATTR_PORT, binary.BigEndian.AppendUint16(nil, uint16(f.Port))),
		nl.NewRtAttr(netlink.FOU_ATTR_TYPE, []byte{byte(f.EncapType)}),
		nl.NewRtAttr(netlink.FOU_ATTR_AF, []byte{byte(f.Family)}),
	} {
		data = append(data, a.Serialize()...)
	}
	r := nl.NewNetlinkRequest(id, unix.NLM_F_ACK)
	r.AddRawData(data)
	_, err = r.Execute(unix.NETLINK_GENERIC, 0)
	return err
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
	c, err := n.Call(netip.Addr{}, vipOf(s))
	n.must(err)
	defer c.Close()
	n.must(c.SetDeadline(time.Now().Add(90 * time.Second)))
	b := make([]byte, 8<<10)
	_, err = c.Write(b)
	n.must(err)
	_, err = io.ReadFull(c, b)
	n.must(err)
}
