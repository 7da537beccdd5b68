package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"understudy/appliance/lab"
	"understudy/appliance/lab/pair"
	"understudy/nat"
)

// Every kind of mapping there is, on the pair's gateways, in both families. The hosts
// have more addresses than in other tests.
const everyMapping = `
[nat]
source = [
  { from = "10.0.0.0/25", out = "wan0", to = "203.0.113.40-203.0.113.43", except = "203.0.113.253" },
  { from = "10.0.0.128/26", out = "wan0", to = "203.0.113.44" },
  { from = "10.0.0.192/26", out = "wan0", to = "203.0.113.45", ports = "split" },
  { from = "2001:db8:1::/65", out = "wan0", to = ["2001:db8:2::40", "2001:db8:2::42", "2001:db8:2::49"], except = "2001:db8:2::fd" },
  { from = "2001:db8:1:0:8000::/66", out = "wan0", to = "2001:db8:2::44" },
  { from = "2001:db8:1:0:c000::/66", out = "wan0", to = "2001:db8:2::45", ports = "split" },
]
static = [
  { public = "203.0.113.30", private = "10.0.0.30" },
  { public = "198.51.100.0/28", private = "10.0.0.64/28", router = "wan", onlink = false },
  { public = "2001:db8:2::30", private = "2001:db8:1::30" },
  { public = "2001:db8:f::100/120", private = "2001:db8:1::100/120", router = "wan", onlink = false },
]
forward = [
  { address = "203.0.113.1:5100/tcp", to = "10.0.0.20:6100" },
  { address = "203.0.113.1:5100/udp", to = "10.0.0.20:6100" },
  { address = "[2001:db8:2::1]:5100/tcp", to = "[2001:db8:1::20]:6100" },
  { address = "[2001:db8:2::1]:5100/udp", to = "[2001:db8:1::20]:6100" },
  { address = "203.0.113.1:5000-5009/tcp", to = "10.0.0.20:6000-6009" },
  { address = "203.0.113.1:5000-5009/udp", to = "10.0.0.20:6000-6009" },
  { address = "198.51.100.77:7000-7009/tcp", to = "10.0.0.20:7000", router = "wan", onlink = false },
  { address = "198.51.100.77:7000-7009/udp", to = "10.0.0.20:7000", router = "wan", onlink = false },
  { address = "[2001:db8:2::1]:5000-5009/tcp", to = "[2001:db8:1::20]:6000-6009" },
  { address = "[2001:db8:2::1]:5000-5009/udp", to = "[2001:db8:1::20]:6000-6009" },
]
`

// call is a flow through the gateways, and what its server sees of it.
type call struct {
	name     string
	from     *lab.Node
	local    string // the caller's own address
	called   string // address:port
	server   *lab.Node
	at       string   // where it answers
	seen     []string // addresses that the server may see
	conn     net.Conn
	in       *bufio.Reader
	was      string // what the server saw first
	protocol string
}

