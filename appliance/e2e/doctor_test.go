package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"understudy/appliance/doctor"
	"understudy/appliance/lab"
	"understudy/appliance/lab/probe"
)

// ward is a machine that is examined, and another one beside it.
type ward struct {
	*lab.T
	t         *testing.T
	gw, other *lab.Node
	lan, ha   *lab.Link // of gw
	far       *lab.Link // of other, in the LAN
}

const wardConfig = `node = "gw1"
[[router]]
name = "lan"
interface = "lan0"
vrid = 51
priority = 100
advertise = "100ms"
mac = "virtual"
addresses = ["10.0.0.1/24"]
[sessions]
listen = "10.255.0.1:7788"
peers = [{ name = "gw2", address = "10.255.0.2:7788" }]
secret_file = "/run/lab/secret"
mode = "incremental"
`

func newWard(t *testing.T) *ward {
	t.Helper()
	w := &ward{T: lab.NewT(t), t: t}
	w.gw, w.other = w.Node("gw1"), w.Node("gw2")
	lan, ha := w.Segment("lan"), w.Segment("ha")
	w.lan = w.Join(w.gw, lan, "lan0", "10.0.0.2/24")
	w.far = w.Join(w.other, lan, "lan0", "10.0.0.3/24")
	w.ha = w.Join(w.gw, ha, "ha0", "10.255.0.1/24")
	w.Join(w.other, ha, "ha0", "10.255.0.2/24")
	w.must(w.gw.Route("192.0.2.0/24", "10.0.0.3")) // a neighbour that is known
	secret, err := exec.Command(binary, "keygen").Output()
	w.must(err)
	w.must(w.gw.WriteFile("/run/lab/secret", secret, 0o600))
	return w
}

func (w *ward) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// peer listens as the session link of the other node would; it ends with the test, or end.
func (w *ward) peer() (end func()) {
	w.t.Helper()
	var l net.Listener
	w.must(w.other.Do(func() (err error) {
		l, err = net.Listen("tcp", "10.255.0.2:7788")
		return err
	}))
	probe.Accept(l, func(net.Conn) {})
	w.t.Cleanup(func() { l.Close() })
	return func() { l.Close() }
}

// examine has the doctor look at gw.
func (w *ward) examine(config string, args ...string) (r doctor.Report, code int) {
	w.t.Helper()
	w.must(w.gw.WriteFile("/run/lab/understudy.toml", []byte(config), 0o644))
	p, err := w.gw.StartWith(exec.Command(binary, append([]string{"doctor", "--json", "--config", "/run/lab/understudy.toml"}, args...)...))
	w.must(err)
	select {
	case <-p.Done():
	case <-time.After(patience):
		w.t.Fatalf("the doctor does not come to an end:\n%s", p.Output())
	}
	out := p.Output()
	if i := strings.LastIndex(out, "\n{"); i >= 0 {
		out = out[i+1:]
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		w.t.Fatalf("%v in\n%s", err, p.Output())
	}
	if exit, ok := p.Err().(*exec.ExitError); ok {
		code = exit.ExitCode()
	}
	return r, code
}

// nft loads rules on a node; undo takes them back.
func (w *ward) nft(n *lab.Node, rules string) (undo func()) {
	w.t.Helper()
	load := func(text string) {
		w.t.Helper()
		w.must(n.Ruleset(strings.ReplaceAll(text, "; } }", ";\n}\n}\n")))
	}
	load(rules)
	return func() { load("flush ruleset") }
}

// about are the findings of a check that are of a severity.
func about(r doctor.Report, check string, severity doctor.Severity) (out []doctor.Finding) {
	for _, f := range r.Findings {
		if f.Check == check && f.Severity == severity {
			out = append(out, f)
		}
	}
	return out
}

// well checks that nothing is wrong, but for what is the machine's.
func (w *ward) well(r doctor.Report, code int) {
	w.t.Helper()
	for _, f := range r.Findings {
		if f.Check != "clock" && f.Check != "conntrack" && (f.Severity == doctor.Error || f.Severity == doctor.Warning || f.Severity == doctor.Unknown) {
			w.t.Errorf("a healthy machine: %+v", f)
		}
	}
	if code != 0 {
		w.t.Errorf("a healthy machine: exit code %d", code)
	}
}

