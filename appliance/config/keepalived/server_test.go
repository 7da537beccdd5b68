package keepalived

import (
	"errors"
	"strings"
	"testing"
)

// TestRefusedServers: what cannot be steered here is refused by a test of the file, with
// the reason, at its line.
func TestRefusedServers(t *testing.T) {
	instance := "vrrp_instance a {\n interface eth0\n virtual_router_id 1\n virtual_ipaddress { 10.0.0.1/24 }\n}\n"
	for _, row := range []struct {
		name, options string
		code          int
		said          string
	}{
		{"as it should be", "lb_algo wrr\nlb_kind NAT", 0, ""},
		{"direct routing", "lb_algo wrr\nlb_kind DR", 0, ""},
		{"a tunnel", "lvs_sched rr\nlvs_method TUN", 4, "Line 8) virtual_server [10.0.0.1]:80/tcp: not carried over: lb_kind TUN: no IPVS; use NAT, or DR"},
		{"a way that is none", "lb_kind BRIDGE", 5, "Line 7) Unknown forwarding method 'BRIDGE' - ignoring"},
		{"a tunnel that is none", "lb_kind TUN type l2tp", 5, "Line 7) lb_kind TUN: 'l2tp' is no type, which are ipip, gre, and gue with a port - ignoring"},
		{"a cache's algorithm", "lb_algo lblcr\nlb_kind NAT", 4, "Line 7) virtual_server [10.0.0.1]:80/tcp: not carried over: lblcr"},
		{"no algorithm", "lb_algo best\nlb_kind NAT", 5, "Line 7) Invalid lvs_scheduler 'best'"},
		{"a flag of the other hash", "lb_algo sh\nmh-port", 0, "Line 8) mh-port only applies to mh scheduler - ignoring"},
		{"a flag of a hash, in turn", "lb_algo rr\nsh-port", 5, "Line 8) sh-port only applies to sh scheduler - ignoring"},
		{"no mask", "persistence_granularity 255.0.255.0", 0, "Line 7) persistence_granularity 255.0.255.0: not carried over"},
		{"the length of a prefix", "persistence_granularity 24", 0, "Line 7) persistence_granularity 24: not carried over"},
		{"a word for a mask", "persistence_granularity wide", 5, "Line 7) Invalid IPv4 persistence_granularity"},
		{"a quorum that cannot be", "quorum 1\nhysteresis 1", 5, "hysteresis 1 must be less than the quorum 1"},
	} {
		src := instance + "virtual_server 10.0.0.1 80 {\n" + row.options + "\nprotocol TCP\nreal_server 10.0.1.1 80 {\n}\n}\n"
		list := Test("x.conf", []byte(src), World{Tunnels: func() error { return errors.New("no IPVS") }})
		var said []string
		for _, m := range list {
			said = append(said, m.String())
		}
		if code := ExitCode(list); code != row.code || !strings.Contains(strings.Join(said, "\n"), row.said) {
			t.Errorf("%s: want %d and %q, got %d and\n%s", row.name, row.code, row.said, code, strings.Join(said, "\n"))
		}
	}
}

// TestRefusedCheckers: what is wrong with a checker ends a test of the file as keepalived's
// does.
func TestRefusedCheckers(t *testing.T) {
	page := "HTTP_GET {\nurl {\npath /\nregex x\n"
	for _, row := range []struct {
		checker string
		code    int
		said    string
	}{
		{"TCP_CHECK {\nbind_port 8765\nfwmark 32\nalpha\n}", 0, ""},
		{"TCP_CHECK {\nbind_port 0\n}", 5, "bind_port: '0' is no port"},
		{"TCP_CHECK {\nfwmark 0x20\n}", 5, "fwmark: '0x20' is no mark"},
		{"PING_CHECK {\nbind_port 99\n}", 0, ""},
		{"DNS_CHECK {\ntype aaaa\n}", 0, ""},
		{"DNS_CHECK {\ntype PTR\n}", 5, "Unknown DNS check type PTR - ignoring"},
		{page + "regex_min_offset 9\nregex_max_offset 5\n}\n}", 0, "regex_min_offset 9 is behind"},
		{page + "regex_min_offset soon\n}\n}", 0, "Invalid regex_min_offset soon"},
		{"FILE_CHECK {\nweight 5\n}", 5, "FILE_CHECK has no track_file specified"},
		{"FILE_CHECK {\ntrack_file x\n}", 5, "track_file x not found"},
	} {
		src := "vrrp_instance a {\n interface eth0\n virtual_router_id 1\n virtual_ipaddress { 10.0.0.1/24 }\n}\n" +
			"virtual_server 10.0.0.1 53 {\nprotocol UDP\nlb_algo rr\nlb_kind NAT\nreal_server 10.0.1.1 53 {\n" + row.checker + "\n}\n}\n"
		list := Test("x.conf", []byte(src), World{})
		var said []string
		for _, m := range list {
			said = append(said, m.String())
		}
		if code := ExitCode(list); code != row.code || !strings.Contains(strings.Join(said, "\n"), row.said) {
			t.Errorf("%q: want %d and %q, got %d and\n%s", row.checker, row.code, row.said, code, strings.Join(said, "\n"))
		}
	}
}