// calls are one flow through each kind of mapping, of TCP and of UDP.
func (s *scene) calls() (out []*call) {
	in, o := s.Inside, s.Outside
	for _, c := range []call{
		{name: "source pool", from: in, local: "10.0.0.10", called: "203.0.113.254:80", server: o, at: "203.0.113.254:80",
			seen: []string{"203.0.113.40", "203.0.113.41", "203.0.113.42", "203.0.113.43"}},
		{name: "source list, IPv6", from: in, local: "2001:db8:1::10", called: "[2001:db8:2::fe]:80", server: o, at: "[2001:db8:2::fe]:80",
			seen: []string{"2001:db8:2::40", "2001:db8:2::42", "2001:db8:2::49"}},
		{name: "source", from: in, local: "10.0.0.130", called: "203.0.113.254:70", server: o, at: "203.0.113.254:70", seen: []string{"203.0.113.44"}},
		{name: "source, IPv6", from: in, local: "2001:db8:1:0:8000::1", called: "[2001:db8:2::fe]:71", server: o, at: "[2001:db8:2::fe]:71", seen: []string{"2001:db8:2::44"}},
		{name: "source, split", from: in, local: "10.0.0.200", called: "203.0.113.254:72", server: o, at: "203.0.113.254:72", seen: []string{"203.0.113.45"}},
		{name: "source, split, IPv6", from: in, local: "2001:db8:1:0:c000::1", called: "[2001:db8:2::fe]:73", server: o, at: "[2001:db8:2::fe]:73", seen: []string{"2001:db8:2::45"}},
		{name: "except, IPv6", from: in, local: "2001:db8:1::10", called: "[2001:db8:2::fd]:74", server: o, at: "[2001:db8:2::fd]:74", seen: []string{"2001:db8:1::10"}},
		{name: "forward", from: o, local: "203.0.113.254", called: "203.0.113.1:5100", server: in, at: "10.0.0.20:6100", seen: []string{"203.0.113.254"}},
		{name: "forward, IPv6", from: o, local: "2001:db8:2::fe", called: "[2001:db8:2::1]:5100", server: in, at: "[2001:db8:1::20]:6100", seen: []string{"2001:db8:2::fe"}},
		{name: "hairpin by a forward, IPv6", from: in, local: "2001:db8:1::10", called: "[2001:db8:2::1]:5004", server: in, at: "[2001:db8:1::20]:6004", seen: []string{"2001:db8:2::1"}},
		{name: "except", from: in, local: "10.0.0.10", called: "203.0.113.253:81", server: o, at: "203.0.113.253:81", seen: []string{"10.0.0.10"}},
		{name: "static, out", from: in, local: "10.0.0.30", called: "203.0.113.254:82", server: o, at: "203.0.113.254:82", seen: []string{"203.0.113.30"}},
		{name: "static, in", from: o, local: "203.0.113.254", called: "203.0.113.30:83", server: in, at: "10.0.0.30:83", seen: []string{"203.0.113.254"}},
		{name: "static network, out", from: in, local: "10.0.0.69", called: "203.0.113.254:84", server: o, at: "203.0.113.254:84", seen: []string{"198.51.100.5"}},
		{name: "static network, in", from: o, local: "203.0.113.254", called: "198.51.100.5:85", server: in, at: "10.0.0.69:85", seen: []string{"203.0.113.254"}},
		{name: "static, IPv6, out", from: in, local: "2001:db8:1::30", called: "[2001:db8:2::fe]:86", server: o, at: "[2001:db8:2::fe]:86", seen: []string{"2001:db8:2::30"}},
		{name: "static, IPv6, in", from: o, local: "2001:db8:2::fe", called: "[2001:db8:2::30]:87", server: in, at: "[2001:db8:1::30]:87", seen: []string{"2001:db8:2::fe"}},
		{name: "static network, IPv6, out", from: in, local: "2001:db8:1::105", called: "[2001:db8:2::fe]:88", server: o, at: "[2001:db8:2::fe]:88", seen: []string{"2001:db8:f::105"}},
		{name: "static network, IPv6, in", from: o, local: "2001:db8:2::fe", called: "[2001:db8:f::105]:89", server: in, at: "[2001:db8:1::105]:89", seen: []string{"2001:db8:2::fe"}},
		{name: "range", from: o, local: "203.0.113.254", called: "203.0.113.1:5003", server: in, at: "10.0.0.20:6003", seen: []string{"203.0.113.254"}},
		{name: "range to a port, routed", from: o, local: "203.0.113.254", called: "198.51.100.77:7009", server: in, at: "10.0.0.20:7000", seen: []string{"203.0.113.254"}},
		{name: "range, IPv6", from: o, local: "2001:db8:2::fe", called: "[2001:db8:2::1]:5009", server: in, at: "[2001:db8:1::20]:6009", seen: []string{"2001:db8:2::fe"}},
		{name: "hairpin by a static address", from: in, local: "10.0.0.10", called: "203.0.113.30:90", server: in, at: "10.0.0.30:90", seen: []string{"203.0.113.30"}},
		{name: "hairpin by a forward", from: in, local: "10.0.0.10", called: "203.0.113.1:5004", server: in, at: "10.0.0.20:6004", seen: []string{"203.0.113.1"}},
		{name: "hairpin, IPv6", from: in, local: "2001:db8:1::10", called: "[2001:db8:2::30]:91", server: in, at: "[2001:db8:1::30]:91", seen: []string{"2001:db8:2::30"}},
	} {
		for _, p := range []string{"tcp", "udp"} {
			one := c
			one.protocol = p
			one.name += ", " + p
			out = append(out, &one)
		}
	}
	return out
}