// Every fault is found, with its fix; and where there is none, none is.
func TestDoctor(t *testing.T) {
	w := newWard(t)
	end := w.peer()
	r, code := w.examine(wardConfig)
	w.well(r, code)
	for _, name := range doctor.Names() {
		if !slices.ContainsFunc(r.Findings, func(f doctor.Finding) bool { return f.Check == name }) {
			t.Errorf("nothing is said of %s", name)
		}
	}
	if got := about(r, "mac", doctor.OK); len(got) != 1 {
		t.Errorf("frames with another MAC: %+v", got)
	}
	const sane = `table inet filter {
		set peers { type ipv4_addr; flags interval; elements = { 10.255.0.0/24, 192.0.2.1-192.0.2.9 } }
		chain services { tcp dport { 22, 7788 } accept; }
		chain input { type filter hook input priority 0; policy drop;
			ct state vmap { established : accept, related : accept, invalid : drop }
			iifname "lo" accept
			icmp type echo-request limit rate 5/second accept
			iifname "lan0" meta l4proto vrrp accept
			ip saddr @peers jump services
			ip saddr 10.255.0.2 udp dport 7700-7799 counter accept
			log prefix "refused: "
			reject
		}
	}`
	without := func(line string) string {
		var out strings.Builder
		for l := range strings.Lines(sane) {
			if !strings.Contains(l, line) {
				out.WriteString(l)
			}
		}
		return out.String()
	}
	for _, row := range []struct {
		name   string
		config string
		make   func() (undo func())
		check  string
		is     doctor.Severity
		says   string // in what it says
		fix    string // in how it is mended
	}{
		{name: "a firewall that lets pass what has to", make: func() func() { return w.nft(w.gw, sane) }, check: "firewall", is: doctor.OK, says: "session link"},
		{name: "the session link is dropped", make: func() func() { return w.nft(w.gw, without("jump services")) }, check: "firewall", is: doctor.Error, says: "the session link from gw2 is dropped", fix: "tcp dport 7788 accept"},
		{name: "heartbeats are dropped", make: func() func() { return w.nft(w.gw, without("udp dport")) }, check: "firewall", is: doctor.Error, says: "the heartbeat of gw2 is dropped", fix: "udp dport 7788 accept"},
		{name: "protocol 112 is dropped on the host", make: func() func() { return w.nft(w.gw, without("vrrp")) }, check: "firewall", is: doctor.Info, says: "keepalived, on the other node, would not", fix: "vrrp accept"},
		{name: "adverts are dropped before anybody hears them", make: func() func() {
			return w.nft(w.gw, `table netdev f { chain c { type filter hook ingress device lan0 priority 0; ip protocol 112 drop; } }`)
		}, check: "firewall", is: doctor.Error, says: "an advert that comes in is dropped", fix: "accept"},
		{name: "adverts do not get out", make: func() func() {
			return w.nft(w.gw, `table netdev f { chain c { type filter hook egress device lan0 priority 0; ip daddr 224.0.0.0/8 drop; } }`)
		}, check: "firewall", is: doctor.Error, says: "an advert that goes out is dropped", fix: "accept"},
		{name: "unicast adverts are dropped", config: strings.Replace(wardConfig, "mac = \"virtual\"", "unicast = [\"10.0.0.3\"]", 1), make: func() func() {
			return w.nft(w.gw, `table ip f { chain c { type filter hook output priority 0; ip daddr != 10.255.0.0/24 meta l4proto 112 reject; } }`)
		}, check: "firewall", is: doctor.Error, says: "a unicast advert to 10.0.0.3 is dropped", fix: "output"},
		{name: "a rule that cannot be judged", make: func() func() {
			return w.nft(w.gw, `table inet f { chain c { type filter hook input priority 0; tcp dport 7788 limit rate over 10/second drop; } }`)
		}, check: "firewall", is: doctor.Unknown, says: "cannot be judged"},

		{name: "a hypervisor that filters MACs", make: func() func() {
			return w.nft(w.other, fmt.Sprintf(`table netdev f { chain c { type filter hook ingress device lan0 priority 0; ether saddr != %s drop; } }`, w.lan.MAC))
		}, check: "mac", is: doctor.Error, says: `mac = "virtual" cannot work here`, fix: "forged transmits"},
		{name: "nobody to ask about MACs", make: func() func() {
			return w.nft(w.other, `table netdev f { chain c { type filter hook ingress device lan0 priority 0; drop; } }`)
		}, check: "mac", is: doctor.Unknown, says: "no neighbour answers", fix: "mac = \"interface\""},

		{name: "no such interface", config: strings.ReplaceAll(wardConfig, "lan0", "lan7"), check: "links", is: doctor.Error, says: "no such interface", fix: "ip link"},
		{name: "an interface that is down", make: func() func() {
			w.must(w.lan.Down())
			return func() { w.must(w.lan.Up()) }
		}, check: "links", is: doctor.Error, says: "is down", fix: "ip link set lan0 up"},
		{name: "no carrier", make: func() func() {
			w.must(w.lan.Unplug())
			return func() { w.must(w.lan.Plug()) }
		}, check: "links", is: doctor.Error, says: "no carrier", fix: "cable"},
		{name: "the virtual address is there already", config: strings.ReplaceAll(wardConfig, "10.0.0.1/24", "10.0.0.2/24"), check: "links", is: doctor.Error, says: "put there by something else", fix: "ip address del"},
		{name: "no IPv6 on an IPv6 router's interface", config: strings.ReplaceAll(wardConfig, `"10.0.0.1/24"`, `"10.0.0.1/24", "fe80::1/64"`), make: func() func() {
			w.must(w.gw.Sysctl("ipv6/conf/lan0/disable_ipv6", "1"))
			return func() { w.must(w.gw.Sysctl("ipv6/conf/lan0/disable_ipv6", "0")) }
		}, check: "sysctl", is: doctor.Error, says: "IPv6 is off", fix: "disable_ipv6=0"},
		{name: "no answer to ARP", make: func() func() {
			w.must(w.gw.Sysctl("ipv4/conf/lan0/arp_ignore", "8"))
			return func() { w.must(w.gw.Sysctl("ipv4/conf/lan0/arp_ignore", "0")) }
		}, check: "sysctl", is: doctor.Error, says: "does not answer ARP", fix: "arp_ignore=0"},
		{name: "keepalived runs", make: func() func() {
			sleep, err := exec.LookPath("sleep")
			w.must(err)
			path := filepath.Join(t.TempDir(), "keepalived")
			copyFile(t, sleep, path)
			p, err := w.gw.StartWith(exec.Command(path, "300"))
			w.must(err)
			return func() { p.Stop(0) }
		}, check: "others", is: doctor.Warning, says: "keepalived runs here", fix: "systemctl disable"},
		{name: "no way to the peer", config: strings.ReplaceAll(wardConfig, "10.255.0.2:", "10.99.0.2:"), check: "peers", is: doctor.Error, says: "no way to 10.99.0.2:7788", fix: "ip route get"},
		{name: "a peer that does not answer", make: func() func() {
			return w.nft(w.other, `table inet f { chain c { type filter hook input priority 0; tcp dport 7788 drop; } }`)
		}, check: "peers", is: doctor.Error, says: "does not answer", fix: "packet filter"},
		{name: "nobody listens at the peer", make: func() func() { end(); return func() {} }, check: "peers", is: doctor.Warning, says: "no understudy listens", fix: "start it there"},
		{name: "a mistake in the file", config: "nonsense = 1\n" + wardConfig, check: "config", is: doctor.Error, says: "1 problems", fix: "understudy check"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w.t = t
			config := row.config
			if config == "" {
				config = wardConfig
			}
			if row.make != nil {
				defer row.make()()
			}
			r, code := w.examine(config)
			found := about(r, row.check, row.is)
			i := slices.IndexFunc(found, func(f doctor.Finding) bool {
				return strings.Contains(f.Text, row.says) && strings.Contains(f.Fix, row.fix)
			})
			if i < 0 {
				t.Fatalf("not found, among\n%+v", r.Findings)
			}
			if row.is != doctor.OK && row.is != doctor.Info && row.check != "mac" && len(found[i].Evidence) == 0 && row.check != "links" {
				t.Errorf("without evidence: %+v", found[i])
			}
			want := map[doctor.Severity]int{doctor.Error: 1}[row.is]
			if row.check == "config" {
				want = 2
			}
			if code != want {
				t.Errorf("exit code %d, want %d: %+v", code, want, r.Findings)
			}
		})
	}
}

