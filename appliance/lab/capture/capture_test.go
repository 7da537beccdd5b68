package capture_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/bpf"

	"understudy/appliance/lab"
	"understudy/appliance/lab/capture"
)

// frame is an Ethernet header and an IPv4 packet without options, or with four
// bytes of them, around a transport header in hex.
func frame(src string, proto byte, frag uint16, options bool, transport string) []byte {
	header := 5
	if options {
		header = 6
	}
	b := make([]byte, 14+header*4)
	copy(b, []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0})
	ip := b[14:]
	ip[0] = 0x40 | byte(header)
	binary.BigEndian.PutUint16(ip[6:], frag)
	ip[8], ip[9] = 64, proto
	a := netip.MustParseAddr(src).As4()
	copy(ip[12:], a[:])
	copy(ip[16:], []byte{203, 0, 113, 9})
	t, err := hex.DecodeString(strings.ReplaceAll(transport, " ", ""))
	if err != nil {
		panic(err)
	}
	return append(b, t...)
}

const (
	tcpSYN = "0bb8 0050 00000001 00000000 5002 ffff 0000 0000"
	tcpRST = "0bb8 0050 00000001 00000000 5014 ffff 0000 0000"
	udp    = "0bb8 0035 0008 0000"
	echo   = "0800 0000 0001 0001"
	unreac = "0303 0000 00000000"
	advert = "31330b02 000a 0000 cb007101"
	arpReq = "ffffffffffff 021ab0000001 0806 0001 0800 06 04 0001 021ab0000001 cb007101 000000000000 cb007101"
)

const neighbor = "333300000001 00005e000205 86dd 60000000 0020 3aff fe800000000000000000000000050005 ff020000000000000000000000000001" +
	" 8800 7984 a0000000 fe800000000000000000000000050005 0201 00005e000205"

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