// tells answers each message with the address that it came from.
func (s *scene) tells(n *lab.Node, protocol, at string) {
	s.t.Helper()
	done := make(chan struct{})
	var closer interface{ Close() error }
	s.must(n.Do(func() error {
		if protocol == "udp" {
			c, err := net.ListenPacket("udp", at)
			if err != nil {
				return err
			}
			closer = c
			go func() {
				defer close(done)
				b := make([]byte, 64)
				for {
					_, from, err := c.ReadFrom(b)
					if err != nil {
						return
					}
					_, _ = c.WriteTo([]byte(from.String()+"\n"), from) // lost ones are asked again
				}
			}()
			return nil
		}
		l, err := net.Listen("tcp", at)
		if err != nil {
			return err
		}
		closer = l
		go func() {
			defer close(done)
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				s.t.Cleanup(func() { c.Close() })
				go func() {
					in := bufio.NewReader(c)
					for {
						if _, err := in.ReadString('\n'); err != nil {
							return
						}
						if _, err := fmt.Fprintf(c, "%s\n", c.RemoteAddr()); err != nil {
							return
						}
					}
				}()
			}
		}()
		return nil
	}))
	s.t.Cleanup(func() { closer.Close(); <-done })
}

// begin calls, and notes what the server sees.
func (s *scene) begin(c *call) error {
	d := net.Dialer{Timeout: patience}
	local := net.ParseIP(c.local)
	if c.protocol == "udp" {
		d.LocalAddr = &net.UDPAddr{IP: local}
	} else {
		d.LocalAddr = &net.TCPAddr{IP: local}
	}
	err := c.from.Do(func() (err error) {
		c.conn, err = d.DialContext(s.t.Context(), c.protocol, c.called)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	s.t.Cleanup(func() { c.conn.Close() })
	c.in = bufio.NewReader(c.conn)
	if c.was, err = c.ask(); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	for _, a := range c.seen {
		if strings.HasPrefix(c.was, a+":") || strings.HasPrefix(c.was, "["+a+"]:") {
			return nil
		}
	}
	return fmt.Errorf("%s: the server sees %s, want one of %v", c.name, c.was, c.seen)
}

// ask sends, datagrams until there is an answer, and returns who the server is called by.
func (c *call) ask() (string, error) {
	end := time.Now().Add(patience)
	if c.protocol == "tcp" {
		if err := c.conn.SetDeadline(end); err != nil {
			return "", err
		}
	}
	for {
		if _, err := c.conn.Write([]byte("who am I\n")); err != nil {
			return "", err
		}
		if c.protocol == "udp" {
			if err := c.conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
				return "", err
			}
		}
		line, err := c.in.ReadString('\n')
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || time.Now().After(end) {
			return strings.TrimSpace(line), err
		}
	}
}

// hostOf is the address of an address:port.
func hostOf(s string) string {
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		return s
	}
	return a.Addr().String()
}

// mappingScene is a pair that maps in every way there is.
func mappingScene(t *testing.T, keys string) *scene {
	t.Helper()
	s := newScene(t, pair.Options{IPv6: true, NoNAT: true, RouterKeys: keys, Extra: everyMapping})
	for _, a := range []string{"10.0.0.30/24", "10.0.0.69/24", "10.0.0.130/24", "10.0.0.200/24", "2001:db8:1::20/64", "2001:db8:1::30/64", "2001:db8:1::105/64",
		"2001:db8:1:0:8000::1/64", "2001:db8:1:0:c000::1/64"} {
		s.must(s.Inside.Link("eth0").AddStatic(netip.MustParsePrefix(a)))
	}
	for _, a := range []string{"203.0.113.253/24", "2001:db8:2::fd/64"} {
		s.must(s.Outside.Link("eth0").AddStatic(netip.MustParsePrefix(a)))
	}
	for dst, via := range map[string]string{"198.51.100.0/24": "203.0.113.1", "2001:db8:f::/64": "2001:db8:2::1"} {
		s.must(s.Outside.Route(dst, via))
	}
	return s
}

