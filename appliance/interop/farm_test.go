package interop

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
)

// farm is what a gateway has behind it and before it where it has virtual servers: real
// servers, all on one node, and clients, all on another, each with an address of its own.
//
//	client ── eth0 ── gateway ── eth1 ── servers
//
// Servers note who has called which of them, by which clients know whom they got: all of
// this works with whatever the checks of a configuration want to hear.
type farm struct {
	*scene
	servers, client *lab.Node
	services        []service
	list            []served
	cert            tls.Certificate

	mu      sync.Mutex
	answers map[string]string // the client's address and port -> who was called
	open    map[netip.Addr][]io.Closer
	callers int // clients that there have been
}

// served is a port of a real server: what is spoken there, and where.
type served struct {
	talk string // tcp, udp, http, https, smtp; ping: nothing is there; sorry: tcp, and never fails
	at   netip.AddrPort
}

// service is what clients call: "tcp 10.0.1.1:80".
type service struct {
	network string
	to      netip.AddrPort
}

// Clients come from these networks, with another address each time, so that who was
// remembered to be at a server does not hide the others.
var (
	callers4 = netip.MustParsePrefix("172.30.0.0/16")
	callers6 = netip.MustParsePrefix("fd30::/64")
)

// page is what all servers have for each path, and pageDigest its MD5.
const (
	page       = "understudy\n"
	pageDigest = "70e08f825b9c1dec343437aac5d35d6d"
)

// newFarm makes both nodes, on the segments of the gateway's first and second interface.
func newFarm(s *scene, row corpusRow, gateway *lab.Node, segments []*lab.Segment) *farm {
	s.t.Helper()
	f := &farm{scene: s, servers: s.Node("servers"), client: s.Node("client"), answers: map[string]string{}, open: map[netip.Addr][]io.Closer{}}
	for one := range strings.SplitSeq(row.calls, ",") {
		words := strings.Fields(one)
		f.services = append(f.services, service{words[0], netip.MustParseAddrPort(words[1])})
	}
	var addresses []netip.Addr
	for one := range strings.SplitSeq(row.servers, ",") {
		words := strings.Fields(one)
		for _, at := range words[1:] {
			p := netip.MustParseAddrPort(at)
			f.list = append(f.list, served{words[0], p})
			if !slices.Contains(addresses, p.Addr()) {
				addresses = append(addresses, p.Addr())
			}
		}
	}
	here := row.interfaces()
	inside, outside := netip.MustParsePrefix(here[1].addresses[0]), netip.MustParsePrefix(here[0].addresses[0])
	callers, own := callers4, hostOf(outside, 9)
	if outside.Addr().Is6() {
		callers = callers6
		s.must(f.client.Sysctl("ipv6/conf/default/accept_dad", "0"))
		s.must(f.servers.Sysctl("ipv6/conf/default/accept_dad", "0"))
	}
	s.must(f.client.Sysctl("ipv4/ip_nonlocal_bind", "1"))
	s.must(f.client.Sysctl("ipv6/ip_nonlocal_bind", "1"))
	s.Join(f.client, segments[0], "eth0", netip.PrefixFrom(own, outside.Bits()).String())
	var text []string
	for _, a := range addresses {
		text = append(text, netip.PrefixFrom(a, inside.Bits()).String())
	}
	s.Join(f.servers, segments[1], "eth0", text...)
	s.must(f.client.Route(anywhere(outside), outside.Addr().String()))
	s.must(f.servers.Route(anywhere(inside), inside.Addr().String()))
	s.must(gateway.Route(callers.String(), own.String()))
	// All addresses of callers are the client's.
	lo, err := f.client.Netlink().LinkByName("lo")
	s.must(err)
	s.must(f.client.Netlink().RouteAdd(&netlink.Route{LinkIndex: lo.Attrs().Index, Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_LOCAL,
		Scope: netlink.SCOPE_HOST, Dst: &net.IPNet{IP: callers.Addr().AsSlice(), Mask: net.CIDRMask(callers.Bits(), callers.Addr().BitLen())}}))
	if row.marked != "" {
		var to string
		var mark uint32
		_, err := fmt.Sscan(row.marked, &to, &mark)
		s.must(err)
		s.must(gateway.Do(func() error { return marks(netip.MustParseAddr(to), mark) }))
	}
	f.cert = certificate(s)
	for _, a := range addresses {
		f.up(a)
	}
	s.t.Cleanup(func() {
		for _, a := range addresses {
			f.down(a)
		}
	})
	return f
}

// marks has packets to an address marked when they come in, as somebody's firewall would.
func marks(to netip.Addr, mark uint32) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "marks"})
	chain := c.AddChain(&nftables.Chain{Name: "in", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityMangle})
	c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: to.AsSlice()},
		&expr.Immediate{Register: 1, Data: binary.NativeEndian.AppendUint32(nil, mark)},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1},
	}})
	return c.Flush()
}

// hostOf is the address with that last byte in a network.
func hostOf(p netip.Prefix, last byte) netip.Addr {
	b := p.Addr().AsSlice()
	b[len(b)-1] = last
	a, _ := netip.AddrFromSlice(b)
	return a
}