// Where no neighbour speaks IPv4, one is asked about other MACs by neighbour discovery.
func TestDoctorAsksAboutMACsByIPv6(t *testing.T) {
	w := newWard(t)
	w.peer()
	config := strings.Replace(wardConfig, `"10.0.0.1/24"`, `"fe80::1/64", "2001:db8::1/64"`, 1)
	w.must(w.far.AddAddr(netip.MustParsePrefix("2001:db8::1/64"))) // whoever is active
	filter := `table netdev f { chain c { type filter hook ingress device lan0 priority 0; ether type arp drop%s; } }`
	end := w.nft(w.other, fmt.Sprintf(filter, ""))
	for give := time.Now().Add(patience); ; { // the address is tried for a moment before it is used
		r, _ := w.examine(config)
		if ok := about(r, "mac", doctor.OK); len(ok) == 1 && slices.Contains(ok[0].Evidence, "2001:db8::1 has answered to both") {
			break
		}
		if time.Now().After(give) {
			t.Fatalf("found %+v", r.Findings)
		}
	}
	end()
	w.nft(w.other, fmt.Sprintf(filter, "; ether saddr != "+w.lan.MAC.String()+" drop"))
	r, _ := w.examine(config)
	if bad := about(r, "mac", doctor.Error); len(bad) != 1 || !strings.Contains(bad[0].Text, `mac = "virtual" cannot work here`) {
		t.Errorf("a hypervisor that filters MACs: %+v", r.Findings)
	}
}