// TestPageOffsets: where an expression may match is carried over; what is anchored matches
// where the looking begins.
func TestPageOffsets(t *testing.T) {
	for _, row := range []struct{ url, want, said string }{
		{"regex ready", `match = "ready"`, ""},
		{"regex ready\nregex_min_offset 5", `match = "ready"; match_from = 5`, ""},
		{"regex ready\nregex_max_offset 0", `match = "ready"; match_until = 0`, ""},
		{"regex ready\nregex_no_match\nregex_min_offset 5\nregex_max_offset 9", `match_not = "ready"; match_from = 5; match_until = 9`, ""},
		{"regex ready\nregex_min_offset 9\nregex_max_offset 5", `match = "ready"`, "Line 12) regex_min_offset 9 is behind regex_max_offset 5 - ignoring"},
		{"regex ready\nregex_max_offset 5000000", `match = "ready"; match_until = 1048576`, "Line 12) regex_max_offset: 5000000 is cut to 1048576"},
		{"regex ready\nregex_min_offset soon", `match = "ready"`, "Line 12) Invalid regex_min_offset soon specified"},
		{"regex ready\nregex_options anchored", `match = "\\A(?:ready)"`, ""},
		{"regex ready\nregex_options anchored\nregex_min_offset 5", `match = "ready"; match_from = 5; match_until = 5`, ""},
		{"regex ready\nregex_options anchored\nregex_min_offset 5\nregex_max_offset 9", `match = "ready"; match_from = 5; match_until = 5`, ""},
	} {
		out, said := converted(t, "virtual_server 10.0.0.1 80 {\nprotocol TCP\nreal_server 10.0.1.1 80 {\nHTTP_GET {\nurl {\n"+row.url+"\n}\n}\n}\n}\n")
		if got := keysOf(out, "match"); got != row.want || !strings.Contains(said, row.said) || row.said == "" && said != "" {
			t.Errorf("%q: %s, want %s; said %q, want %q", row.url, got, row.want, said, row.said)
		}
	}
}

// TestCheckersAreSent: where from, and with what mark.
func TestCheckersAreSent(t *testing.T) {
	for _, row := range []struct{ checker, want, said string }{
		{"TCP_CHECK {\nbind_port 8765\nfwmark 32\n}", `source_port = 8765; fwmark = "0x20"`, ""},
		{"TCP_CHECK {\nbindto 10.0.1.2\nbind_if eth1\nfwmark 0\n}", `source = "10.0.1.2"; interface = "eth1"`, ""},
		{"PING_CHECK {\nfwmark 4294967295\nbind_port 5\n}", `fwmark = "0xffffffff"`, ""},
		{"SMTP_CHECK {\nbind_port 70000\n}", "", "bind_port: '70000' is no port - ignoring"},
		{"UDP_CHECK {\nfwmark 0x20\n}", "", "fwmark: '0x20' is no mark - ignoring"},
		{"MISC_CHECK {\nmisc_path /bin/true\nfwmark 5\n}", "", "fwmark: not carried over: a program sends what it likes"},
	} {
		out, said := converted(t, "virtual_server 10.0.0.1 80 {\nprotocol TCP\nreal_server 10.0.1.1 80 {\n"+row.checker+"\n}\n}\n")
		_, out, _ = strings.Cut(out, "[[check]]")
		out, _, _ = strings.Cut(out, "[nat]")
		var got []string
		for _, key := range []string{"source = ", "source_port", "interface", "fwmark"} {
			if v := keysOf(out, key); v != "" {
				got = append(got, v)
			}
		}
		if got := strings.Join(got, "; "); got != row.want || !strings.Contains(said, row.said) || row.said == "" && said != "" {
			t.Errorf("%q: %s, want %s; said %q, want %q", row.checker, got, row.want, said, row.said)
		}
	}
}

// TestFlagsOfSchedulers: the client's port counts where the scheduler has a flag for it.
func TestFlagsOfSchedulers(t *testing.T) {
	for _, row := range []struct{ options, want, said string }{
		{"lb_algo sh\nsh-port", "by_port = true", ""},
		{"sh-port\nlb_algo sh", "by_port = true", ""},
		{"lb_algo mh\nmh-port", "by_port = true", ""},
		{"lb_algo mh\nsh-port", "", "sh-port only applies to sh scheduler - ignoring"},
		{"lb_algo rr\nmh-port", "", "mh-port only applies to mh scheduler - ignoring"},
		{"lb_algo sh", "", ""},
	} {
		out, said := converted(t, "virtual_server 10.0.0.1 80 {\nprotocol TCP\n"+row.options+"\nreal_server 10.0.1.1 80 {\n}\n}\n")
		if got := keysOf(out, "by_port"); got != row.want || !strings.Contains(said, row.said) || row.said == "" && said != "" {
			t.Errorf("%q: %s, want %s; said %q, want %q", row.options, got, row.want, said, row.said)
		}
	}
}

