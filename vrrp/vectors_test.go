package vrrp_test

import (
	"encoding/hex"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"understudy/vrrp"
)

// vector is one stanza of testdata/vectors.txt.
type vector struct {
	name          string
	packet        []byte
	fields        *vrrp.Advert // nil: nothing can be decoded
	addresses     []netip.Addr
	config        vrrp.Expect
	alone, within string
}

func vectors(t testing.TB) []vector {
	t.Helper()
	text, err := os.ReadFile("testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	for i, line := range strings.Split(string(text), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "", "#", "origin":
			continue
		case "vector":
			all = append(all, vector{name: rest})
			continue
		}
		v := &all[len(all)-1]
		switch kv := pairs(rest); word {
		case "packet":
			v.packet = unhex(t, rest)
		case "fields":
			v.fields = &vrrp.Advert{Version: number(t, kv["version"]), VRID: number(t, kv["vrid"]),
				Priority: number(t, kv["priority"]), Interval: duration(t, kv["interval"])}
			if kv["form"] == "rfc5798" {
				v.fields.Form = vrrp.FormPseudo
			}
			kind, data, _ := strings.Cut(kv["auth"], ":")
			v.fields.AuthType = number(t, kind)
			copy(v.fields.Auth[:], unhex(t, data))
			v.addresses = addresses(t, kv["addresses"])
		case "config":
			v.config = vrrp.Expect{Version: number(t, kv["version"]), VRID: number(t, kv["vrid"]),
				Interval: duration(t, kv["interval"]), Owner: kv["owner"] == "true", Addresses: addresses(t, kv["addresses"])}
			if kv["auth"] != "none" {
				v.config.AuthType = vrrp.AuthSimple
				copy(v.config.Auth[:], kv["auth"])
			}
		case "alone":
			v.alone = rest
		case "within":
			v.within = rest
		default:
			t.Fatalf("vectors.txt:%d: unknown word %q", i+1, word)
		}
	}
	if len(all) < 30 {
		t.Fatalf("vectors.txt holds %d vectors only", len(all))
	}
	return all
}

func pairs(line string) map[string]string {
	kv := make(map[string]string)
	for _, f := range strings.Fields(line) {
		k, v, _ := strings.Cut(f, "=")
		kv[k] = v
	}
	return kv
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func number(t testing.TB, s string) uint8 {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil {
		t.Fatal(err)
	}
	return uint8(n)
}

func duration(t testing.TB, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// addresses reads "10.0.0.1,10.0.0.2", "none", or "10.8.0.1-255" for a whole block.
func addresses(t testing.TB, s string) []netip.Addr {
	t.Helper()
	if s == "none" {
		return nil
	}
	if first, last, block := strings.Cut(s, "-"); block {
		a := netip.MustParseAddr(first)
		list := make([]netip.Addr, number(t, last))
		for i := range list {
			list[i] = a
			a = a.Next()
		}
		return list
	}
	var list []netip.Addr
	for _, f := range strings.Split(s, ",") {
		list = append(list, netip.MustParseAddr(f))
	}
	return list
}

func parse(packet []byte, a *vrrp.Advert, want *vrrp.Expect) vrrp.Reason {
	d, reason := vrrp.ParseDatagram(packet)
	switch {
	case reason != vrrp.ReasonNone:
		return reason
	case want == nil:
		return vrrp.ParseAdvert(d, a)
	}
	return vrrp.ParseExpected(d, a, want)
}