func TestDecode(t *testing.T) {
	for _, tc := range []struct {
		name  string
		frame []byte
		want  string
	}{
		{"TCP", frame("10.0.0.9", 6, 0, false, tcpSYN), "tcp 10.0.0.9:3000 > 203.0.113.9:80 SYN"},
		{"TCP reset after IP options", frame("10.0.0.9", 6, 0, true, tcpRST), "tcp 10.0.0.9:3000 > 203.0.113.9:80 RST,ACK"},
		{"UDP", frame("10.0.0.9", 17, 0, false, udp), "udp 10.0.0.9:3000 > 203.0.113.9:53"},
		{"ICMP", frame("10.0.0.9", 1, 0, false, unreac), "icmp 10.0.0.9 > 203.0.113.9 type 3 code 3"},
		{"sealed VRRP", frame("203.0.113.2", 51, 0, false, "7004"+strings.Repeat("00", 22)+advert), "vrrp 203.0.113.2 > 203.0.113.9 vrid 51 priority 11"},
		{"VRRP", frame("203.0.113.2", 112, 0, false, advert), "vrrp 203.0.113.2 > 203.0.113.9 vrid 51 priority 11"},
		{"a later fragment has no ports", frame("10.0.0.9", 17, 5, false, udp), "ip 10.0.0.9 > 203.0.113.9 protocol 17"},
		{"gratuitous ARP", unhex(arpReq), "arp announce 203.0.113.1 is at 02:1a:b0:00:00:01 (op 1)"},
		{"neighbour advertisement", unhex(neighbor), "nd fe80::5:5 is at 00:00:5e:00:02:05, to ff02::1, from fe80::5:5 (flags 0xa0)"},
		{"neighbour solicitation", unhex(strings.Replace(neighbor, "8800", "8700", 1)), "nd who has fe80::5:5, tell fe80::5:5 at 00:00:5e:00:02:05"},
		{"cut off before the target", unhex(neighbor)[:14+40+8], "nd invalid IP is at , to ff02::1, from fe80::5:5 (flags 0x0)"},
		{"other ICMPv6", unhex(strings.Replace(neighbor, "8800", "8600", 1)), "icmp fe80::5:5 > ff02::1 type 134 code 0"},
		{"cut off inside the IP header", frame("10.0.0.9", 17, 0, false, udp)[:20], "other 02:00:00:00:00:01 > 02:00:00:00:00:02"},
		{"too short for Ethernet", []byte{1, 2}, "other  > "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := capture.Decode(tc.frame).String(); got != tc.want {
				t.Errorf("want %q, got %q", tc.want, got)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(frame("10.0.0.9", 6, 0, true, tcpRST))
	f.Add(unhex(arpReq))
	f.Fuzz(func(_ *testing.T, b []byte) { _ = capture.Decode(b).String() })
}

func TestFilters(t *testing.T) {
	suspicious := capture.Suspicious(netip.MustParsePrefix("10.0.0.0/24"))
	vrrp := capture.Protocols(112, 1)
	for _, tc := range []struct {
		name   string
		filter []bpf.Instruction
		frame  []byte
		want   bool
	}{
		{"OK outside SYN", suspicious, frame("203.0.113.1", 6, 0, false, tcpSYN), false},
		{"OK outside echo", suspicious, frame("203.0.113.1", 1, 0, false, echo), false},
		{"OK outside UDP", suspicious, frame("203.0.113.1", 17, 0, false, udp), false},
		{"OK ARP", suspicious, unhex(arpReq), false},
		{"OK fragment that looks like a reset", suspicious, frame("203.0.113.1", 6, 9, false, tcpRST), false},
		{"bad inside source", suspicious, frame("10.0.0.9", 17, 0, false, udp), true},
		{"bad inside source of a fragment", suspicious, frame("10.0.0.9", 17, 7, false, udp), true},
		{"bad reset", suspicious, frame("203.0.113.1", 6, 0, false, tcpRST), true},
		{"bad reset after IP options", suspicious, frame("203.0.113.1", 6, 0, true, tcpRST), true},
		{"bad unreachable", suspicious, frame("203.0.113.1", 1, 0, false, unreac), true},
		{"bad time exceeded", suspicious, frame("203.0.113.1", 1, 0, false, "0b00 0000 00000000"), true},
		{"wanted protocol, first", vrrp, frame("203.0.113.1", 112, 0, false, advert), true},
		{"wanted protocol, last", vrrp, frame("203.0.113.1", 1, 0, false, echo), true},
		{"unwanted protocol", vrrp, frame("203.0.113.1", 17, 0, false, udp), false},
		{"unwanted ARP", vrrp, unhex(arpReq), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			vm, err := bpf.NewVM(tc.filter)
			if err != nil {
				t.Fatal(err)
			}
			n, err := vm.Run(tc.frame)
			if err != nil {
				t.Fatal(err)
			}
			if got := n > 0; got != tc.want {
				t.Errorf("passes: want %v, got %v", tc.want, got)
			}
		})
	}
}

// a, b and c on one segment: what a sends to b is captured once, as a's.
func TestCaptureNamesTheSenderAndSeesEachFrameOnce(t *testing.T) {
	l := lab.NewT(t)
	seg := l.Segment("seg")
	a, b := l.Node("a"), l.Node("b")
	l.Join(a, seg, "eth0", "10.1.0.1/24")
	l.Join(b, seg, "eth0", "10.1.0.2/24")
	l.Join(l.Node("c"), seg, "eth0", "10.1.0.3/24")
	start := time.Now()
	c, err := capture.Start(seg, capture.Options{})
	must(t, err)
	arps, err := capture.Start(seg, capture.Options{Keep: func(f capture.Frame) bool { return capture.Decode(f.Data).Kind == capture.ARP }})
	must(t, err)
	none, err := capture.Start(seg, capture.Options{Filter: capture.Protocols(112)})
	must(t, err)

	const sent = 5
	var in, out *net.UDPConn
	must(t, b.Do(func() (err error) {
		in, err = net.ListenUDP("udp4", &net.UDPAddr{Port: 9})
		return err
	}))
	defer in.Close()
	must(t, a.Do(func() (err error) {
		out, err = net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.IP{10, 1, 0, 2}, Port: 9})
		return err
	}))
	defer out.Close()
	must(t, in.SetReadDeadline(time.Now().Add(30*time.Second)))
	for i := range sent {
		_, err := out.Write(bytes.Repeat([]byte{byte(i)}, 300))
		must(t, err)
		_, err = in.Read(make([]byte, 512))
		must(t, err)
	}

	count := func(c *capture.Capture) (udp, arp int) {
		t.Helper()
		must(t, c.Stop())
		for _, f := range c.Frames() {
			if f.From == "" {
				t.Errorf("nobody sent %v", f)
			}
			switch p := capture.Decode(f.Data); {
			case p.Kind == capture.UDP:
				udp++
				if f.From != "a" || f.Len != 14+20+8+300 || len(f.Data) != 128 || f.At.Before(start) || f.At.After(time.Now()) {
					t.Errorf("frame from %s at %v of %d bytes, %d kept", f.From, f.At, f.Len, len(f.Data))
				}
			case p.Kind == capture.ARP:
				arp++
			}
		}
		return udp, arp
	}
	if udp, arp := count(c); udp != sent || arp < 2 {
		t.Errorf("captured %d datagrams and %d ARP, want %d and the two of one resolution or more", udp, arp, sent)
	}
	if udp, arp := count(arps); udp != 0 || arp < 2 {
		t.Errorf("kept %d datagrams and %d ARP, want none and two or more", udp, arp)
	}
	if udp, arp := count(none); udp+arp != 0 {
		t.Errorf("a filter for VRRP let %d datagrams and %d ARP through", udp, arp)
	}
}

func TestWritePCAP(t *testing.T) {
	var b bytes.Buffer
	must(t, capture.WritePCAP(&b, []capture.Frame{
		{At: time.Unix(7, 9), Len: 60, Data: []byte{1, 2, 3}},
		{At: time.Unix(8, 0), Len: 1, Data: []byte{4}},
	}))
	u := binary.NativeEndian.Uint32
	got := b.Bytes()
	if len(got) != 24+16+3+16+1 || u(got) != 0xa1b23c4d || u(got[20:]) != 1 {
		t.Fatalf("file of %d bytes, header %x", len(got), got[:24])
	}
	if r := got[24:]; u(r) != 7 || u(r[4:]) != 9 || u(r[8:]) != 3 || u(r[12:]) != 60 || !bytes.Equal(r[16:19], []byte{1, 2, 3}) || u(r[19:]) != 8 || r[35] != 4 {
		t.Errorf("records %x", r)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