// TestAlpha: a server is doubted if it says so, or the virtual server, or one of its checkers.
func TestAlpha(t *testing.T) {
	for _, row := range []struct {
		virtual, real, checker string
		want                   bool
	}{
		{"", "", "", false}, {"alpha", "", "", true}, {"", "alpha", "", true}, {"", "", "alpha", true},
		{"alpha off", "", "alpha", true}, {"alpha", "", "alpha off", true}, {"alpha", "alpha off", "", false},
	} {
		out, said := converted(t, "virtual_server 10.0.0.1 80 {\nprotocol TCP\n"+row.virtual+"\nreal_server 10.0.1.1 80 {\n"+row.real+"\nPING_CHECK {\n}\nTCP_CHECK {\n"+row.checker+"\n}\n}\n}\n")
		if got := strings.Contains(out, "doubted = true"); got != row.want || said != "" {
			t.Errorf("%q, %q, %q: doubted %v, want %v; said %q", row.virtual, row.real, row.checker, got, row.want, said)
		}
	}
}

// TestFileCheck: the number in the file is added to the weight, as often as the checker says,
// else as the file does.
func TestFileCheck(t *testing.T) {
	const load = "track_file load\n"
	for _, row := range []struct{ file, virtual, real, check, want, said string }{
		{"", "", "", load, `weigh = "load"`, ""},
		{"weight 3", "", "", load, `weigh = "load", weigh_by = 3`, ""},
		{"weight 3 reverse", "", "", load, `weigh = "load", weigh_by = -3`, ""},
		{"weight 3 reverse", "", "", load + "weight 5", `weigh = "load", weigh_by = 5`, ""},
		{"weight 3 reverse", "", "", load + "weight 0", `weigh = "load", weigh_by = -3`, ""},
		{"", "", "", load + "weight -5 reverse", `weigh = "load", weigh_by = 5`, ""},
		{"", "", "", load + "weight -5000", `weigh = "load", weigh_by = -1000`, "weight: -5000 is cut to -1000"},
		{"", "", "", load + "weight much", `weigh = "load"`, "weight for track file must be in [-65534..65534]"},
		{"", "lb_algo rr", "weight 100", load, `weigh = "load", weight = 100`, ""},
		{"weight 0", "", "", load, "", "FILE_CHECK of real server 10.0.1.1:80: not carried over: weight 0"},
		{"", "lb_algo ovf", "weight 100", load, "max = 100", "not carried over: its weight is a number of connections"},
		{"", "", "weight 2000", load, "weight = 1000", "not carried over: its weight is"},
		{"", "", "", "track_file loud", "", "track_file loud not found"},
		{"", "", "", "weight 5", "", "FILE_CHECK has no track_file specified - ignoring"},
		{"", "", "", load + "}\nFILE_CHECK {\n" + load, `weigh = "load"`, "another check says what the server weighs"},
	} {
		out, said := converted(t, "virtual_server 10.0.0.1 80 {\nprotocol TCP\n"+row.virtual+"\nreal_server 10.0.1.1 80 {\n"+row.real+"\nFILE_CHECK {\n"+row.check+"\n}\n}\n}\n"+
			"track_file load {\nfile /run/load\n"+row.file+"\n}\n")
		_, got, _ := strings.Cut(keysOf(out, `{ address = "10.0.1.1:80"`), `"10.0.1.1:80"`)
		got = strings.TrimPrefix(strings.TrimSuffix(got, " },"), ", ")
		if got != row.want || !strings.Contains(said, row.said) || row.said == "" && said != "" {
			t.Errorf("%q, %q, %q, %q: %s, want %s; said %q, want %q", row.file, row.virtual, row.real, row.check, got, row.want, said, row.said)
		}
	}
}

