package probe_test

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/health/probe"
)

// A probe comes from the port that it is told, again and again, and while another one is on
// its way from there.
func TestSourcePort(t *testing.T) {
	n := newNetwork(t)
	const port = 8765
	from := func(target, source string) probe.Endpoint {
		return probe.Endpoint{Target: netip.MustParseAddrPort(target), Source: addr(source), SourcePort: port}
	}
	held, err := probe.NewTCP(from("10.1.0.99:80", ""))
	must(t, err)
	done := make(chan error, 1)
	go func() { done <- n.try(held, time.Second) }()

	fromC := serve(t, n.b, ":81")
	for _, tt := range []struct{ target, source, want string }{
		{"10.1.0.2:81", "", "10.1.0.1:8765"},
		{"10.1.0.2:81", "10.1.0.11", "10.1.0.11:8765"},
		{"[2001:db8:1::2]:81", "", "[2001:db8:1::1]:8765"},
	} {
		p, err := probe.NewTCP(from(tt.target, tt.source))
		must(t, err)
		for range 3 {
			must(t, n.try(p, soon))
			if got := <-fromC; netip.AddrPortFrom(got.Addr().Unmap(), got.Port()) != netip.MustParseAddrPort(tt.want) {
				t.Errorf("from %v, want %s", got, tt.want)
			}
		}
	}
	called := make(chan string, 9)
	serveHTTP(t, n.b, ":80", &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { called <- r.RemoteAddr })})
	for _, target := range []string{"10.1.0.2:80", "[2001:db8:1::2]:80"} {
		p, err := probe.NewHTTP(probe.HTTPConfig{Endpoint: from(target, "")})
		must(t, err)
		for range 3 {
			must(t, n.try(p, soon))
			if got := netip.MustParseAddrPort(<-called); got.Port() != port {
				t.Errorf("from %v, want port %d", got, port)
			}
		}
	}
	if err := <-done; err == nil {
		t.Error("nobody answers")
	}
}

// What a probe sends carries its mark: routes that are there for the mark alone are used.
func TestMark(t *testing.T) {
	n := newNetwork(t)
	const table, mark = 100, 0x20
	for family, to := range map[int]string{unix.AF_INET: "10.1.0.2/32", unix.AF_INET6: "2001:db8:1::2/128"} {
		r := netlink.NewRule()
		r.Family, r.Table, r.Mark, r.Priority = family, table, mark, 10
		must(t, n.a.Netlink().RuleAdd(r))
		dst, err := netlink.ParseIPNet(to)
		must(t, err)
		must(t, n.a.Netlink().RouteAdd(&netlink.Route{Family: family, Dst: dst, Table: table, Type: unix.RTN_UNREACHABLE}))
	}
	serveHTTP(t, n.b, ":80", &http.Server{Handler: pages()})
	for _, target := range []string{"10.1.0.2:80", "[2001:db8:1::2]:80"} {
		for m, want := range map[uint32]string{0: "", mark + 1: "", mark: "no route to host"} {
			e := probe.Endpoint{Target: netip.MustParseAddrPort(target), Mark: m}
			tcp, err := probe.NewTCP(e)
			must(t, err)
			page, err := probe.NewHTTP(probe.HTTPConfig{Endpoint: e})
			must(t, err)
			ping, err := probe.NewICMP(probe.ICMPConfig{Target: e.Target.Addr(), Mark: m})
			must(t, err)
			for name, p := range map[string]probe.Prober{"tcp": tcp, "http": page, "icmp": ping} {
				outcome(t, name+" "+target, want, n.try(p, soon))
			}
		}
	}
}
