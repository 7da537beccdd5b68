package ranet

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/ndp"

	"understudy/garp"
	"understudy/garp/ra"
)

var (
	virtual   = garp.MAC{0, 0, 0x5e, 0, 2, 51}
	linkLocal = netip.MustParseAddr("fe80::1")
)

// whole says everything that can be said.
func whole() *ra.Params {
	return &ra.Params{Interval: 600 * time.Second, Lifetime: 1800 * time.Second, HopLimit: 64, MTU: 1400, Managed: true, Other: true,
		Preference: ra.High, Prefixes: []netip.Prefix{netip.MustParsePrefix("2001:db8:1::/64")}, OnLink: true, Autonomous: true,
		Valid: ra.DefaultValid, Preferred: ra.DefaultPrefer,
		RDNSS: []netip.Addr{netip.MustParseAddr("2001:db8:1::53")}, DNSSL: []string{"example.org"}}
}

// The octets of an advertisement, each with what it says (RFC 4861, 4.2, 4.6; RFC
// 4191, 2.2; RFC 8106, 5). They were put together by hand.
func TestFrameOctets(t *testing.T) {
	want, err := hex.DecodeString(strings.Join(strings.Fields(strings.Join([]string{
		"333300000001 00005e000233 86dd",        // to all nodes, from the virtual MAC
		"60000000 0070 3a ff",                   // 112 octets of ICMPv6, Hop Limit 255
		"fe800000000000000000000000000001",      // the virtual router
		"ff020000000000000000000000000001",      // ff02::1
		"86 00 0000 40 c8 0708",                 // type, code, checksum below; hop limit 64, M O high, 1800 s
		"00000000 00000000",                     // reachable time, retransmission timer: not said
		"01 01 00005e000233",                    // source link-layer address
		"05 01 0000 00000578",                   // MTU 1400
		"03 04 40 c0 00278d00 00093a80",         // a prefix of 64 bits, L A, 30 days, 7 days
		"00000000",                              //
		"20010db8000100000000000000000000",      //
		"19 03 0000 00000708",                   // a DNS server, for 1800 s
		"20010db8000100000000000000000053",      //
		"1f 03 0000 00000708",                   // a domain, for 1800 s
		"07 6578616d706c65 03 6f7267 00 000000", // example.org
	}, " ")), ""))
	if err != nil {
		t.Fatal(err)
	}
	got, err := Frame(whole(), linkLocal.WithZone("lan0"), virtual, false)
	if err != nil {
		t.Fatal(err)
	}
	if !sums(got) {
		t.Error("the checksum is wrong")
	}
	clear(got[14+40+2 : 14+40+4])
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

// sums verifies the checksum, with nothing of the codec.
func sums(frame []byte) bool {
	ip, m := frame[14:54], frame[54:]
	pseudo := bytes.Join([][]byte{ip[8:40], {0, 0, 0, byte(len(m)), 0, 0, 0, 58}, m}, nil)
	var s uint32
	for i := 0; i < len(pseudo); i += 2 {
		s += uint32(binary.BigEndian.Uint16(pseudo[i:]))
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return s == 0xffff && len(pseudo)%2 == 0
}

func parsed(t *testing.T, frame []byte) *ndp.RouterAdvertisement {
	t.Helper()
	m, err := ndp.ParseMessage(frame[54:])
	if err != nil {
		t.Fatal(err)
	}
	return m.(*ndp.RouterAdvertisement)
}

// What a reader makes of it, for the least and the last that is said.
func TestFrameMeansWhatItSays(t *testing.T) {
	least := &ra.Params{Interval: 4 * time.Second, Preference: ra.Medium}
	frame, err := Frame(least, linkLocal, virtual, false)
	if err != nil {
		t.Fatal(err)
	}
	sll := &ndp.LinkLayerAddress{Direction: ndp.Source, Addr: net.HardwareAddr(virtual[:])}
	if d := cmp.Diff(&ndp.RouterAdvertisement{Options: []ndp.Option{sll}}, parsed(t, frame)); d != "" {
		t.Errorf("the least: -want +got\n%s", d)
	}
	final, err := Frame(whole(), linkLocal, virtual, true)
	if err != nil {
		t.Fatal(err)
	}
	m := parsed(t, final)
	if m.RouterLifetime != 0 || m.RouterSelectionPreference != ndp.Medium || !m.ManagedConfiguration {
		t.Errorf("the last: %+v", m)
	}
	for _, o := range m.Options {
		switch o := o.(type) {
		case *ndp.RecursiveDNSServer:
			if o.Lifetime != 0 {
				t.Errorf("the last: DNS servers for %v", o.Lifetime)
			}
		case *ndp.PrefixInformation:
			if o.ValidLifetime != ra.DefaultValid {
				t.Errorf("the last: a prefix for %v: hosts keep their addresses", o.ValidLifetime)
			}
		}
	}
	low := whole()
	low.Preference = ra.Low
	frame, err = Frame(low, linkLocal, virtual, false)
	if err != nil {
		t.Fatal(err)
	}
	if m := parsed(t, frame); m.RouterSelectionPreference != ndp.Low {
		t.Errorf("preference %v", m.RouterSelectionPreference)
	}
}
