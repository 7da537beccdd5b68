package conntrack_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"understudy/nat/conntrack"
)

// node is an unnamed network namespace: it ends with its last descriptor.
type node struct {
	ns netns.NsHandle
	nl *netlink.Handle
}

// newNode makes a namespace with conntrack events on. Without root the test is
// skipped, where namespaces are required it fails.
func newNode(t testing.TB) *node {
	t.Helper()
	if os.Getuid() != 0 {
		if os.Getenv("CI") == "true" || os.Getenv("UNDERSTUDY_REQUIRE_NETNS") == "1" {
			t.Fatal("network namespaces are required here and need root")
		}
		t.Skip("needs root")
	}
	runtime.LockOSThread()
	here, err := netns.Get()
	must(t, err)
	ns, err := netns.New()
	must(t, err)
	must(t, netns.Set(here))
	must(t, here.Close())
	runtime.UnlockOSThread()
	nl, err := netlink.NewHandleAt(ns)
	must(t, err)
	n := &node{ns: ns, nl: nl}
	t.Cleanup(func() { nl.Close(); must(t, ns.Close()) })
	lo, err := nl.LinkByName("lo")
	must(t, err)
	must(t, nl.LinkSetUp(lo))
	n.sysctl(t, "net/netfilter/nf_conntrack_events", "1")
	n.sysctl(t, "net/ipv6/conf/default/accept_dad", "0") // addresses are of use at once
	return n
}

// do runs fn on a thread in the namespace. A thread that cannot go back is
// never given back.
func (n *node) do(t testing.TB, fn func()) {
	t.Helper()
	runtime.LockOSThread()
	here, err := netns.Get()
	must(t, err)
	must(t, netns.Set(n.ns))
	defer func() {
		if netns.Set(here) == nil {
			runtime.UnlockOSThread()
		}
		_ = here.Close()
	}()
	fn()
}

func (n *node) sysctl(t testing.TB, name, value string) {
	t.Helper()
	n.do(t, func() { must(t, os.WriteFile("/proc/sys/"+name, []byte(value), 0o644)) })
}

// kernel opens an injector in the namespace.
func (n *node) kernel(t testing.TB) (k *conntrack.Kernel) {
	t.Helper()
	n.do(t, func() {
		var err error
		k, err = conntrack.OpenKernel()
		must(t, err)
	})
	t.Cleanup(func() { must(t, k.Close()) })
	return k
}

// listener opens a listener in the namespace that has joined every group.
func (n *node) listener(t testing.TB, c conntrack.ListenerConfig) (l *conntrack.Listener) {
	t.Helper()
	n.do(t, func() {
		var err error
		l, err = conntrack.OpenListener(c)
		must(t, err)
	})
	t.Cleanup(func() { must(t, l.Close()) })
	must(t, l.Join(conntrack.GroupNew, conntrack.GroupUpdate, conntrack.GroupDestroy))
	return l
}

func (n *node) addr(t testing.TB, link, prefix string) {
	t.Helper()
	l, err := n.nl.LinkByName(link)
	must(t, err)
	a, err := netlink.ParseAddr(prefix)
	must(t, err)
	a.Flags = 0x02 // IFA_F_NODAD
	must(t, n.nl.AddrAdd(l, a))
}

// route sets the route to prefix, replacing the one that was there.
func (n *node) route(t testing.TB, prefix, via string) {
	t.Helper()
	_, dst, err := net.ParseCIDR(prefix)
	must(t, err)
	must(t, n.nl.RouteReplace(&netlink.Route{Dst: dst, Gw: net.ParseIP(via)}))
}

// wire joins two nodes by a veth pair, both ends up.
func wire(t testing.TB, a *node, aName string, b *node, bName string) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = aName
	must(t, a.nl.LinkAdd(&netlink.Veth{
		LinkAttrs: attrs, PeerName: bName, PeerNamespace: netlink.NsFd(b.ns),
	}))
	for _, end := range []struct {
		n    *node
		name string
	}{{a, aName}, {b, bName}} {
		l, err := end.n.nl.LinkByName(end.name)
		must(t, err)
		must(t, end.n.nl.LinkSetUp(l))
	}
}

// snat loads a source NAT rule for everything that leaves by outside, to the
// address to and to ports from firstPort on (0: as the kernel likes), and drops what conntrack calls invalid on the way through.
func (n *node) snat(t testing.TB, outside string, to netip.Addr, firstPort uint16) {
	t.Helper()
	c, err := nftables.New(nftables.WithNetNSFd(int(n.ns)))
	must(t, err)
	family, nfproto := nftables.TableFamilyIPv4, uint32(2)
	if to.Is6() {
		family, nfproto = nftables.TableFamilyIPv6, 10
	}
	table := c.AddTable(&nftables.Table{Name: "test", Family: family})
	nat := c.AddChain(&nftables.Chain{
		Name: "postrouting", Table: table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	})
	rule := &nftables.Rule{Table: table, Chain: nat, Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: append([]byte(outside), make([]byte, 16-len(outside))...)},
		&expr.Immediate{Register: 1, Data: to.AsSlice()},
	}}
	translate := &expr.NAT{Type: expr.NATTypeSourceNAT, Family: nfproto, RegAddrMin: 1}
	if firstPort != 0 {
		translate.RegProtoMin, translate.RegProtoMax = 2, 3
		rule.Exprs = append(rule.Exprs,
			&expr.Immediate{Register: 2, Data: binary.BigEndian.AppendUint16(nil, firstPort)},
			&expr.Immediate{Register: 3, Data: binary.BigEndian.AppendUint16(nil, firstPort+99)})
	}
	rule.Exprs = append(rule.Exprs, translate)
	c.AddRule(rule)
	forward := c.AddChain(&nftables.Chain{
		Name: "forward", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter,
	})
	c.AddRule(&nftables.Rule{Table: table, Chain: forward, Exprs: []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4,
			Mask: binary.NativeEndian.AppendUint32(nil, expr.CtStateBitINVALID), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}})
	must(t, c.Flush())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
