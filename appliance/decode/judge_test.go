package decode

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"understudy/vrrp"
)

func frameOf(t testing.TB, name string) []byte {
	t.Helper()
	for _, v := range vectors(t) {
		if v.name == name {
			return v.frame
		}
	}
	t.Fatalf("there is no vector %q", name)
	return nil
}

// object is what a program sees of the verdict.
func object(t testing.TB, r Result) map[string]any {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var o map[string]any
	if err := json.Unmarshal(b, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// The keys are always the same ones, and null where there is nothing to say.
func TestJSONKeys(t *testing.T) {
	var j Judge
	for i, c := range []struct {
		vector        string
		valid, reason any
	}{
		{"v3_ipv4_rfc9568", true, nil},
		{"bad_ttl_254", false, "ttl"},
		{"tcp", nil, nil},
		{"runt", nil, nil},
	} {
		frame := frameOf(t, c.vector)
		o := object(t, j.Frame(Frame{frame, len(frame)}))
		var keys []string
		for k := range o {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		if want := "detail fields n protocol reason valid"; strings.Join(keys, " ") != want {
			t.Errorf("%s: keys %v, want %s", c.vector, keys, want)
		}
		if o["valid"] != c.valid || o["reason"] != c.reason || o["n"] != float64(i+1) {
			t.Errorf("%s: %v", c.vector, o)
		}
		if _, ok := o["fields"].(map[string]any); !ok {
			t.Errorf("%s: fields are %v", c.vector, o["fields"])
		}
	}
}

func TestFieldsOf(t *testing.T) {
	for _, c := range []struct {
		vector string
		want   string // part of the fields, in order
	}{
		{"v3_ipv4_rfc5798_pseudo", `"source":"10.0.1.1","destination":"224.0.0.18","ttl":255,"version":3,"type":1,"vrid":5,"priority":200,"addr_count":1,"interval_cs":100,"addresses":["10.0.1.16"],"checksum":"0x0ff5","checksum_form":"rfc5798"}`},
		{"v3_ipv4_rfc9568", `"checksum":"0xfb5c","checksum_form":"rfc9568"}`},
		{"v2_simple_password", `"interval_cs":100,"addresses":["10.0.1.6","10.0.1.7"],"checksum":"0x27a1","checksum_form":"rfc9568","auth_type":1}`},
		{"v2_authentication_header", `"checksum":"0x4ebc","checksum_form":"rfc9568","auth_type":2,"sequence":1}`},
		{"bad_checksum_zero", `"addresses":["10.0.1.8"],"checksum":"0x0000","checksum_form":null}`},
		{"bad_ttl_254", `"ttl":254,"version":3,"type":1,"vrid":53,"priority":200,"addr_count":1,"interval_cs":100,"addresses":["10.0.1.8"]`},
		{"bad_hoplimit_64_v6", `"ttl":64,"version":3,"type":1,"vrid":54,"priority":200,"addr_count":1,"interval_cs":100,"addresses":["fe80::5:54"],"checksum":`},
		{"bad_hoplimit_64_v6", `"checksum_form":"rfc5798"}`},
		{"unicast", `"destination":"10.0.1.2","ttl":255,"version":3,"type":1,"vrid":53,"priority":200,"addr_count":1,"interval_cs":100,"addresses":["10.0.1.8"]`},
		{"bad_version_4", `"version":4,"type":1,"vrid":53,"priority":200,"addr_count":1}`},
		{"ip_header_cut", `"eth_destination":"01:00:5e:00:00:12"}`},
		{"vlan_stacked", `"eth_source":"00:00:5e:00:01:35","eth_destination":"01:00:5e:00:00:12","vlan":[200,10],`},
		{"lacp_up_fast_insync", `"subtype":1,"version":1,"actor":{"system_priority":32768,"system":"00:1c:73:aa:00:01","key":17,"port_priority":32768,"port":1,"state":"0x3f","state_bits":{"activity":true,"timeout_short":true,"aggregation":true,"synchronization":true,"collecting":true,"distributing":true,"defaulted":false,"expired":false}},"partner":`},
		{"lacp_version_2", `"collector_max_delay":0,"extensions":[4,5],"port_algorithm":"00-01-00-01","link_number":0,"link_list_digest":"00000000000000000000000000000000"}`},
		{"lacp_wrong_dmac_broadcast", `"subtype":1,"version":1,"actor":`},
		{"lacp_bad_actor_tlv_len", `"subtype":1,"version":1}`},
		{"marker_dmac", `"subtype":2,"version":1,"tlv":1,"requester_port":1,"requester_system":"00:1c:73:aa:00:01","transaction_id":16909060}`},
		{"arp_gratuitous_reply", `"operation":2,"form":"reply","gratuitous":true,"probe":false,"sender_mac":"00:00:5e:00:01:33","sender":"10.0.1.254","target_mac":"00:00:5e:00:01:33","target":"10.0.1.254"}`},
		{"arp_probe", `"operation":1,"form":"request","gratuitous":false,"probe":true`},
		{"arp_question", `"form":"request","gratuitous":false,"probe":false`},
		{"arp_operation_3", `"operation":3,"form":"","gratuitous":true`},
		{"na_unsolicited", `"source":"fe80::5:5","destination":"ff02::1","hop_limit":255,"target":"fe80::5:5","router":true,"solicited":false,"override":true,"link_address":"00:00:5e:00:02:05"}`},
		{"na_hop_limit_254", `"hop_limit":254,"target":"fe80::5:5"`},
		{"na_checksum", `"destination":"ff02::1","hop_limit":255}`},
		{"na_without_link_address", `"link_address":null}`},
	} {
		var j Judge
		frame := frameOf(t, c.vector)
		b, err := json.Marshal(j.Frame(Frame{frame, len(frame)}).Fields)
		if err != nil || !strings.Contains(string(b), c.want) {
			t.Errorf("%s: %v\n%s\nis without\n%s", c.vector, err, b, c.want)
		}
	}
}

// A password is in the packet for all the link to see; it need not be in a
// report for all the world.
func TestPasswordIsNotShown(t *testing.T) {
	frame := frameOf(t, "v2_simple_password")
	b, err := json.Marshal(new(Judge).Frame(Frame{frame, len(frame)}))
	if err != nil {
		t.Fatal(err)
	}
	if s := string(b) + new(Judge).Frame(Frame{frame, len(frame)}).Verbose(); strings.Contains(s, "s3cr3t") || strings.Contains(s, "733363") {
		t.Error(s)
	}
}

// A frame that the recording cut is not one that somebody sent too short.
func TestCutByTheRecording(t *testing.T) {
	for _, name := range []string{"v3_ipv6_owner255", "lacp_up_fast_insync", "arp_gratuitous_request", "na_unsolicited"} {
		frame := frameOf(t, name)
		cut := frame[:41]
		if name == "na_unsolicited" {
			cut = frame[:60]
		}
		for _, c := range []struct {
			wire int
			says bool
		}{{len(frame), true}, {len(cut), false}} {
			r := new(Judge).Frame(Frame{cut, c.wire})
			if r.Reason != "truncated" && r.Reason != "length" {
				t.Errorf("%s: %s", name, r.Text())
			}
			if strings.Contains(r.Detail, fmt.Sprintf("%d of the frame's %d octets", len(cut), len(frame))) != c.says {
				t.Errorf("%s, %d on the wire: %s", name, c.wire, r.Text())
			}
		}
	}
}

// The router is found by VRID among those of the interface; its own version,
// family and address list judge.
func TestLocalFindsTheRouter(t *testing.T) {
	first, _ := routerConfig("family=4 version=3 vrid=7 interval=1s priority=100 addresses=10.0.2.1")
	second, _ := routerConfig("family=4 version=3 vrid=53 interval=1s priority=100 addresses=10.0.1.8")
	j := Judge{Local: &Local{Interface: "lan0", Routers: []vrrp.RouterConfig{*first, *second}}}
	frame := frameOf(t, "v3_ipv4_rfc9568")
	if r := j.Frame(Frame{frame, len(frame)}); verdict(r) != "valid" || r.Detail != "" {
		t.Error(r.Text())
	}
	frame = frameOf(t, "v3_ipv6_ll_only") // vrid 7, but IPv6
	if r := j.Frame(Frame{frame, len(frame)}); verdict(r) != "vrid" || !strings.Contains(r.Detail, "vrid 7 is not configured on lan0") {
		t.Error(r.Text())
	}
}

// What is judged does not depend on, or hold on to, what was judged before.
func TestResultDoesNotAlias(t *testing.T) {
	for _, v := range vectors(t) {
		frame := slices.Clone(v.frame)
		r := new(Judge).Frame(Frame{frame, len(frame)})
		if !slices.Equal(frame, v.frame) {
			t.Errorf("%s: the frame was written to", v.name)
		}
		before := object(t, r)
		for i := range frame {
			frame[i] ^= 0xff
		}
		if after := object(t, r); !reflect.DeepEqual(before, after) {
			t.Errorf("%s: changed with the buffer", v.name)
		}
	}
}

// Whatever comes, there is an answer that can be printed, and refusing has a
// documented reason.
func FuzzFrame(f *testing.F) {
	rc, _ := routerConfig("family=4 version=2 vrid=51 interval=1s priority=100 auth=s3cr3t addresses=10.0.1.5")
	known := map[Protocol][]string{}
	for _, p := range Protocols() {
		for _, m := range Reasons(p) {
			known[p] = append(known[p], m.Reason)
		}
	}
	for _, v := range vectors(f) {
		f.Add(v.frame, true)
		f.Add(v.frame, false)
	}
	f.Fuzz(func(t *testing.T, b []byte, configured bool) {
		var j Judge
		if configured {
			j.Local = &Local{Interface: "lan0", Routers: []vrrp.RouterConfig{*rc}}
		}
		r := j.Frame(Frame{b, len(b)})
		if out, err := json.Marshal(r); err != nil || !json.Valid(out) || strings.Contains(r.Verbose(), "\r") {
			t.Errorf("%v: %q", err, out)
		}
		if r.Reason != "" && !slices.Contains(known[r.Protocol], r.Reason) {
			t.Errorf("%s is refused for %q", r.Protocol, r.Reason)
		}
		if r.Reason != "" && r.Detail == "" {
			t.Errorf("%s %s without a detail", r.Protocol, r.Reason)
		}
	})
}

func BenchmarkFrame(b *testing.B) {
	frame := frameOf(b, "v3_ipv4_rfc9568")
	var j Judge
	b.ReportAllocs()
	for b.Loop() {
		j.Frame(Frame{frame, len(frame)})
	}
}
