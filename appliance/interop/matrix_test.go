package interop

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"understudy/appliance/lab"
)

// variant is a way to run a virtual router, as the three programs write it down.
type variant struct {
	name     string
	version  int
	vrid     uint8
	address  netip.Prefix
	local    netip.Prefix  // IPv6: the virtual link-local address, first in every advert
	interval time.Duration // the one to use where any will do
	learns   bool          // a Backup goes by the interval of the Active (version 3)
	low      string        // the nodes' own addresses, the second one higher
	high     string
	// ours is more keys for our router, keepalived more lines for its instance.
	// A peer that cannot do it is left out.
	ours       string
	keepalived string
	peers      []string
	only       []string // the scenarios to play; nil: all
	virtual    bool     // adverts come from the virtual MAC
	unicast    bool     // they go to the other one alone
	sealed     bool     // … in an authentication header
	group      string   // they go to; "": that of RFC 9568
}

// between puts addresses into the words OWN and OTHER of a row.
func (v variant) between(own, other string) variant {
	bare := func(s string) string { return netip.MustParsePrefix(s).Addr().String() }
	put := strings.NewReplacer("OWN", bare(own), "OTHER", bare(other))
	v.ours, v.keepalived = put.Replace(v.ours), put.Replace(v.keepalived)
	return v
}

// plays says whether the row has that scenario.
func (v variant) plays(sc scenario) bool {
	return (sc.needs == nil || sc.needs(v)) && (v.only == nil || slices.Contains(v.only, sc.name))
}

func row(name string) variant {
	i := slices.IndexFunc(variants, func(v variant) bool { return v.name == name })
	return variants[i] // a name that is not there is a slip of the test
}

