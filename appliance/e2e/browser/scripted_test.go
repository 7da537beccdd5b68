package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"understudy/appliance"
	"understudy/appliance/history"
	"understudy/appliance/trend"
	"understudy/appliance/web"
	"understudy/appliance/web/live"
	"understudy/appliance/web/page"
)

// script is a node that stands as it is told to.
type script struct {
	mu    sync.Mutex
	here  appliance.Status
	there *appliance.Status
	past  []history.Event
	trend trend.Trend
}

func (s *script) set(fn func()) { s.mu.Lock(); defer s.mu.Unlock(); fn() }

func (s *script) Status(context.Context) (appliance.Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.here, nil
}

func (s *script) Peers(context.Context) []live.Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.there == nil {
		return nil
	}
	b, err := json.Marshal(s.there)
	if err != nil {
		panic(err)
	}
	return []live.Peer{{Name: s.there.Node, Status: b, AgeSeconds: 0.4}}
}

func (s *script) History() []history.Event { return s.past }
func (s *script) Fine(to []trend.Sample, since time.Time) []trend.Sample {
	return s.trend.Fine(to, since)
}
func (s *script) Coarse(to []trend.Sample, since time.Time) []trend.Sample {
	return s.trend.Coarse(to, since)
}

func at(ago time.Duration) time.Time { return time.Now().Add(-ago) }

func ptr[T any](v T) *T { return &v }