func anywhere(p netip.Prefix) string {
	if p.Addr().Is6() {
		return "::/0"
	}
	return "default"
}

// certificate is one that nobody vouches for, as neither program wants to know.
func certificate(s *scene) tls.Certificate {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s.must(err)
	of := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, of, of, &key.PublicKey, key)
	s.must(err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// addresses are the real servers, each once, the one that fails first before the others.
func (f *farm) addresses() (list []netip.Addr) {
	for _, s := range f.list {
		if s.talk != "sorry" && !slices.Contains(list, s.at.Addr()) {
			list = append(list, s.at.Addr())
		}
	}
	return list
}

// up has a server answer at all its ports.
func (f *farm) up(a netip.Addr) {
	f.t.Helper()
	f.ping(a, true)
	for _, s := range f.list {
		if s.at.Addr() != a || s.talk == "ping" {
			continue
		}
		f.must(f.servers.Do(func() error {
			if s.talk == "udp" {
				c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(s.at))
				if err == nil {
					f.opened(a, c)
					go f.echo(s, c)
				}
				return err
			}
			l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(s.at))
			if err == nil {
				f.opened(a, l)
				go f.accept(s, l)
			}
			return err
		}))
	}
}

// down has a server refuse what it is asked.
func (f *farm) down(a netip.Addr) {
	f.t.Helper()
	f.ping(a, false)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.open[a] {
		c.Close()
	}
	delete(f.open, a)
}

// ping says whether the kernel answers pings for a server, of which there is only one then.
func (f *farm) ping(a netip.Addr, answers bool) {
	f.t.Helper()
	if slices.ContainsFunc(f.list, func(s served) bool { return s.talk == "ping" && s.at.Addr() == a }) {
		f.must(f.servers.Sysctl("ipv4/icmp_echo_ignore_all", map[bool]string{true: "0", false: "1"}[answers]))
	}
}

func (f *farm) opened(a netip.Addr, c io.Closer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open[a] = append(f.open[a], c)
}

// note says who has been called by whom.
func (f *farm) note(client net.Addr, s served) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[client.String()] = s.at.String()
}

func (f *farm) echo(s served, c *net.UDPConn) {
	buf := make([]byte, 1500)
	for {
		n, from, err := c.ReadFromUDP(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			f.note(from, s)
			_, _ = c.WriteToUDP(buf[:n], from)
		}
	}
}

func (f *farm) accept(s served, l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		f.note(c.RemoteAddr(), s)
		go func() {
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(patience))
			f.speak(s, c)
		}()
	}
}

// speak is what a server says to whoever calls.
func (f *farm) speak(s served, c net.Conn) {
	if s.talk == "https" {
		c = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{f.cert}})
	}
	lines := bufio.NewScanner(c)
	switch s.talk {
	case "http", "https":
		for lines.Scan() && lines.Text() != "" {
		}
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(page), page)
		_ = c.Close() // with TLS: says that this is the end
	case "smtp":
		fmt.Fprint(c, "220 mail.example.org\r\n")
		for lines.Scan() {
			if strings.HasPrefix(strings.ToUpper(lines.Text()), "QUIT") {
				fmt.Fprint(c, "221 bye\r\n")
				return
			}
			fmt.Fprint(c, "250 mail.example.org\r\n")
		}
	default:
		_, _ = io.Copy(io.Discard, c)
	}
}

// served lists what clients get who call what the gateway has, a line for each.
func (f *farm) served() (lines []string) {
	f.t.Helper()
	for _, c := range f.services {
		got := map[string]bool{}
		for range len(f.addresses()) + 2 {
			who := f.call(c)
			got[who] = true
			if who == "silence" {
				break // the others would be as long
			}
		}
		var list []string
		for who := range got {
			list = append(list, who)
		}
		slices.Sort(list)
		lines = append(lines, fmt.Sprintf("served %s %v: %s", c.network, c.to, strings.Join(list, " ")))
	}
	return lines
}

// call has a new client call, and returns who has answered.
func (f *farm) call(c service) string {
	f.t.Helper()
	const bound = 2 * time.Second
	f.callers++
	from := callers4.Addr().As16()
	if c.to.Addr().Is6() {
		from = callers6.Addr().As16()
	}
	from[14], from[15] = byte(f.callers>>8), byte(f.callers)
	d := net.Dialer{Timeout: bound, LocalAddr: &net.TCPAddr{IP: from[:]}}
	if c.network == "udp" {
		d.LocalAddr = &net.UDPAddr{IP: from[:]}
	}
	var conn net.Conn
	err := f.client.Do(func() (err error) {
		conn, err = d.Dial(c.network, c.to.String())
		return err
	})
	if err == nil {
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(bound))
		if c.network == "udp" {
			if _, err = conn.Write([]byte("?")); err == nil {
				_, err = conn.Read(make([]byte, 1))
			}
		}
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refusal"
	case err != nil:
		return "silence"
	}
	for end := time.Now().Add(bound); time.Now().Before(end); time.Sleep(time.Millisecond) {
		f.mu.Lock()
		who := f.answers[conn.LocalAddr().String()]
		f.mu.Unlock()
		if who != "" {
			return who
		}
	}
	return "somebody"
}
