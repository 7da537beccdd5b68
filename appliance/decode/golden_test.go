package decode

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"understudy/vrrp"
)

var rewrite = flag.Bool("rewrite", false, "write golden files and the tables of docs/decode.md anew")

// mix is a recording as one might see it: the names of vectors.
var mix = []string{
	"v3_ipv4_rfc9568", "v3_ipv4_rfc5798_pseudo", "v3_ipv6_ll_plus_global", "v2_simple_password", "v3_ipv4_priority0_rfc9568",
	"v3_ipv4_max255addrs", "vlan_100", "bad_ttl_254", "bad_checksum_zero", "bad_version_4", "bad_count2_one_addr", "ip_header_cut",
	"lacp_up_fast_insync", "lacp_version_2", "lacp_bad_terminator_len", "lacp_not_lacp_oam", "lacp_wrong_dmac_broadcast",
	"lacp_marker_info", "marker_unknown_tlv",
	"arp_gratuitous_request", "arp_probe", "arp_question", "arp_reply", "arp_sender_group_mac",
	"na_unsolicited", "na_solicited", "na_without_router_flag", "na_hop_limit_254",
	"tcp", "lldp", "runt",
}

func TestGolden(t *testing.T) {
	router, err := routerConfig("family=4 version=3 vrid=53 interval=200ms priority=100 addresses=10.0.1.8")
	if err != nil {
		t.Fatal(err)
	}
	local := &Local{Interface: "lan0", Routers: []vrrp.RouterConfig{*router}}
	for _, c := range []struct {
		file  string
		judge Judge
		write func(b *bytes.Buffer, r Result) error
	}{
		{"mix.json", Judge{}, func(b *bytes.Buffer, r Result) error {
			return json.NewEncoder(b).Encode(r)
		}},
		{"mix.txt", Judge{}, func(b *bytes.Buffer, r Result) error {
			_, err := fmt.Fprintln(b, r.Text())
			return err
		}},
		{"mix-verbose.txt", Judge{}, func(b *bytes.Buffer, r Result) error {
			_, err := fmt.Fprintln(b, r.Verbose())
			return err
		}},
		{"mix-within.txt", Judge{Local: local}, func(b *bytes.Buffer, r Result) error {
			_, err := fmt.Fprintln(b, r.Text())
			return err
		}},
	} {
		t.Run(c.file, func(t *testing.T) {
			var got bytes.Buffer
			for _, name := range mix {
				frame := frameOf(t, name)
				if err := c.write(&got, c.judge.Frame(Frame{frame, len(frame)})); err != nil {
					t.Fatal(err)
				}
			}
			same(t, "testdata/golden/"+c.file, got.String())
		})
	}
}

// same compares with a file, or writes it.
func same(t *testing.T, file, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) == got {
		return
	}
	w, g := strings.Split(string(want), "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			t.Fatalf("%s:%d: (-rewrite writes it anew)\nwant %s\ngot  %s", file, i+1, w[i], g[i])
		}
	}
	t.Fatalf("%s: %d lines, want %d", file, len(g), len(w))
}

// The tables of reasons in docs/decode.md are those of the code.
func TestDocsReasons(t *testing.T) {
	const file, begin, end = "../../docs/decode.md", "<!-- reasons: made by go test ./appliance/decode -rewrite -->\n", "<!-- end -->"
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(doc), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the tables", file)
	}
	var b strings.Builder
	for _, p := range Protocols() {
		fmt.Fprintf(&b, "\n### %s\n\n| reason | what is wrong |\n|---|---|\n", p)
		for _, m := range Reasons(p) {
			fmt.Fprintf(&b, "| `%s` | %s |\n", m.Reason, m.Text)
		}
	}
	b.WriteString("\n")
	same(t, file, before+begin+b.String()+end+after)
}

// Each field that is printed has its line in docs/decode.md.
func TestDocsFields(t *testing.T) {
	doc, err := os.ReadFile("../../docs/decode.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	var walk func(f Fields)
	walk = func(f Fields) {
		for _, field := range f {
			seen[field.Name] = true
			if inner, ok := field.Value.(Fields); ok {
				walk(inner)
			}
		}
	}
	for _, v := range vectors(t) {
		walk(new(Judge).Frame(Frame{v.frame, len(v.frame)}).Fields)
	}
	if len(seen) < 40 {
		t.Errorf("only %d fields were seen", len(seen))
	}
	for name := range seen {
		if !strings.Contains(string(doc), "`"+name+"`") {
			t.Errorf("docs/decode.md does not name the field %s", name)
		}
	}
}