// TestThresholds: a server has those of its own, else those of the virtual server.
func TestThresholds(t *testing.T) {
	for _, row := range []struct{ virtual, real, want, said string }{
		{"uthreshold 100", "", "max = 100", ""},
		{"uthreshold 100\nlthreshold 75", "", "max = 100, resume = 75", ""},
		{"uthreshold 100\nlthreshold 75", "uthreshold 80", "max = 80, resume = 75", ""},
		{"", "lthreshold 80\nuthreshold 80", "max = 80", ""},
		{"", "lthreshold 81\nuthreshold 80", "max = 80", "lthreshold 81 is more than uthreshold 80 - ignoring"},
		{"lthreshold 75", "", "", "lthreshold 75 without uthreshold - ignoring"},
		{"lb_algo ovf\nuthreshold 100", "weight 7", "max = 7", ""},
		{"", "uthreshold many", "", "uthreshold 'many' - must be between 0 and"},
	} {
		out, said := converted(t, "virtual_server 10.0.0.1 80 {\nprotocol TCP\n"+row.virtual+"\nreal_server 10.0.1.1 80 {\n"+row.real+"\n}\n}\n")
		_, got, _ := strings.Cut(keysOf(out, `{ address = "10.0.1.1:80"`), `"10.0.1.1:80"`)
		got = strings.TrimPrefix(strings.TrimSuffix(got, " },"), ", ")
		if got != row.want || !strings.Contains(said, row.said) || row.said == "" && said != "" {
			t.Errorf("%q, %q: %s, want %s; said %q, want %q", row.virtual, row.real, got, row.want, said, row.said)
		}
	}
}

// TestPersistenceGranularity: a mask becomes the length of a prefix, with a time if none is
// written.
func TestPersistenceGranularity(t *testing.T) {
	for _, row := range []struct{ options, want, said string }{
		{"persistence_granularity 255.255.255.0", `persist = "6m0s"; persist_prefix = 24`, ""},
		{"persistence_timeout 50\npersistence_granularity 255.255.240.0", `persist = "50s"; persist_prefix = 20`, ""},
		{"persistence_timeout 50\npersistence_granularity 255.255.255.255", `persist = "50s"`, ""},
		{"persistence_timeout\npersistence_granularity 128.0.0.0", `persist = "6m0s"; persist_prefix = 1`, ""},
		{"persistence_timeout 50\npersistence_granularity 255.0.255.0", `persist = "50s"`, "Line 8) persistence_granularity 255.0.255.0: not carried over: it is the mask of no prefix"},
		{"persistence_timeout 50\npersistence_granularity 0.0.0.0", `persist = "50s"`, "Line 8) persistence_granularity 0.0.0.0: not carried over"},
		{"persistence_timeout 0\npersistence_granularity 255.255.255.0", ``, "Line 7) persistence_timeout '0'"},
		{"persistence_granularity 24", `persist = "6m0s"`, "Line 7) persistence_granularity 24: not carried over: it is the mask of no prefix"},
		{"persistence_granularity 4294966272", `persist = "6m0s"; persist_prefix = 22`, ""},
		{"persistence_granularity wide", ``, "Line 7) Invalid IPv4 persistence_granularity specified - wide"},
	} {
		out, said := converted(t, "virtual_server 10.0.0.1 80 {\n"+row.options+"\nprotocol TCP\nreal_server 10.0.1.1 80 {\n}\n}\n")
		if got := keysOf(out, "persist"); got != row.want || !strings.Contains(said, row.said) || row.said == "" && said != "" {
			t.Errorf("%q: %s, want %s; said %q, want %q", row.options, got, row.want, said, row.said)
		}
	}
	six := "vrrp_instance b {\n interface eth0\n virtual_router_id 1\n virtual_ipaddress { fe80::1/64\n 2001:db8::1/64 }\n}\n"
	for granularity, want := range map[string]string{"64": `persist = "6m0s"; persist_prefix = 64`, "128": `persist = "6m0s"`, "129": "", "ffff::": ""} {
		out, said := converted(t, six+"virtual_server 2001:db8::1 80 {\nprotocol TCP\npersistence_granularity "+granularity+"\nreal_server 2001:db8:1::1 80 {\n}\n}\n")
		if got := keysOf(out, "persist"); got != want || (want == "") != strings.Contains(said, "Invalid IPv6 persistence_granularity specified - "+granularity) {
			t.Errorf("%s: %s, want %s; said %q", granularity, got, want, said)
		}
	}
}

// converted is the TOML of virtual servers, and what is said of them; they begin at line 6.
func converted(t *testing.T, servers string) (toml, said string) {
	t.Helper()
	f, list := Parse("x.conf", []byte("vrrp_instance a {\n interface eth0\n virtual_router_id 1\n virtual_ipaddress { 10.0.0.1/24 }\n}\n"+servers), World{})
	doc, more := Convert(f, Options{}, World{})
	for _, m := range append(list, more...) {
		if m.Level > Note {
			said += m.String() + "\n"
		}
	}
	return doc.TOML(), said
}

// keysOf are the lines of a document whose key begins so, without their origin.
func keysOf(toml, prefix string) string {
	var out []string
	for line := range strings.Lines(toml) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, prefix) {
			line, _, _ = strings.Cut(line, "  #")
			out = append(out, strings.TrimSpace(line))
		}
	}
	return strings.Join(out, "; ")
}
