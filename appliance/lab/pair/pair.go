package pair

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"understudy/appliance/lab"
)

// Addresses of the network.
var (
	InsideNet  = netip.MustParsePrefix("10.0.0.0/24")
	InsideHost = netip.MustParseAddr("10.0.0.10")
	Server     = netip.MustParseAddr("10.0.0.20") // inside, reached through forwards
	Outside    = netip.MustParseAddr("203.0.113.254")
	LANAddress = netip.MustParsePrefix("10.0.0.1/24")    // of the active gateway
	WANAddress = netip.MustParsePrefix("203.0.113.1/24") // of the active gateway
	// ServerAddress is of the active gateway too, where Server has a public address of
	// its own: with mode "active", see [Options].
	ServerAddress = netip.MustParsePrefix("203.0.113.20/24")
)

// The same for IPv6, with [Options].IPv6. It is routed, not translated. On the LAN
// the gateways have nothing but their link-local addresses; on the WAN they have
// one of the network, each its own.
var (
	InsideNet6  = netip.MustParsePrefix("2001:db8:1::/64")
	InsideHost6 = netip.MustParseAddr("2001:db8:1::10")
	Outside6    = netip.MustParseAddr("2001:db8:2::fe")
	LANAddress6 = netip.MustParsePrefix("2001:db8:1::1/64")
	WANAddress6 = netip.MustParsePrefix("2001:db8:2::1/64")
	LinkLocal   = netip.MustParsePrefix("fe80::1/64") // of the active gateway, on LAN and WAN
	inside6     = netip.PrefixFrom(InsideHost6, 64)
	outside6    = netip.PrefixFrom(Outside6, 64)
)

// Ports of the forwards; a forward leads to the same port of Server.
const (
	TCPPort = 8080
	UDPPort = 8081
)

// Group is the name of the group that both routers are in.
const Group = "gateway"

// Options sets a pair up. The zero value is the demo's.
type Options struct {
	Binary     string        // the program; "": the running executable
	Interval   time.Duration // of adverts; 0: 100 ms
	Priorities [2]uint8      // of gw1 and gw2; 0: 200 and 100

	IPv6       bool // both routers have IPv6 addresses too
	Unicast    bool // adverts go to the other gateway alone; not with IPv6
	NoNAT      bool // routed: outside then knows the way to the inside network
	NoSessions bool

	Journal string // sessions.journal; "": left out
	// Disk is a directory of this machine in which each gateway has one for its
	// journal; "": that is in the gateway, and gone when it reboots.
	Disk string

	// Mode is that of sessions; "": incremental. With "active" the gateways copy packets
	// to each other by a segment of its own, and each host inside has a public address of
	// its own: InsideHost that of the WAN, Server another one.
	Mode string

	Top         string    // lines for the beginning of both configuration files
	RouterKeys  string    // lines for both [[router]] tables of both gateways
	SessionKeys string    // lines for the [sessions] table of both gateways
	Extra       string    // lines for the end of both configuration files
	Alone       [2]string // more of them, for gw1's and gw2's alone
	Args        []string  // more arguments of `run`
	Env         []string  // more environment of the program

	// Log gets what the gateways write, each line with the gateway's name.
	Log io.Writer
}

// Pair is the network, up; the gateways' programs are started by
// [Gateway.Start].
type Pair struct {
	Net             *lab.Net
	Inside, Outside *lab.Node
	LAN, WAN, Sync  *lab.Segment
	Mirror          *lab.Segment // of packets in copy; nil but with mode "active"
	Gateways        [2]*Gateway  // gw1, gw2

	opt    Options
	secret string
}

// MirrorLink is the interface that a gateway copies packets by, where it does.
const MirrorLink = "mirror0"

// mirrors tells whether the gateways copy packets to each other.
func (o *Options) mirrors() bool { return o.Mode == "active" && !o.NoSessions }

// New builds the network.
func New(opt Options) (*Pair, error) {
	if opt.Interval == 0 {
		opt.Interval = 100 * time.Millisecond
	}
	if opt.Priorities[0] == 0 {
		opt.Priorities = [2]uint8{200, 100}
	}
	if opt.Mode == "" {
		opt.Mode = "incremental"
	}
	if opt.Binary == "" {
		exe, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("pair: %w", err)
		}
		opt.Binary = exe
	}
	var key [32]byte
	if _, err := rand.Read(key[:]); err != nil {
		return nil, fmt.Errorf("pair: secret: %w", err)
	}
	p := &Pair{Net: lab.New(), opt: opt, secret: base64.StdEncoding.EncodeToString(key[:]) + "\n"}
	if err := p.build(); err != nil {
		return nil, errors.Join(fmt.Errorf("pair: %w", err), p.Close())
	}
	return p, nil
}

