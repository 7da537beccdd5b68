package conntrack_test

import (
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the expectations in testdata")

// golden is a file of testdata: comments on the origin, the bytes in hex, "----",
// and what is expected of them.
type golden struct {
	path, comment string
	data          []byte
	want          string
}

func readGolden(t testing.TB, dir string) (files []golden) {
	t.Helper()
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("captured on a little-endian machine")
	}
	paths, err := filepath.Glob(filepath.Join("testdata", dir, "*.hex"))
	must(t, err)
	if len(paths) == 0 {
		t.Fatalf("testdata/%s is empty", dir)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		must(t, err)
		head, want, _ := strings.Cut(string(b), "----\n")
		g := golden{path: path, want: want}
		var digits strings.Builder
		for line := range strings.Lines(head) {
			if strings.HasPrefix(line, "#") {
				g.comment += line
			} else {
				digits.WriteString(strings.Join(strings.Fields(line), ""))
			}
		}
		g.data, err = hex.DecodeString(digits.String())
		must(t, err)
		files = append(files, g)
	}
	return files
}

func (g *golden) write(t testing.TB) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(g.path), 0o755))
	must(t, os.WriteFile(g.path, []byte(g.comment+hexLines(g.data)+"----\n"+g.want), 0o644))
}

// hexLines prints 4-byte words, eight a line.
func hexLines(data []byte) string {
	var b strings.Builder
	for len(data) > 0 {
		line := data[:min(32, len(data))]
		data = data[len(line):]
		for len(line) > 0 {
			w := line[:min(4, len(line))]
			line = line[len(w):]
			fmt.Fprintf(&b, "%x", w)
			if len(line) > 0 {
				b.WriteByte(' ')
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// describe prints every field of an event.
func describe(ev *conntrack.Event, err error) string {
	if err != nil {
		return fmt.Sprintf("error: %v\n", err)
	}
	r := &ev.Rec
	var b strings.Builder
	fmt.Fprintf(&b, "%v by port %d, has %#x\n", ev.Kind, ev.PortID, uint16(ev.Has))
	fmt.Fprintf(&b, "ipv%d protocol %d zone %d\n", r.Family, r.Proto, r.Zone)
	fmt.Fprintf(&b, "original %v %d -> %v %d\n", r.Src.Netip(r.Family), r.SrcPort, r.Dst.Netip(r.Family), r.DstPort)
	fmt.Fprintf(&b, "reply    %v %d -> %v %d\n", r.ReplySrc.Netip(r.Family), r.ReplySrcPort, r.ReplyDst.Netip(r.Family), r.ReplyDstPort)
	fmt.Fprintf(&b, "id %#x status %#x timeout %d mark %#x\n", r.ID, uint32(r.Status), r.Timeout, r.Mark)
	fmt.Fprintf(&b, "tcp %+v\nsctp %+v\nseqadj %+v\n", r.TCP, r.SCTP, r.SeqAdj)
	return b.String()
}

// TestParseGolden decodes messages that a kernel sent.
func TestParseGolden(t *testing.T) {
	for _, g := range readGolden(t, "messages") {
		t.Run(strings.TrimSuffix(filepath.Base(g.path), ".hex"), func(t *testing.T) {
			var ev conntrack.Event
			got := describe(&ev, conntrack.ParseMessage(g.data, &ev))
			if *rewrite {
				g.want = got
				g.write(t)
			}
			if diff := cmp.Diff(g.want, got); diff != "" {
				t.Errorf("decoded (-want +got):\n%s", diff)
			}
		})
	}
}

// requests are messages in every form that this package sends. The kernel's
// opinion of them is in the tests of Install, Update, Delete, Get and Dump.
func requests() map[string][]byte {
	tcpSNAT := snatFlow()
	zoned := tcpSNAT
	zoned.Zone, zoned.Mark = 7, 0xdeadbeef
	zoned.SeqAdj[1] = session.SeqAdj{CorrectionPos: 5, OffsetBefore: 1, OffsetAfter: -1}
	hairpin := flow(tcp, "10.0.0.2:5000", "203.0.113.1:80", "10.0.0.5:8080", "203.0.113.1:6000")
	v6 := flow(udp, "[fd00::2]:5000", "[2001:db8::1]:53", "[2001:db8::1]:53", "[2001:db8:1::1]:6000")
	ping := flow(icmp, "10.0.0.2:77", "9.9.9.9:2048", "9.9.9.9:78", "203.0.113.1:0")
	ping6 := flow(icmp6, "[fd00::2]:77", "[2001:db8::1]:32768", "[2001:db8::1]:78", "[2001:db8:1::1]:33024")
	tunnel := flow(gre, "10.0.0.2:7", "9.9.9.9:9", "9.9.9.9:9", "203.0.113.1:7")
	assoc := flow(sctp, "10.0.0.2:7000", "9.9.9.9:9000", "9.9.9.9:9000", "10.0.0.2:7000")
	assoc.SCTP = session.SCTP{State: 4, VTagOrig: 0x01020304, VTagReply: 0xa1a2a3a4}
	other := flow(ospf, "10.0.0.2:0", "9.9.9.9:0", "9.9.9.9:0", "203.0.113.1:0")

	const seq = 0x01020304
	strict, hold := &conntrack.InstallOptions{}, &conntrack.InstallOptions{Liberal: true, Hold: 600}
	update := func(f conntrack.UpdateFields) []byte {
		return conntrack.AppendUpdate(nil, seq, &zoned, &conntrack.UpdateOptions{Fields: f})
	}
	return map[string][]byte{
		"create-tcp-snat":       conntrack.AppendCreate(nil, seq, &tcpSNAT, strict),
		"create-tcp-snat-hold":  conntrack.AppendCreate(nil, seq, &tcpSNAT, hold),
		"create-tcp-zone-mark":  conntrack.AppendCreate(nil, seq, &zoned, strict),
		"create-tcp-hairpin":    conntrack.AppendCreate(nil, seq, &hairpin, strict),
		"create-udp-ipv6-snat":  conntrack.AppendCreate(nil, seq, &v6, strict),
		"create-icmp-snat":      conntrack.AppendCreate(nil, seq, &ping, strict),
		"create-icmpv6-snat":    conntrack.AppendCreate(nil, seq, &ping6, strict),
		"create-gre-snat":       conntrack.AppendCreate(nil, seq, &tunnel, strict),
		"create-sctp":           conntrack.AppendCreate(nil, seq, &assoc, strict),
		"create-ospf-snat":      conntrack.AppendCreate(nil, seq, &other, strict),
		"update-all":            update(0),
		"update-timeout":        update(conntrack.UpdateTimeout),
		"update-liberal":        update(conntrack.UpdateLiberal),
		"delete":                conntrack.AppendDelete(nil, seq, &zoned.Key, 0),
		"delete-id":             conntrack.AppendDelete(nil, seq, &tcpSNAT.Key, 0x11223344),
		"get":                   conntrack.AppendGet(nil, seq, &v6.Key),
		"dump":                  conntrack.AppendDump(nil, seq, &conntrack.Filter{}),
		"dump-status-mark-zone": conntrack.AppendDump(nil, seq, &conntrack.Filter{Family: 6, Zone: 9, Status: 4, StatusMask: 6, Mark: 5, MarkMask: 0xff}),
		"dump-addresses":        conntrack.AppendDump(nil, seq, &conntrack.Filter{Family: 4, OrigSrc: tcpSNAT.Src.Netip(4), ReplyDst: tcpSNAT.ReplyDst.Netip(4)}),
	}
}

// TestAppendGolden: the bytes that are sent do not change by accident.
func TestAppendGolden(t *testing.T) {
	built := requests()
	if *rewrite {
		for name, msg := range built {
			g := golden{path: filepath.Join("testdata", "requests", name+".hex"), data: msg,
				comment: "# Origin: this package; the namespace tests show that Linux 6.18.44 takes it as meant.\n"}
			g.write(t)
		}
	}
	files := readGolden(t, "requests")
	for _, g := range files {
		name := strings.TrimSuffix(filepath.Base(g.path), ".hex")
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(hexLines(g.data), hexLines(built[name])); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		})
	}
	if len(files) != len(built) {
		t.Errorf("%d files for %d forms", len(files), len(built))
	}
}

// TestAppendExtends: nothing that the buffer holds already is touched, whatever
// its length.
func TestAppendExtends(t *testing.T) {
	r := snatFlow()
	alone := conntrack.AppendCreate(nil, 1, &r, &conntrack.InstallOptions{})
	both := conntrack.AppendCreate(append([]byte(nil), alone...), 1, &r, &conntrack.InstallOptions{})
	if diff := cmp.Diff(append(append([]byte(nil), alone...), alone...), both); diff != "" {
		t.Errorf("second message (-want +got):\n%s", diff)
	}
}