var variants = []variant{
	{
		name: "v3 IPv4", version: 3, vrid: 51, address: netip.MustParsePrefix("10.0.1.254/24"), interval: 200 * time.Millisecond,
		learns: true, low: "10.0.1.2/24", high: "10.0.1.3/24",
		keepalived: "version 3", peers: []string{"keepalived", "frr"},
	},
	{
		// Both ends send from one MAC, and FRR knows no other way.
		name: "v3 IPv4 VMAC", version: 3, vrid: 51, address: netip.MustParsePrefix("10.0.1.254/24"), interval: 200 * time.Millisecond,
		learns: true, low: "10.0.1.2/24", high: "10.0.1.3/24", virtual: true,
		ours: `mac = "virtual"`, keepalived: "version 3\n  use_vmac vr51", peers: []string{"keepalived", "frr"},
	},
	{
		name: "v3 IPv6", version: 3, vrid: 51, address: netip.MustParsePrefix("2001:db8:1::fe/64"), local: netip.MustParsePrefix("fe80::fe/64"),
		interval: 200 * time.Millisecond, learns: true, low: "fe80::2/64", high: "fe80::8000:0:0:3/64",
		keepalived: "version 3", peers: []string{"keepalived", "frr"},
	},
	{
		name: "v3 IPv6 VMAC", version: 3, vrid: 51, address: netip.MustParsePrefix("2001:db8:1::fe/64"), local: netip.MustParsePrefix("fe80::fe/64"),
		interval: 200 * time.Millisecond, learns: true, low: "fe80::2/64", high: "fe80::8000:0:0:3/64", virtual: true,
		ours: `mac = "virtual"`, keepalived: "version 3\n  use_vmac vr51", peers: []string{"keepalived", "frr"},
	},
	{
		name: "v2", version: 2, vrid: 51, address: netip.MustParsePrefix("10.0.1.254/24"), interval: time.Second,
		low: "10.0.1.2/24", high: "10.0.1.3/24",
		ours: "version = 2", keepalived: "version 2", peers: []string{"keepalived", "frr"},
	},
	{
		name: "v2 PASS", version: 2, vrid: 51, address: netip.MustParsePrefix("10.0.1.254/24"), interval: time.Second,
		low: "10.0.1.2/24", high: "10.0.1.3/24",
		ours:       "version = 2\nauth_pass = \"s3cr3t\"",
		keepalived: "version 2\n  authentication {\n    auth_type PASS\n    auth_pass s3cr3t\n  }", peers: []string{"keepalived"},
		only: []string{"preempt", "crash"}, // the rest is as without
	},
	{
		name: "v2 AH", version: 2, vrid: 51, address: netip.MustParsePrefix("10.0.1.254/24"), interval: time.Second,
		low: "10.0.1.2/24", high: "10.0.1.3/24",
		ours:       "version = 2\nauth_type = \"ah\"\nauth_pass = \"s3cr3t\"",
		keepalived: "version 2\n  authentication {\n    auth_type AH\n    auth_pass s3cr3t\n  }", peers: []string{"keepalived"},
		only: []string{"preempt", "crash"},
	},
	{
		name: "v3 IPv4 another group", version: 3, vrid: 51, address: netip.MustParsePrefix("10.0.1.254/24"), interval: 200 * time.Millisecond,
		learns: true, low: "10.0.1.2/24", high: "10.0.1.3/24",
		ours: `multicast = "224.0.0.99"`, keepalived: "version 3\n  mcast_dst_ip 224.0.0.99", peers: []string{"keepalived"},
		only:  []string{"preempt", "crash"}, // the rest is as without
		group: "224.0.0.99",
	},
	{
		name: "v3 IPv6 without link-local", version: 3, vrid: 51, address: netip.MustParsePrefix("2001:db8:1::fe/64"),
		interval: 200 * time.Millisecond, learns: true, low: "fe80::2/64", high: "fe80::8000:0:0:3/64",
		ours: "link_local = false", keepalived: "version 3", peers: []string{"keepalived"},
		only: []string{"preempt", "crash"},
	},
	{
		name: "v3 IPv4 unicast", version: 3, vrid: 51, address: netip.MustParsePrefix("10.0.1.254/24"), interval: 200 * time.Millisecond,
		learns: true, low: "10.0.1.2/24", high: "10.0.1.3/24", unicast: true,
		ours: "unicast = [\"OTHER\"]\nsource = \"OWN\"", keepalived: "version 3\n  unicast_src_ip OWN\n  unicast_peer {\n    OTHER\n  }",
		peers: []string{"keepalived"},
	},
	{
		// With peers neither end uses the virtual MAC for adverts.
		name: "v3 IPv4 unicast VMAC", version: 3, vrid: 51, address: netip.MustParsePrefix("10.0.1.254/24"), interval: 200 * time.Millisecond,
		learns: true, low: "10.0.1.2/24", high: "10.0.1.3/24", unicast: true,
		ours:       "mac = \"virtual\"\nunicast = [\"10.0.1.2\", \"10.0.1.3\"]",
		keepalived: "version 3\n  use_vmac vr51\n  vmac_xmit_base\n  unicast_src_ip OWN\n  unicast_peer {\n    OTHER\n  }",
		peers:      []string{"keepalived"}, only: []string{"preempt", "release", "crash", "equal priority"},
	},
	{
		name: "v3 IPv6 unicast", version: 3, vrid: 51, address: netip.MustParsePrefix("2001:db8:1::fe/64"), local: netip.MustParsePrefix("fe80::fe/64"),
		interval: 200 * time.Millisecond, learns: true, low: "fe80::2/64", high: "fe80::8000:0:0:3/64", unicast: true,
		ours: "unicast = [\"OTHER\"]", keepalived: "version 3\n  unicast_src_ip OWN\n  unicast_peer {\n    OTHER\n  }",
		peers: []string{"keepalived"},
	},
	{
		name: "v2 unicast AH", version: 2, vrid: 51, address: netip.MustParsePrefix("10.0.1.254/24"), interval: time.Second,
		low: "10.0.1.2/24", high: "10.0.1.3/24", unicast: true, sealed: true,
		ours: "version = 2\nauth_type = \"ah\"\nauth_pass = \"s3cr3t\"\nunicast = [\"10.0.1.2\", \"10.0.1.3\"]",
		keepalived: "version 2\n  authentication {\n    auth_type AH\n    auth_pass s3cr3t\n  }\n" +
			"  unicast_src_ip OWN\n  unicast_peer {\n    OTHER\n  }",
		peers: []string{"keepalived"}, only: []string{"preempt", "crash"},
	},
	{
		name: "v2 unicast PASS", version: 2, vrid: 51, address: netip.MustParsePrefix("10.0.1.254/24"), interval: time.Second,
		low: "10.0.1.2/24", high: "10.0.1.3/24", unicast: true,
		ours: "version = 2\nauth_pass = \"s3cr3t\"\nunicast = [\"10.0.1.2\", \"10.0.1.3\"]",
		keepalived: "version 2\n  authentication {\n    auth_type PASS\n    auth_pass s3cr3t\n  }\n" +
			"  check_unicast_src\n  unicast_src_ip OWN\n  unicast_peer {\n    OTHER\n  }",
		peers: []string{"keepalived"}, only: []string{"preempt", "release", "crash", "equal priority"},
	},
}