// Somebody else uses the VRID: the doctor hears it, on a machine with no node and on
// one with a node.
func TestDoctorHearsADuplicateVRID(t *testing.T) {
	w := newWard(t)
	w.peer()
	const foreign = `node = "x"
[[router]]
name = "theirs"
interface = "lan0"
vrid = %d
advertise = "100ms"
addresses = ["10.0.0.99/24"]
`
	start := func(vrid int) *lab.Process {
		w.must(w.other.WriteFile("/run/lab/understudy.toml", fmt.Appendf(nil, foreign, vrid), 0o644))
		p, err := w.other.StartWith(exec.Command(binary, "run", "--config", "/run/lab/understudy.toml"))
		w.must(err)
		return p
	}
	p := start(51)
	var r doctor.Report
	for end := time.Now().Add(patience); len(about(r, "vrid", doctor.Error)) == 0; {
		if time.Now().After(end) {
			t.Fatalf("never heard: %+v", r.Findings)
		}
		r, _ = w.examine(wardConfig)
	}
	f := about(r, "vrid", doctor.Error)[0]
	if !strings.Contains(f.Text, "VRID 51 is used by somebody else on lan0: 10.0.0.3") || !strings.Contains(f.Fix, "another vrid") || !strings.Contains(fmt.Sprint(f.Evidence), "10.0.0.99") {
		t.Errorf("found %+v", f)
	}
	w.must(p.Stop(patience))
	start(77)
	for end := time.Now().Add(patience); ; {
		if r, _ = w.examine(wardConfig); slices.ContainsFunc(about(r, "vrid", doctor.Info), func(f doctor.Finding) bool { return strings.Contains(f.Text, "VRID 77 is in use here by 10.0.0.3") }) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("another VRID was not heard: %+v", r.Findings)
		}
	}
	if e := about(r, "vrid", doctor.Error); len(e) > 0 {
		t.Errorf("another VRID is no harm: %+v", e)
	}
	if text, err := os.ReadFile("../../docs/doctor.md"); err != nil {
		t.Error(err)
	} else {
		for _, name := range doctor.Names() {
			if !strings.Contains(string(text), "| `"+name+"` |") {
				t.Errorf("docs/doctor.md says nothing of %s", name)
			}
		}
	}
}
