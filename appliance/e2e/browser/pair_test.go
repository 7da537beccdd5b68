package browser

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"understudy/appliance/lab/pair"
	"understudy/appliance/lab/probe"
)

var (
	desk  = [2]int64{1280, 900}
	phone = [2]int64{390, 844}
)

// reach is a loopback address here that leads to the page of a gateway there.
func reach(t *testing.T, g *pair.Gateway) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	probe.Accept(l, func(c net.Conn) {
		var to net.Conn
		err := g.Do(func() (err error) {
			to, err = net.DialTimeout("tcp", "127.0.0.1:7790", patience)
			return err
		})
		if err != nil {
			return
		}
		defer to.Close()
		go func() { defer to.Close(); io.Copy(to, c) }()
		io.Copy(c, to)
	})
	return "http://" + l.Addr().String() + "/"
}

// more is the configuration beside that of the demo: an entry point and its servers.
func more() string {
	var b, servers strings.Builder
	for i := 1; i <= 3; i++ {
		to := fmt.Sprintf("%s:443", pair.ServerHost(i))
		fmt.Fprintf(&b, "[[check]]\nname = \"web%d\"\nkind = \"tcp\"\ntarget = %q\nevery = \"200ms\"\nfall = 3\n", i, to)
		fmt.Fprintf(&servers, "  { address = %q, check = \"web%d\" },\n", to, i)
	}
	fmt.Fprintf(&b, "[[nat.entry]]\nname = \"web\"\naddress = \"203.0.113.1:8443/tcp\"\nservers = [\n%s]\n", &servers)
	return b.String()
}

// TestPageOfAPair: a real pair under traffic, looked at from both sides: in peace, while
// the active one dies, and after. Nothing is reloaded: what is seen came by itself.
func TestPageOfAPair(t *testing.T) {
	browser := start(t)
	p := pair.NewT(t, pair.Options{Binary: binary, Interval: 500 * time.Millisecond, Extra: more()})
	gw1, gw2 := p.Gateways[0], p.Gateways[1]
	nodes, err := p.Servers(3)
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range nodes {
		at := net.JoinHostPort(pair.ServerHost(i+1).String(), "443")
		p.WaitT(t, "a server at "+at, func(ctx context.Context) error {
			g, err := probe.StartGreeter(ctx, n, addrPort(at), byte('1'+i))
			if err == nil {
				t.Cleanup(g.Stop)
			}
			return err
		})
	}
	for _, g := range p.Gateways {
		if err := g.Start(); err != nil {
			t.Fatal(err)
		}
	}
	p.WaitT(t, "gw1 active, in sync", p.Settled(gw1))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	traffic, err := p.StartTraffic(ctx, pair.TrafficOptions{Connections: 120})
	if err != nil {
		t.Fatal(err)
	}
	defer traffic.Stop()

	here, there := open(t, browser, reach(t, gw1), desk, false), open(t, browser, reach(t, gw2), desk, true)
	for _, b := range []*tab{here, there} {
		b.says("would take over, and all 1") // sessions, more than a hundred
		b.until("gw1 active and gw2 standing by", `document.querySelector("#node-gw1 + .badge").textContent === "Active" && document.querySelector("#node-gw2 + .badge").textContent === "Standing by"`)
		b.until("three servers", `[...document.querySelectorAll(".item td .state")].filter((e) => e.textContent === "up").length === 3`)
		b.until("a line of lag", `document.querySelector(".line.lag")?.getAttribute("d").split("L").length > 4`)
		b.accessible("[aria-live=polite]")
	}
	here.shot("idle")
	there.shot("idle-dark")
	here.do("as on a phone", resize(phone))
	here.until("a narrow page", "innerWidth === 390")
	here.accessible("[aria-live=polite]")
	here.shot("idle-phone")
	here.do("as on a desk", resize(desk))

	// A mark on the document is gone if the page is loaded again.
	eval[string](there, `document.body.dataset.mark = "1"`)
	if _, err := gw1.Crash(); err != nil {
		t.Fatal(err)
	}
	there.until("gw2 active", `document.querySelector("#node-gw2 + .badge").textContent === "Active"`)
	there.until("that it was said aloud", `document.getElementById("spoken").textContent.includes("gw2: Active.")`)
	there.says("Not protected")
	there.until("the same document", `document.body.dataset.mark === "1"`)
	there.accessible("[aria-live=polite]")
	there.shot("failover-dark")
	there.do("in light", inColour(false))
	there.accessible("[aria-live=polite]")
	there.shot("failover")
	there.do("as on a phone", resize(phone))
	there.accessible("[aria-live=polite]")
	there.shot("failover-phone")
	there.do("as on a desk", resize(desk))
	here.says("not connected")
	here.shot("lost")

	// It comes back, and the page of it finds it again.
	if err := gw1.Reboot(); err != nil {
		t.Fatal(err)
	}
	if err := gw1.Start(); err != nil {
		t.Fatal(err)
	}
	for _, b := range []*tab{here, there} {
		b.until("gw1 active again", `document.querySelector("#node-gw1 + .badge").textContent === "Active" && document.querySelector("#node-gw2 + .badge").textContent === "Standing by"`)
		b.says("would take over, and all 1")
	}
	there.shot("returned")
	there.clean()
	here.clean("net::ERR_") // of the time in which nobody was there
}
