package config

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"understudy/health"
	"understudy/health/expect"
)

// checksOf reads [[check]] tables beside a router.
func checksOf(t *testing.T, text string) *Config {
	t.Helper()
	return parse(t, "gw.toml", "node = \"gw1\"\n[[router]]\nname = \"lan\"\ninterface = \"lan0\"\nvrid = 51\naddresses = [\"10.0.0.1/24\"]\ntrack = [\"both\"]\n"+text)
}

const kinds = `
[[check]]
name = "page"
kind = "http"
target = "10.0.0.20"
status = "204"
match = "ready"
match_from = 5
source_port = 8765
fwmark = "0x10"
match_until = 9

[[check]]
name = "page6"
kind = "https"
target = "2001:db8::20"
host = "www.example.org"
ca_file = "ca.pem"
body = "ready"
digest = "MD5:900150983CD24FB0D6963F7D28E17F72"

[[check]]
name = "names"
kind = "dns"
target = "10.0.0.53"
answers = "ns.example.org"

[[check]]
name = "game"
kind = "udp"
target = "10.0.0.30:27015"
send = "hex:ff ff"
expect = "hex:ffXX"

[[check]]
name = "quiet"
kind = "udp"
target = "10.0.0.30:514"
send = "x"

[[check]]
name = "mail"
kind = "smtp"
target = "10.0.0.25"

[[check]]
name = "web1"
kind = "heartbeat"
listen = "0.0.0.0:7791"
secret_file = "web1.secret"
every = "2s"
timeout = "500ms"
fall = 2

[[check]]
name = "asked"
kind = "heartbeat"
target = "10.0.0.21:7791"
server = "web1"
secret_file = "/etc/web1.secret"

[[check]]
name = "timer"
kind = "watchdog"
socket = "/run/understudy/watchdog/web"
every = "10s"
damp = { half_life = "1m" }

[[check]]
name = "most"
kind = "quorum"
checks = ["page", "names", "mail"]
min = 2

[[check]]
name = "both"
kind = "all"
checks = ["timer", "most"]

[[check]]
name = "either"
kind = "any"
checks = ["page", "both"]
`

func TestChecksAreRead(t *testing.T) {
	c := checksOf(t, kinds)
	def := Default().Check
	paced := func(k Check) Check {
		k.Every, k.Timeout, k.Rise, k.Fall = time.Second, time.Second, def.Rise, def.Fall
		return k
	}
	ap := netip.MustParseAddrPort
	server, nine := c.Check("web1").Secret, 9
	if len(server) != 1 {
		t.Fatalf("secret %v", server)
	}
	for _, want := range []Check{
		paced(Check{Name: "page", Kind: CheckHTTP, Target: ap("10.0.0.20:80"), Path: "/", Method: "GET", Status: []expect.Span{{First: 204, Last: 204}}, SourcePort: 8765, Mark: 16, Match: "ready", MatchFrom: 5, MatchUntil: &nine}),
		paced(Check{Name: "page6", Kind: CheckHTTPS, Target: ap("[2001:db8::20]:443"), Path: "/", Method: "GET", Host: "www.example.org", Verify: true, CAFile: "ca.pem",
			Body: "ready", Digest: expect.Digest{Hash: "md5", Sum: "900150983cd24fb0d6963f7d28e17f72"}}),
		paced(Check{Name: "names", Kind: CheckDNS, Target: ap("10.0.0.53:53"), Query: ".", Type: "SOA", RCode: "NOERROR", Answers: []string{"ns.example.org"}}),
		paced(Check{Name: "game", Kind: CheckUDP, Target: ap("10.0.0.30:27015"), Send: []byte{0xff, 0xff}, Expect: expect.Pattern{Prefix: []byte{0xff, 0}, Mask: []byte{0xff, 0}}}),
		paced(Check{Name: "quiet", Kind: CheckUDP, Target: ap("10.0.0.30:514"), Send: []byte("x"), Expect: expect.Pattern{Text: []byte{}}, Silence: true}),
		paced(Check{Name: "mail", Kind: CheckSMTP, Target: ap("10.0.0.25:25"), Helo: "understudy"}),
		{Name: "web1", Kind: CheckHeartbeat, Every: 2 * time.Second, Timeout: 500 * time.Millisecond, Rise: def.Rise, Fall: 2, Listen: ap("0.0.0.0:7791"),
			Server: "web1", SecretFile: "web1.secret", Secret: server},
		paced(Check{Name: "asked", Kind: CheckHeartbeat, Target: ap("10.0.0.21:7791"), Server: "web1", SecretFile: "/etc/web1.secret", Secret: server}),
		{Name: "timer", Kind: CheckWatchdog, Every: 10 * time.Second, Timeout: 10 * time.Second, Rise: def.Rise, Fall: def.Fall, Socket: "/run/understudy/watchdog/web",
			Damp: health.Damp{HalfLife: time.Minute, Suppress: 2500, Reuse: 1000, Longest: 4 * time.Minute}},
		paced(Check{Name: "most", Kind: CheckQuorum, Checks: []string{"page", "names", "mail"}, Min: 2}),
		paced(Check{Name: "both", Kind: CheckAll, Checks: []string{"timer", "most"}}),
		paced(Check{Name: "either", Kind: CheckAny, Checks: []string{"page", "both"}}),
	} {
		if diff := cmp.Diff(want, *c.Check(want.Name), same); diff != "" {
			t.Errorf("%s: -want +got:\n%s", want.Name, diff)
		}
	}
	if c.Check("nobody") != nil {
		t.Error("there is a check nobody")
	}
}

func TestHowChecksAreJudged(t *testing.T) {
	c := checksOf(t, kinds)
	for name, want := range map[string]struct {
		pushed, derived bool
		needed          int
	}{
		"page": {false, false, 1}, "web1": {true, false, 1}, "asked": {false, false, 1}, "timer": {true, false, 1},
		"most": {false, true, 2}, "both": {false, true, 2}, "either": {false, true, 1},
	} {
		k := c.Check(name)
		if p := k.Pace(); p.Pushed != want.pushed || p.Derived != want.derived || k.Needed() != want.needed {
			t.Errorf("%s: %+v, %d needed", name, p, k.Needed())
		}
	}
	// "both" is tracked; its slowest part is the timer, of which nothing may come for
	// 10 s (its spread), 20 s, and 10 s twice.
	if got := c.WordBound(); got != 50*time.Second {
		t.Errorf("the first word may take %v", got)
	}
}

// A chain of checks, each made of the one before twice over, is looked at once each.
func TestManyLayersOfChecks(t *testing.T) {
	var b strings.Builder
	b.WriteString("\n[[check]]\nname = \"a0\"\nkind = \"icmp\"\ntarget = \"10.0.0.9\"\n\n[[check]]\nname = \"b0\"\nkind = \"icmp\"\ntarget = \"10.0.0.8\"\n")
	before := "0"
	for i := range 40 {
		now := string(rune('A' + i))
		for _, side := range []string{"a", "b"} {
			b.WriteString("\n[[check]]\nname = \"" + side + now + "\"\nkind = \"all\"\nchecks = [\"a" + before + "\", \"b" + before + "\"]\n")
		}
		before = now
		if i == 25 { // the next are no names
			break
		}
	}
	b.WriteString("\n[[check]]\nname = \"both\"\nkind = \"any\"\nchecks = [\"a" + before + "\"]\n")
	c := checksOf(t, b.String())
	if got := c.WordBound(); got > time.Minute {
		t.Errorf("%v", got)
	}
}