// busy is a node with some of everything, and a good part of it wrong.
func busy() *script {
	node := func(name, state string, priority uint8) appliance.Status {
		s := appliance.NewStatus()
		s.Node, s.Version, s.UptimeSeconds = name, "v1.4.0", 93784
		for i, r := range []struct{ name, iface, address string }{{"lan", "bond0", "10.0.0.1/24"}, {"wan", "wan0", "203.0.113.1/24"}, {"guest", "bond0.30", "10.30.0.1/24"}} {
			s.Routers = append(s.Routers, appliance.RouterStatus{Name: r.name, Interface: r.iface, VRID: uint8(51 + i), Family: "ipv4", Version: 3, State: state, Priority: priority,
				EffectivePriority: priority, AdvertIntervalSeconds: 0.1, Addresses: []string{r.address}, Transitions: 2, LastTransition: ptr(at(47 * time.Minute)),
				Adverts: appliance.AdvertStatus{Sent: 28213, Received: 112}, Drops: map[string]uint64{"checksum": 3}})
		}
		s.Groups = []appliance.GroupStatus{{Name: "edge", State: state, Term: 7, Members: []string{"lan", "wan"}}, {Name: "guest", State: state, Term: 3, Members: []string{"guest"}}}
		s.Election.Lateness = appliance.Histogram{Count: 1000, MaxSeconds: 0.0021, Buckets: []appliance.Bucket{{UpToSeconds: ptr(0.0001), Count: 900}, {UpToSeconds: ptr(0.001), Count: 95}, {Count: 5}}}
		s.Sessions = &appliance.SessionsStatus{Mode: "incremental", Ack: "applied", InSync: true, Peers: []appliance.PeerStatus{}, Overload: appliance.OverloadStatus{Step: "calm"}}
		s.Guard.Mode = "alarm"
		return s
	}
	s := &script{here: node("gw1", "active", 180)}
	there := node("gw2", "backup", 100)
	h := &s.here
	h.Routers[0].Priority, h.Routers[1].Priority, h.Routers[2].Priority = 200, 200, 200
	h.Sessions.Local, h.Sessions.LagSeconds, h.Sessions.Dirty = 48213, ptr(0.0231), 61
	h.Sessions.Unprotected = appliance.UnprotectedStatus{Total: 64, Peer: "gw2", Young: 3, InFlight: 61}
	h.Sessions.Peers = []appliance.PeerStatus{{Name: "gw2", Connected: true, Address: "10.255.0.2:7788", LagSeconds: ptr(0.0231)}}
	there.Sessions.Foreign = 48152
	h.NAT.Source, h.NAT.Forwards, h.NAT.Static, h.NAT.Drops = 3, 12, 4, map[string]uint64{"gate": 18, "unknown": 204}
	h.NAT.Entries = []appliance.EntryStatus{
		{Name: "shop", Address: "203.0.113.10:443/tcp", Group: "edge", Steer: "weight", Enough: true, Servers: []appliance.ServerStatus{
			{Address: "10.0.0.21:443", State: "up", Weight: 2, Share: 0.67, Connections: ptr(3181)}, {Address: "10.0.0.22:443", State: "down", Check: "shop2"},
			{Address: "10.0.0.23:443", State: "up", Weight: 1, Share: 0.33, Connections: ptr(1604)}, {Address: "10.0.0.24:443", State: "up", Drained: true, Connections: ptr(12)}}},
		{Name: "dns", Address: "203.0.113.10:53/udp", Group: "edge", Steer: "client", Servers: []appliance.ServerStatus{{Address: "10.0.0.31:53", State: "down"}}}}
	h.Checks = []appliance.CheckStatus{
		{Name: "upstream", Kind: "icmp", State: "up", Since: at(26 * time.Hour), TookSeconds: 0.0042, Results: 90000},
		{Name: "shop2", Kind: "https", State: "down", Since: at(4 * time.Minute), LastError: "status 503 Service Unavailable <img src=x onerror=alert(1)>", TookSeconds: 0.031, Results: 90000, Flapping: true},
		{Name: "resolver", Kind: "dns", State: "down", Since: at(90 * time.Second), LastError: "no answer within 1s", TookSeconds: 1, Results: 90000},
		{Name: "backup-line", Kind: "tcp", State: "unknown"}}
	h.Bonds = []appliance.BondStatus{{Name: "bond0", State: "degraded", Mode: "lacp", Carrying: 1, Needed: 1,
		Members:  []appliance.BondMember{{Interface: "eth2", Up: true, Carries: true}, {Interface: "eth3", Up: true}},
		Findings: []appliance.BondFinding{{Name: "partner-mismatch", Severity: "critical", Since: at(11 * time.Minute), Detail: "eth3 is cabled to another switch than eth2: 00:1b:21:aa:00:07, not 00:1b:21:aa:00:02"}}}}
	h.Alarms = []appliance.Alarm{
		{Name: appliance.AlarmBond, Since: at(11 * time.Minute), Detail: "bond0: eth3 is cabled to another switch than eth2"},
		{Name: appliance.AlarmCheckDown, Since: at(4 * time.Minute), Detail: "shop2, resolver"},
		{Name: appliance.AlarmServers, Since: at(90 * time.Second), Detail: "dns has no server"},
		{Name: appliance.AlarmDuplicate, Since: at(20 * time.Second), Detail: "10.0.0.1 is answered for by 52:54:00:12:34:56 on bond0 as well"}}
	s.there = &there
	s.past = []history.Event{
		{ID: 9, At: at(20 * time.Second), Kind: "alarm", Subject: "duplicate-address", To: "raised", Text: "duplicate-address: 10.0.0.1 is answered for by 52:54:00:12:34:56 as well"},
		{ID: 8, At: at(4 * time.Minute), Kind: "check", Subject: "shop2", To: "down", Text: "check shop2 went down", Cause: "status 503"},
		{ID: 7, At: at(47 * time.Minute), Kind: "transition", Group: "edge", To: "active", Text: "edge became active: gw2 was not heard any more", Cause: "active-down", DurationSeconds: 0.3418,
			Evidence: []string{"last advert of gw2 341 ms before", "the session link was up", "check upstream is up"},
			Phases:   []history.Phase{{Name: "detect", Seconds: 0.3391}, {Name: "sessions", Seconds: 0.0004}, {Name: "gate", Seconds: 0.0006}, {Name: "addresses", Seconds: 0.0011}, {Name: "announce", Seconds: 0.0006}}},
		{ID: 6, At: at(26 * time.Hour), Kind: "process", Text: "the daemon started"}}
	for i := range 900 {
		now := at(time.Duration(900-i) * 2 * time.Second)
		lag := time.Duration(2+i%7) * time.Millisecond
		if i > 780 && i < 800 {
			lag = time.Duration(900-10*(800-i)) * time.Millisecond / 4
		}
		s.trend.Add(trend.Sample{At: now, Own: 46000 + 9*(i%31) + 2*i, Lag: lag, Linked: i < 700 || i > 712, InSync: i > 3, Active: true, Changes: uint64(100 * i)})
	}
	return s
}

// show serves the script as a daemon does, with a token or without.
func show(t *testing.T, s *script, token string) (address string, l *live.Live, stop func()) {
	t.Helper()
	html, policy, err := page.Status()
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	l = live.New(s, log)
	pages := http.NewServeMux()
	pages.Handle("GET /{$}", page.Handler(html, policy))
	pages.Handle("GET /v1/live", l)
	return serve(t, web.Config{Address: netip.MustParseAddrPort("127.0.0.1:0"), Token: token, Open: []string{"/"}}, pages, l, log)
}