// six says whether the row is of IPv6.
func (v variant) six() bool { return v.address.Addr().Is6() }

// addresses are the virtual ones, in the order of an advert.
func (v variant) addresses() []netip.Prefix {
	if v.local.IsValid() {
		return []netip.Prefix{v.local, v.address}
	}
	return []netip.Prefix{v.address}
}

// list is the addresses as our file has them. The link-local one, whose place in an
// advert is the first, stands last.
func (v variant) list() string {
	if v.local.IsValid() {
		return fmt.Sprintf("%q, %q", v.address, v.local)
	}
	return fmt.Sprintf("%q", v.address)
}

// mac is where our adverts are to come from.
func (v variant) mac(us *ours) string {
	switch {
	case !v.virtual:
		return us.Link("lan0").MAC.String()
	case v.six():
		return fmt.Sprintf("00:00:5e:00:02:%02x", v.vrid)
	}
	return fmt.Sprintf("00:00:5e:00:01:%02x", v.vrid)
}

// contender is a router in a duel.
type contender interface {
	start(settings)
	stop()                // in good order
	holds() (bool, error) // its kernel serves the virtual address
	machine() *lab.Node
}

// ours is a contender: the program under test.
type ours struct {
	*box
	v variant
}

func (o *ours) machine() *lab.Node { return o.Node }

func (o *ours) start(set settings) {
	o.t.Helper()
	o.run(routerTOML("lan", "lan0", o.v.vrid, set, o.v.list(), o.v.ours))
}

func (o *ours) stop() {
	o.t.Helper()
	o.end()
}

func (o *ours) holds() (bool, error) { return has(o.Node, o.v) }

// duel is two routers of one virtual router: a, which is to be Active in the end
// or at first, and b.
type duel struct {
	*scene
	v    variant
	wire *wire
	us   *ours
	own  netip.Addr // where our adverts are to come from
	a, b contender
	dead map[contender]bool
}

// newDuel puts a router of ours beside one of theirs. We are a if we are to win;
// the address of a is the higher one if so asked.
func newDuel(t *testing.T, v variant, peer string, win, higher bool) *duel {
	t.Helper()
	s := newScene(t)
	d := &duel{scene: s, v: v, dead: map[contender]bool{}}
	mine, other := s.Node("ours"), s.Node("theirs")
	mineAddr, otherAddr := v.low, v.high
	if win == higher {
		mineAddr, otherAddr = v.high, v.low
	}
	s.join(v, mine, mineAddr)
	s.join(v, other, otherAddr)
	d.us = &ours{&box{scene: s, Node: mine}, v.between(mineAddr, otherAddr)}
	d.own = netip.MustParsePrefix(mineAddr).Addr()
	var them contender
	switch peer {
	case "keepalived":
		s.tool("keepalived", "/usr/sbin/keepalived")
		them = &keepalived{scene: s, Node: other, v: v.between(otherAddr, mineAddr)}
	case "frr":
		s.tool("/usr/lib/frr/vrrpd")
		them = &frr{scene: s, Node: other, v: v, source: netip.MustParsePrefix(otherAddr)}
	default:
		t.Fatalf("no peer %q", peer)
	}
	d.a, d.b = them, contender(d.us)
	if win {
		d.a, d.b = d.us, them
	}
	d.wire = s.record(s.lan)
	d.wire.v = v
	return d
}