// Flows through each kind of mapping, in both directions and both families, outlive the
// gateway: the connections themselves, by the same addresses and ports. And a host has the
// same address of its pool on the other gateway for what it begins there.
func TestMappingsOutliveACrash(t *testing.T) {
	for name, keys := range macs6() {
		t.Run(name, func(t *testing.T) {
			s := mappingScene(t, keys)
			s.settle()
			calls := s.calls()
			for _, c := range calls {
				s.tells(c.server, c.protocol, c.at)
			}
			for _, c := range calls {
				if err := s.begin(c); err != nil {
					t.Error(err)
				}
			}
			if t.Failed() {
				t.FailNow()
			}
			if n := s.status(s.gw1).NAT; n.Static != 4 || n.Source != 6 || n.Forwards != 10 {
				t.Errorf("status counts %d static, %d source, %d forwards", n.Static, n.Source, n.Forwards)
			}
			s.wait("no difference", func(context.Context) error {
				if a := s.cli(s.gw1, "sessions", "--diff"); a.code != 0 || !strings.Contains(a.out, "the same sessions") {
					return fmt.Errorf("exit code %d: %s", a.code, a.out)
				}
				return nil
			})
			watch, err := s.StartWatch()
			s.must(err)

			s.crash(s.gw1)
			for _, c := range calls {
				if got, err := c.ask(); err != nil || got != c.was {
					t.Errorf("%s: the server sees %q, saw %q: %v", c.name, got, c.was, err)
				}
			}
			if took := s.status(s.gw2).Sessions.LastTakeover; took == nil || took.Installed != 0 {
				t.Errorf("the last takeover was %+v, want one with nothing left to install", took)
			}
			for _, c := range s.calls() {
				if err := s.begin(c); err != nil {
					t.Errorf("begun on the other gateway: %v", err)
					continue
				}
				for _, before := range calls {
					if before.name == c.name && strings.Contains(c.name, "split") {
						for i, was := range []string{before.was, c.was} { // each gateway gives ports of its own part
							if part := nat.DefaultPorts().Part(i, 2); !part.Contains(netip.MustParseAddrPort(was).Port()) {
								t.Errorf("%s: gateway %d of 2 gave %s, want a port of %v", c.name, i+1, was, part)
							}
						}
					}
					if before.name == c.name && hostOf(before.was) != hostOf(c.was) {
						t.Errorf("%s: had %s, has %s on the other gateway", c.name, before.was, c.was)
					}
				}
			}
			found, err := watch.Result()
			s.must(err)
			if found.Resets+found.ICMPErrors > 0 {
				t.Errorf("the gateways sent %d resets and %d ICMP errors: %q", found.Resets, found.ICMPErrors, found.Examples)
			}
		})
	}
}

// A mapping is changed by a reload, and what has not changed goes on; a gateway that is
// told nonsense says where.
func TestReloadOfMappings(t *testing.T) {
	s := mappingScene(t, "")
	s.settle()
	calls := s.calls()
	for _, c := range calls {
		s.tells(c.server, c.protocol, c.at)
		s.must(s.begin(c))
	}
	changed := func(g *pair.Gateway) string {
		return strings.Replace(g.Config(), `{ public = "203.0.113.30", private = "10.0.0.30" }`,
			`{ public = "203.0.113.30", private = "10.0.0.20" },
  { public = "203.0.113.31", private = "10.0.0.30" }`, 1)
	}
	for _, g := range s.Gateways {
		s.must(g.WriteFile(configPath, []byte(changed(g)), 0o644))
		s.ok(g, "reload")
	}
	for _, c := range calls {
		if got, err := c.ask(); err != nil || got != c.was {
			t.Errorf("%s: the server sees %q, saw %q: %v", c.name, got, c.was, err)
		}
	}
	if n := s.status(s.gw1).NAT.Static; n != 5 {
		t.Errorf("status counts %d static, want 5", n)
	}
	s.tells(s.Outside, "udp", "203.0.113.254:99")
	for local, seen := range map[string]string{"10.0.0.30": "203.0.113.31", "10.0.0.20": "203.0.113.30"} {
		c := &call{name: local, from: s.Inside, local: local, called: "203.0.113.254:99", seen: []string{seen}, protocol: "udp"}
		if err := s.begin(c); err != nil {
			t.Errorf("after the reload: %v", err)
		}
	}
	s.must(s.gw1.WriteFile(configPath, []byte(strings.Replace(changed(s.gw1), "203.0.113.31", "203.0.113.42", 1)), 0o644))
	if a := s.cli(s.gw1, "reload"); a.code == 0 || !strings.Contains(a.out, "nat.static[1].public: 203.0.113.42 is in use") {
		t.Errorf("a static address of a pool: exit code %d\n%s", a.code, a.out)
	}
}
