package conntrack_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// TestInstallGivesBackTheRecord writes records of every kind and reads them back
// from the kernel.
func TestInstallGivesBackTheRecord(t *testing.T) {
	mod := func(r session.Record, fn func(*session.Record)) session.Record { fn(&r); return r }
	tests := []struct {
		name string
		rec  session.Record
		want session.Status // beyond SEEN_REPLY, ASSURED and CONFIRMED
	}{
		{"tcp", flow(tcp, "10.0.0.2:40000", "10.9.0.1:80", "10.9.0.1:80", "10.0.0.2:40000"), 0},
		{"tcp snat with another port", snatFlow(), session.StatusSrcNAT},
		{"tcp snat with the same port", flow(tcp, "10.0.0.2:40000", "10.9.0.1:80", "10.9.0.1:80", "203.0.113.1:40000"), session.StatusSrcNAT},
		{"tcp dnat", flow(tcp, "198.51.100.9:5000", "203.0.113.1:80", "10.0.0.5:8080", "198.51.100.9:5000"), session.StatusDstNAT},
		{"tcp dnat to another port of the same address", flow(tcp, "198.51.100.9:5000", "203.0.113.1:80", "203.0.113.1:8080", "198.51.100.9:5000"), session.StatusDstNAT},
		{"tcp hairpin", flow(tcp, "10.0.0.2:5000", "203.0.113.1:80", "10.0.0.5:8080", "203.0.113.1:6000"), session.StatusSrcNAT | session.StatusDstNAT},
		{"tcp ipv6", flow(tcp, "[fd00::2]:5000", "[2001:db8::1]:80", "[2001:db8::1]:80", "[2001:db8:1::1]:6000"), session.StatusSrcNAT},
		{"tcp zone and mark", mod(snatFlow(), func(r *session.Record) { r.Zone, r.Mark = 7, 0xdeadbeef }), session.StatusSrcNAT},
		{"tcp half closed", mod(snatFlow(), func(r *session.Record) { r.TCP.State = session.TCPFinWait }), session.StatusSrcNAT},
		{"tcp sequence adjustment", mod(snatFlow(), func(r *session.Record) {
			r.SeqAdj[0] = session.SeqAdj{CorrectionPos: 0xfffffff0, OffsetBefore: -3, OffsetAfter: 17}
			r.SeqAdj[1] = session.SeqAdj{CorrectionPos: 5, OffsetBefore: 1, OffsetAfter: -1}
		}), session.StatusSrcNAT | session.StatusSeqAdjust},
		{"udp snat", flow(udp, "10.0.0.2:53000", "9.9.9.9:53", "9.9.9.9:53", "203.0.113.1:1024"), session.StatusSrcNAT},
		{"udp ipv6 dnat", flow(udp, "[2001:db8::9]:53000", "[2001:db8::1]:53", "[fd00::53]:5353", "[2001:db8::9]:53000"), session.StatusDstNAT},
		// The identifier of a ping is the port of the source, the type and code the other.
		{"icmp", flow(icmp, "10.0.0.2:77", "9.9.9.9:2048", "9.9.9.9:77", "10.0.0.2:0"), 0},
		{"icmp snat with another id", flow(icmp, "10.0.0.2:77", "9.9.9.9:2048", "9.9.9.9:78", "203.0.113.1:0"), session.StatusSrcNAT},
		{"icmp snat with the same id", flow(icmp, "10.0.0.2:77", "9.9.9.9:2048", "9.9.9.9:77", "203.0.113.1:0"), session.StatusSrcNAT},
		{"icmp dnat", flow(icmp, "198.51.100.9:77", "203.0.113.20:2048", "10.0.0.20:77", "198.51.100.9:0"), session.StatusDstNAT},
		{"icmp hairpin", flow(icmp, "10.0.0.2:77", "203.0.113.20:2048", "10.0.0.20:78", "203.0.113.1:0"), session.StatusSrcNAT | session.StatusDstNAT},
		{"icmp timestamp", flow(icmp, "10.0.0.2:77", "9.9.9.9:3328", "9.9.9.9:77", "203.0.113.1:3584"), session.StatusSrcNAT},
		{"icmpv6 snat", flow(icmp6, "[fd00::2]:77", "[2001:db8::1]:32768", "[2001:db8::1]:78", "[2001:db8:1::1]:33024"), session.StatusSrcNAT},
		{"gre snat", mod(flow(gre, "10.0.0.2:7", "9.9.9.9:9", "9.9.9.9:9", "203.0.113.1:7"), func(r *session.Record) { r.Timeout = 86400 }), session.StatusSrcNAT | session.StatusFixedTimeout},
		{"sctp snat", mod(flow(sctp, "10.0.0.2:7000", "9.9.9.9:9000", "9.9.9.9:9000", "203.0.113.1:7001"), func(r *session.Record) {
			r.SCTP = session.SCTP{State: 4, VTagOrig: 0x01020304, VTagReply: 0xa1a2a3a4}
		}), session.StatusSrcNAT},
		{"ospf snat, by address only", flow(ospf, "10.0.0.2:0", "9.9.9.9:0", "9.9.9.9:0", "203.0.113.1:0"), session.StatusSrcNAT},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := newNode(t)
			k := n.kernel(t)
			must(t, install(t, k, conntrack.InstallOptions{}, tt.rec))
			got, err := k.Get(tt.rec.Key)
			must(t, err)
			want := tt.rec
			want.Status |= tt.want
			want.ID = got.ID
			if got.ID == 0 {
				t.Error("entry has no ID")
			}
			if want.Proto == tcp { // only flags that mean something elsewhere are carried
				want.TCP.FlagsOrig &= 0x0f
				want.TCP.FlagsReply &= 0x0f
			}
			if want.Proto == gre { // a packet sets it
				want.Status &^= session.StatusAssured
			}
			natDone := session.Status(1<<7 | 1<<8)
			got.Status &^= natDone
			if d := got.Timeout - want.Timeout; d != 0 && d != ^uint32(0) { // a second may have gone
				t.Errorf("timeout: want %d, got %d", want.Timeout, got.Timeout)
			}
			got.Timeout = want.Timeout
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("entry in the kernel (-want +got):\n%s", diff)
			}
		})
	}
}

