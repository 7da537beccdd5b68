package decode

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"understudy/vrrp"
)

// TestUnicast: without a configuration an advert to a single host is to a wrong
// destination, and read all the same; with one it depends on the peers.
func TestUnicast(t *testing.T) {
	a := netip.MustParseAddr
	frame := func(src, dst string, change func(p []byte)) []byte {
		p := vrrp.AppendPacketTo(nil, &vrrp.Advert{Version: 3, VRID: 53, Priority: 200, Interval: time.Second, Form: vrrp.FormPseudo},
			[]netip.Addr{a("10.0.1.8")}, a(src), a(dst))
		if change != nil {
			change(p)
		}
		return append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0}, p...)
	}
	router := vrrp.RouterConfig{Name: "lan", VRID: 53, Version: 3, Interval: time.Second, Priority: 100, Family: 4,
		Addresses: []netip.Addr{a("10.0.1.8")}, Source: a("10.0.1.2"), Peers: []vrrp.Peer{{Address: a("10.0.1.3")}}}
	peered := &Local{Interface: "lan0", Routers: []vrrp.RouterConfig{router}}
	for _, row := range []struct {
		name           string
		local          *Local
		frame          []byte
		reason, detail string
	}{
		{"unconfigured", nil, frame("10.0.1.3", "10.0.1.2", nil), "destination", "sent to 10.0.1.2, not to 224.0.0.18"},
		{"a peer", peered, frame("10.0.1.3", "10.0.1.2", nil), "", ""},
		{"a stranger", peered, frame("10.0.1.4", "10.0.1.2", nil), "source", `router "lan" does not list 10.0.1.4`},
		{"a peer by multicast", peered, frame("10.0.1.3", "224.0.0.18", nil), "destination", `router "lan" goes by unicast`},
		{"a bad checksum", peered, frame("10.0.1.3", "10.0.1.2", func(p []byte) { p[26], p[27] = 0, 0 }), "checksum", "right is 0x"},
	} {
		t.Run(row.name, func(t *testing.T) {
			j := Judge{Local: row.local}
			r := j.Frame(Frame{row.frame, len(row.frame)})
			if r.Reason != row.reason || !strings.Contains(r.Detail, row.detail) {
				t.Errorf("%q: %q", r.Reason, r.Detail)
			}
			if row.reason != "checksum" && row.name != "a peer by multicast" && !strings.Contains(r.Summary, "rfc5798 checksum") {
				t.Errorf("the checksum was not read: %s", r.Summary)
			}
			if row.reason == "checksum" {
				// What is called right is right.
				good := frame("10.0.1.3", "10.0.1.2", nil)
				if want := "0x" + hexOf(good[14+26:14+28]) + " (rfc5798)"; !strings.Contains(r.Detail, want) {
					t.Errorf("%q is without %q", r.Detail, want)
				}
			}
		})
	}
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var s strings.Builder
	for _, c := range b {
		s.WriteByte(digits[c>>4])
		s.WriteByte(digits[c&15])
	}
	return s.String()
}
