package replica

import (
	"encoding/hex"
	"log/slog"
	"os"
	"strings"
	"testing"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// What a dump shows of a flow in a flowtable: counted as unprotected; it stays with
// the peers as it was, without the mark of this kernel's flowtable. The kernel here
// has no flowtables: the entries are those that another one sent, with the bits of
// linux/netfilter/nf_conntrack_common.h in their status.
func TestOffloadedFlowsAreReported(t *testing.T) {
	for name, bit := range map[string]uint32{"software": 1 << 14, "hardware": 1 << 15, "none": 0} {
		ev := fixture(t, bit)
		e := &Engine{cfg: Config{Node: "a", Groups: []Group{{Name: "gw"}}}, log: slog.New(slog.DiscardHandler)}
		e.newTable()
		e.groups.Activate(0, 1)
		gen := e.table.NextGeneration()
		if off := e.entry(&ev, 0, gen); off != (bit != 0) {
			t.Errorf("%s: offloaded %v", name, off)
		}
		e.setOffloaded(map[bool]int{true: 1}[bit != 0])
		if got := e.Status().Offloaded; got != map[bool]int{true: 1}[bit != 0] {
			t.Errorf("%s: %d reported", name, got)
		}
		s, ok := e.table.Lookup(&ev.Rec.Key)
		if !ok {
			t.Fatalf("%s: it is not in the table", name)
		}
		var r session.Record
		if e.table.Record(s, &r); r.Offloaded() {
			t.Errorf("%s: the bit goes to peers: %s", name, r.String())
		}
	}
}

// fixture is a TCP entry as a kernel sent it, with more bits in its status.
func fixture(t *testing.T, bits uint32) (ev conntrack.Event) {
	t.Helper()
	text, err := os.ReadFile("../../nat/conntrack/testdata/messages/entry-tcp-zone-mark.hex")
	if err != nil {
		t.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "----") {
			break
		}
		if !strings.HasPrefix(line, "#") {
			digits.WriteString(strings.Join(strings.Fields(line), ""))
		}
	}
	msg, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	// CTA_STATUS: 8 bytes long, type 3, 32 bits in network byte order.
	at := strings.Index(string(msg), "\x08\x00\x03\x00")
	if at < 0 {
		t.Fatal("no status in the fixture")
	}
	msg[at+6] |= byte(bits >> 8)
	if err := conntrack.ParseMessage(msg, &ev); err != nil {
		t.Fatal(err)
	}
	return ev
}