// install installs one record and returns its result.
func install(t testing.TB, k *conntrack.Kernel, o conntrack.InstallOptions, r session.Record) error {
	t.Helper()
	var results [1]error
	must(t, k.Install([]session.Record{r}, o, results[:]))
	return results[0]
}

func wantResult(t testing.TB, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("result: want %v, got %v", want, got)
	}
}

// TestIDIsNotAnIncarnation: CTA_ID is a hash of the entry's address and tuple.
// Another ID is another incarnation; the same ID proves nothing, because the
// kernel gives the memory of an entry that ended to the next one at once.
func TestIDIsNotAnIncarnation(t *testing.T) {
	k := newNode(t).kernel(t)
	other := snatFlow()
	other.SrcPort, other.ReplyDstPort = 1, 1
	incarnation := func(r session.Record) uint32 {
		t.Helper()
		must(t, install(t, k, conntrack.InstallOptions{}, r))
		e, err := k.Get(r.Key)
		must(t, err)
		return e.ID
	}
	end := func(r session.Record) {
		t.Helper()
		var results [1]error
		must(t, k.Delete([]session.Key{r.Key}, results[:]))
		must(t, results[0])
	}
	reused, fresh := 0, 0
	for range 20 {
		first := incarnation(snatFlow())
		end(snatFlow())
		if incarnation(snatFlow()) == first {
			reused++
		}
		end(snatFlow())
		incarnation(other) // takes the memory
		if incarnation(snatFlow()) != first {
			fresh++
		}
		end(snatFlow())
		end(other)
	}
	if reused == 0 {
		t.Error("an ID was never reused: the warning can go")
	}
	if fresh == 0 {
		t.Error("no ID ever told two incarnations apart")
	}
}