func (p *Pair) build() (err error) {
	type segment struct {
		name string
		seg  **lab.Segment
	}
	segments := []segment{{"lan", &p.LAN}, {"wan", &p.WAN}, {"sync", &p.Sync}}
	if p.opt.mirrors() {
		segments = append(segments, segment{"mirror", &p.Mirror})
	}
	for _, s := range segments {
		if *s.seg, err = p.Net.Segment(s.name); err != nil {
			return err
		}
	}
	if p.Inside, err = p.host("inside", p.LAN, InsideHost, Server); err != nil {
		return err
	}
	if err = p.Inside.Route("default", LANAddress.Addr().String()); err != nil {
		return err
	}
	if p.Outside, err = p.host("outside", p.WAN, Outside); err != nil {
		return err
	}
	if p.opt.NoNAT {
		if err = p.Outside.Route(InsideNet.String(), WANAddress.Addr().String()); err != nil {
			return err
		}
	}
	if p.opt.IPv6 {
		if err = p.hosts6(); err != nil {
			return err
		}
	}
	for i := range p.Gateways {
		if p.Gateways[i], err = p.gateway(i); err != nil {
			return err
		}
	}
	return nil
}

// hosts6 gives the hosts IPv6: the one inside goes out by the link-local address,
// as one does that has heard a router advertisement.
func (p *Pair) hosts6() error {
	return errors.Join(
		p.Inside.Link("eth0").AddStatic(inside6),
		p.Inside.Route("::/0", LinkLocal.Addr().WithZone("eth0").String()),
		p.Outside.Link("eth0").AddStatic(outside6),
		p.Outside.Route(InsideNet6.String(), WANAddress6.Addr().String()),
	)
}

func (p *Pair) host(name string, seg *lab.Segment, addrs ...netip.Addr) (*lab.Node, error) {
	n, err := p.Net.Node(name)
	if err != nil {
		return nil, err
	}
	var prefixes []string
	for _, a := range addrs {
		prefixes = append(prefixes, netip.PrefixFrom(a, 24).String())
	}
	_, err = n.Join(seg, "eth0", prefixes...)
	return n, err
}

// gateway makes one machine. It does not forward: that is for the program to
// turn on, once what it must not let through is in place.
func (p *Pair) gateway(i int) (*Gateway, error) {
	name := fmt.Sprintf("gw%d", i+1)
	n, err := p.Net.Node(name)
	if err != nil {
		return nil, err
	}
	wan := []string{fmt.Sprintf("203.0.113.%d/24", i+2)}
	if p.opt.IPv6 {
		wan = append(wan, fmt.Sprintf("2001:db8:2::%d/64", i+2))
	}
	type link struct {
		seg  *lab.Segment
		name string
		ip   []string
	}
	links := []link{
		{p.LAN, "lan0", []string{fmt.Sprintf("10.0.0.%d/24", i+2)}},
		{p.WAN, "wan0", wan},
		{p.Sync, "sync0", []string{fmt.Sprintf("10.255.0.%d/30", i+1)}},
	}
	if p.Mirror != nil {
		// Where net.ipv4.conf.all.rp_filter is on it needs an address, whichever.
		links = append(links, link{p.Mirror, MirrorLink, []string{fmt.Sprintf("10.255.1.%d/30", i+1)}})
	}
	for _, l := range links {
		if _, err := n.Join(l.seg, l.name, l.ip...); err != nil {
			return nil, err
		}
	}
	return &Gateway{Node: n, pair: p, index: i}, nil
}

// Bound is the protocol's longest time from the last advert of an active
// gateway that dies to the first of the survivor: three intervals and the
// survivor's skew (RFC 9568 section 6.1).
func (p *Pair) Bound(survivor *Gateway) time.Duration {
	skew := p.opt.Interval * time.Duration(256-int(p.opt.Priorities[survivor.index])) / 256
	return 3*p.opt.Interval + skew
}

// Other returns the gateway that g is not.
func (p *Pair) Other(g *Gateway) *Gateway { return p.Gateways[1-g.index] }

// Close ends everything.
func (p *Pair) Close() error {
	for _, g := range p.Gateways {
		if g != nil {
			g.disconnect()
		}
	}
	return p.Net.Close()
}