// TestMatrix is every scenario with every peer in both roles.
func TestMatrix(t *testing.T) {
	lab.Require(t)
	for _, v := range variants {
		for _, peer := range v.peers {
			for _, sc := range scenarios {
				if !v.plays(sc) {
					continue
				}
				for role, win := range map[string]bool{"ours wins": true, "theirs wins": false} {
					t.Run(fmt.Sprintf("%s/%s/%s/%s", v.name, peer, sc.name, role), func(t *testing.T) {
						t.Parallel()
						d := newDuel(t, v, peer, win, sc.higher)
						sc.play(d)
						d.wellFormed()
					})
				}
			}
		}
	}
}

// opens tells whether the i-th advert of one router may be the first of an activation.
func opens(sent []advert, i int) bool {
	return i == 0 || sent[i].Priority > 0 && (sent[i-1].Priority == 0 || sent[i].At.Sub(sent[i-1].At) > 2*sent[i].Interval)
}

// wellFormed looks at everything we have sent, and at what we think of what they
// have sent.
func (d *duel) wellFormed() {
	d.t.Helper()
	sent := d.wire.adverts(d.us.Name)
	var want []netip.Addr
	for _, p := range d.v.addresses() {
		want = append(want, p.Addr())
	}
	for i, a := range sent {
		if a.reason != 0 || a.data.TTL != 255 || a.data.Src != d.own {
			d.t.Errorf("we sent %v: reason %v, TTL %d", a, a.reason, a.data.TTL)
		}
		if list := a.AppendAddresses(nil); !slices.Equal(list, want) {
			d.t.Errorf("we sent %v with the addresses %v, want %v", a, list, want)
		}
		mac := d.v.mac(d.us)
		early := opens(sent, i) && a.packet.SrcMAC.String() == d.us.Link("lan0").MAC.String() // the virtual MAC is not served here yet
		if a.packet.SrcMAC.String() != mac && !early {
			d.t.Errorf("we sent %v from %v, want %v", a, a.packet.SrcMAC, mac)
		}
		if want := "rfc5798"; d.v.version == 3 && a.Form.String() != want {
			d.t.Errorf("we sent %v with a checksum of form %v; they understand %s", a, a.Form, want)
		}
	}
	if d.dead[d.us] {
		return
	}
	r, err := d.us.router("lan")
	d.must(err)
	for reason, n := range r.Drops {
		if n > 0 {
			d.t.Errorf("we dropped %d of their adverts for %s", n, reason)
		}
	}
}

// serves is a condition: the router advertises, and its kernel has the address.
func (d *duel) serves(c contender) func() error {
	return func() error {
		name := c.machine().Name
		list := d.wire.adverts(name)
		if len(list) == 0 {
			return fmt.Errorf("%s has sent nothing", name)
		}
		if a := list[len(list)-1]; a.Priority == 0 {
			return fmt.Errorf("%s has released it", name)
		} else if silent := time.Since(a.At); silent > 2*a.Interval+slack+away() {
			return fmt.Errorf("%s is silent for %v", name, silent)
		}
		if on, err := c.holds(); err != nil || !on {
			return fmt.Errorf("%s has not got the address (%v)", name, err)
		}
		if c == contender(d.us) {
			return d.us.is("lan", "active")()
		}
		return nil
	}
}

// alone is a condition: c serves, the other one neither speaks nor has the
// address.
func (d *duel) alone(c contender) func() error {
	other := d.a
	if c == d.a {
		other = d.b
	}
	return func() error {
		if err := d.serves(c)(); err != nil {
			return err
		}
		recent := last(d.wire.adverts(""), 3)
		for _, a := range recent {
			if len(recent) < 3 || a.From != c.machine().Name {
				return fmt.Errorf("the last adverts are %v", recent)
			}
		}
		if d.dead[other] {
			return nil
		}
		if on, err := other.holds(); err != nil || on {
			return fmt.Errorf("%s has the address too (%v)", other.machine().Name, err)
		}
		if other == contender(d.us) && d.us.proc != nil {
			return d.us.is("lan", "backup")()
		}
		return nil
	}
}