func serve(t *testing.T, c web.Config, h http.Handler, l *live.Live, log *slog.Logger) (address string, _ *live.Live, stop func()) {
	t.Helper()
	server, err := web.Listen(c, h, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { l.Run(ctx); done <- nil }()
	go func() { done <- server.Serve(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := errors.Join(<-done, <-done); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return fmt.Sprintf("http://%s/", server.Addr()), l, stop
}

// TestPageWithAlarms: some of everything, much of it wrong, in light, dark and narrow;
// what comes from the network is text, whatever it says.
func TestPageWithAlarms(t *testing.T) {
	s := busy()
	address, l, stop := show(t, s, "")
	b := open(t, start(t), address, desk, false)
	b.says("Protected, with 4 alarms")
	b.says("64 sessions of 48\u202f213 would be lost: 3 young and 61 in flight")
	for _, want := range []string{"<img src=x onerror=alert(1)>", "not enough servers", "does not carry", "of 200", "2 of 4 down", "drained"} {
		b.says(want)
	}
	b.until("grave alarms first", `document.querySelector(".alarms li b").textContent.includes("duplicate-address")`)
	b.until("no picture of theirs", `document.images.length === 0`)
	b.accessible("[aria-live=polite]")
	b.shot("alarms")

	// What one has opened stays open, though the page is drawn anew each second.
	b.do("open the evidence", chromedp.Click(chromedp.CSS("summary")))
	b.do("a day", chromedp.Click(chromedp.CSS("[data-range=coarse]")))
	b.until("the whole day", `document.querySelector("[data-range=coarse]").getAttribute("aria-pressed") === "true"`)
	s.set(func() { s.here.Sessions.Local = 48999 })
	l.Kick()
	b.says("48\u202f999")
	b.says("the session link was up")
	b.until("the choice is still so", `document.querySelector("[data-range=coarse]").getAttribute("aria-pressed") === "true" && document.activeElement.dataset.range === "coarse"`)

	s.set(func() {
		s.here.Alarms = append(s.here.Alarms, appliance.Alarm{Name: appliance.AlarmSplitBrain, Since: time.Now(), Detail: "gw2 is active, too"})
		s.there.Groups[0].State = "active"
	})
	l.Kick()
	b.says("Two nodes serve at once")
	b.until("that it was said aloud", `document.getElementById("spoken").textContent.includes("Alarm split-brain")`)
	b.until("the title of the tab", `document.title.startsWith("Two nodes serve at once")`)
	b.shot("split-brain")
	b.do("as on a phone, in the dark", resize(phone), inColour(true))
	b.accessible("[aria-live=polite]")
	b.shot("alarms-phone-dark")
	b.clean()

	// The node goes; the page says so, and since when.
	stop()
	b.says("not connected; as of")
	b.clean("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET")
}

// TestPageWantsAToken: nothing is shown without it; a wrong one is told so; the right one
// is enough for the tab, and is in no address.
func TestPageWantsAToken(t *testing.T) {
	address, _, _ := show(t, busy(), "correct-horse-battery")
	b := open(t, start(t), address, phone, false)
	b.says("This node wants a token")
	b.accessible("[aria-live=polite]")
	b.shot("token-phone")
	if text := eval[string](b, "document.documentElement.outerHTML"); strings.Contains(text, "gw1") {
		t.Error("the page tells of the node, without the token")
	}
	give := func(token string) {
		b.do("a token", chromedp.SendKeys(chromedp.CSS("#token"), token), chromedp.Click(chromedp.CSS("#ask-form button")))
	}
	give("wrong-horse-battery")
	b.says("That was not the token")
	give("correct-horse-battery")
	b.says("Protected, with 4 alarms")
	b.do("once more", chromedp.Navigate(address))
	b.says("Protected, with 4 alarms")
	b.mu.Lock()
	for _, r := range b.requests {
		if strings.Contains(r, "horse") {
			t.Errorf("the token is in %s", r)
		}
	}
	b.mu.Unlock()
	b.clean("401")
}

// TestPageOfManyNodes: three, one of which is not heard.
func TestPageOfManyNodes(t *testing.T) {
	s := busy()
	s.here.Alarms = []appliance.Alarm{}
	s.here.Sessions.Peers = append(s.here.Sessions.Peers, appliance.PeerStatus{Name: "gw3"})
	address, _, _ := show(t, s, "")
	b := open(t, start(t), address, desk, false)
	b.until("three nodes", `document.querySelectorAll(".node").length === 3`)
	b.says("Not heard")
	b.accessible("[aria-live=polite]")
	b.shot("three")
	b.do("as on a phone", resize(phone))
	b.accessible("[aria-live=polite]")
	b.clean()
}
