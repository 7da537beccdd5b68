package conntrack_test

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// verbatim is what a replay of a dumped entry sends: the reply tuple as it was
// shown, already translated.
func verbatim(b []byte, seq uint32, r *session.Record, o *conntrack.InstallOptions) []byte {
	msg := conntrack.AppendCreate(nil, seq, r, o)
	return append(b, conntrack.Without(conntrack.WithReply(msg, r), conntrack.AttrNATSrc, conntrack.AttrNATDst)...)
}

// TestVerbatimReplayIsCaught: the kernel accepts the trap, the listing looks
// right, only the status bit tells. Verification finds it and removes the entry.
// It does so with the echo of the create and, where the kernel echoes nothing,
// by asking.
func TestVerbatimReplayIsCaught(t *testing.T) {
	for _, events := range []string{"1", "0"} {
		t.Run("nf_conntrack_events="+events, func(t *testing.T) {
			n := newNode(t)
			n.sysctl(t, "net/netfilter/nf_conntrack_events", events)
			k := n.kernel(t)
			r := snatFlow()
			k.SetForm(verbatim)

			wantResult(t, install(t, k, conntrack.InstallOptions{NoVerify: true}, r), nil)
			got, err := k.Get(r.Key)
			must(t, err)
			if got.ReplyDst != r.ReplyDst || got.Status&session.StatusSrcNAT != 0 {
				t.Fatalf("the trap is gone: reply %v, status %#x", got.ReplyDst.Netip(4), got.Status)
			}
			var results [1]error
			must(t, k.Delete([]session.Key{r.Key}, results[:]))
			must(t, results[0])

			wantResult(t, install(t, k, conntrack.InstallOptions{}, r), conntrack.ErrNotTranslated)
			_, err = k.Get(r.Key)
			wantResult(t, err, conntrack.ErrNotFound)
		})
	}
}

// TestInstallReplacesAnUntranslatedEntry: an entry that somebody replayed
// verbatim has our binding by its tuples, but not in effect.
func TestInstallReplacesAnUntranslatedEntry(t *testing.T) {
	k := newNode(t).kernel(t)
	r := snatFlow()
	_, err := k.Raw(verbatim(nil, 0, &r, &conntrack.InstallOptions{}))
	must(t, err)

	wantResult(t, install(t, k, conntrack.InstallOptions{KeepLocal: true}, r), conntrack.ErrClash)
	wantResult(t, install(t, k, conntrack.InstallOptions{}, r), nil)
	got, err := k.Get(r.Key)
	must(t, err)
	if got.Status&session.StatusSrcNAT == 0 {
		t.Errorf("status %#x: not translated", got.Status)
	}
}

// TestMissingNATAttributeChangesThePort: with the destination's attribute alone
// the kernel makes a null binding for the source, and when the tuple is taken it
// silently takes another port. That is why both are sent.
func TestMissingNATAttributeChangesThePort(t *testing.T) {
	k := newNode(t).kernel(t)
	// A direct flow holds what the forwarded one needs.
	direct := flow(tcp, "198.51.100.9:5000", "10.0.0.5:8080", "10.0.0.5:8080", "198.51.100.9:5000")
	must(t, install(t, k, conntrack.InstallOptions{}, direct))
	r := flow(tcp, "198.51.100.9:5000", "203.0.113.1:80", "10.0.0.5:8080", "198.51.100.9:5000")

	one := conntrack.Without(conntrack.AppendCreate(nil, 0, &r, &conntrack.InstallOptions{}), conntrack.AttrNATSrc)
	errnos, err := k.Raw(one)
	must(t, err)
	got, err := k.Get(r.Key)
	if errnos[0] != 0 || err != nil {
		t.Fatalf("the trap is gone: %v, %v", errnos[0], err)
	}
	if got.ReplyDstPort == r.ReplyDstPort {
		t.Fatal("the trap is gone: the port was kept")
	}
	var results [1]error
	must(t, k.Delete([]session.Key{r.Key}, results[:]))
	must(t, results[0])

	wantResult(t, install(t, k, conntrack.InstallOptions{}, r), conntrack.ErrClash)
	holder, err := k.Holder(&r)
	must(t, err)
	if holder.Key != direct.Key {
		t.Errorf("holder: want %+v, got %+v", direct.Key, holder.Key)
	}
}

func TestInstallExisting(t *testing.T) {
	r := snatFlow()
	otherPort := r
	otherPort.ReplyDstPort++
	reversed := flow(tcp, "198.51.100.80:443", "10.0.0.2:40000", "10.0.0.2:40000", "198.51.100.80:443")
	thief := flow(tcp, "10.0.0.3:999", "198.51.100.80:443", "198.51.100.80:443", "203.0.113.1:20001")
	unassured := r
	unassured.Status, unassured.Timeout = session.StatusConfirmed, 20
	unassured.TCP.State = session.TCPCloseWait
	tests := []struct {
		name     string
		existing session.Record
		keep     bool
		want     error
		winner   *session.Record // whose binding holds r's key afterwards
		sameID   bool            // the entry was not made anew
	}{
		{"same binding", r, false, nil, &r, true},
		{"same binding, keeping local ones", r, true, nil, &r, true},
		{"same binding, less assured and another state", unassured, false, nil, &r, true},
		{"other port", otherPort, false, nil, &r, false},
		{"other port, keeping local ones", otherPort, true, conntrack.ErrClash, &otherPort, true},
		{"picked up in reverse", reversed, false, nil, &r, false},
		{"picked up in reverse, keeping local ones", reversed, true, conntrack.ErrClash, &reversed, true},
		{"port of another flow", thief, false, conntrack.ErrClash, nil, false},
		{"port of another flow, keeping local ones", thief, true, conntrack.ErrClash, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := newNode(t).kernel(t)
			must(t, install(t, k, conntrack.InstallOptions{}, tt.existing))
			before, err := k.Get(tt.existing.Key)
			must(t, err)

			wantResult(t, install(t, k, conntrack.InstallOptions{KeepLocal: tt.keep}, r), tt.want)

			got, err := k.Get(r.Key)
			if tt.winner == nil {
				wantResult(t, err, conntrack.ErrNotFound)
				holder, err := k.Holder(&r)
				must(t, err)
				if holder.Key != tt.existing.Key {
					t.Errorf("holder: want %+v, got %+v", tt.existing.Key, holder.Key)
				}
				return
			}
			must(t, err)
			if got.Key != tt.winner.Key || got.ReplyDstPort != tt.winner.ReplyDstPort {
				t.Errorf("entry: want %+v, got %+v", tt.winner, got)
			}
			if tt.want == nil && (got.TCP.State != r.TCP.State || got.Status&session.StatusAssured == 0 || got.Timeout < 290) {
				t.Errorf("not brought up to date: %+v", got)
			}
			// The reverse proves nothing: see TestIDIsNotAnIncarnation.
			if tt.sameID && got.ID != before.ID {
				t.Error("the entry was made anew")
			}
		})
	}
}

func TestInstallRefuses(t *testing.T) {
	state := func(s session.TCPState) session.Record { r := snatFlow(); r.TCP.State = s; return r }
	tests := []struct {
		name string
		rec  session.Record
	}{
		{"tcp without state", state(session.TCPNone)},
		{"tcp SYN_SENT", state(session.TCPSynSent)},
		{"tcp SYN_RECV", state(session.TCPSynRecv)},
		{"tcp SYN_SENT2", state(session.TCPSynSent2)},
		{"sctp without tags", flow(sctp, "10.0.0.2:7000", "9.9.9.9:9000", "9.9.9.9:9000", "203.0.113.1:7001")},
		{"icmp unreachable", flow(icmp, "10.0.0.2:0", "9.9.9.9:768", "9.9.9.9:0", "10.0.0.2:768")},
		{"icmp over ipv6", flow(icmp, "[fd00::2]:1", "[fd00::3]:2048", "[fd00::3]:1", "[fd00::2]:0")},
		{"nothing", session.Record{}},
	}
	k := newNode(t).kernel(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// Behind and before good ones, so that the batch goes on around it.
			first, last := snatFlow(), snatFlow()
			last.SrcPort, last.ReplyDstPort = 1, 1
			results := make([]error, 3)
			must(t, k.Install([]session.Record{first, tt.rec, last}, conntrack.InstallOptions{}, results))
			wantResult(t, results[0], nil)
			wantResult(t, results[1], conntrack.ErrNotInstallable)
			wantResult(t, results[2], nil)
		})
	}
}

// TestUpdate: what updates change and what they keep, also of entries whose
// status the record does not know.
func TestUpdate(t *testing.T) {
	k := newNode(t).kernel(t)
	r, absent := snatFlow(), snatFlow()
	absent.SrcPort++
	must(t, install(t, k, conntrack.InstallOptions{Liberal: true}, r))
	before, err := k.Get(r.Key)
	must(t, err)
	if before.TCP.FlagsOrig&before.TCP.FlagsReply&session.TCPFlagLiberal == 0 {
		t.Fatalf("not liberal: %+v", before.TCP)
	}
	results := make([]error, 2)

	// Only the timeout, at least the hold.
	must(t, k.Update([]session.Record{r, absent}, conntrack.UpdateOptions{Fields: conntrack.UpdateTimeout, Hold: 5000}, results))
	wantResult(t, results[0], nil)
	wantResult(t, results[1], conntrack.ErrNotFound)
	got, err := k.Get(r.Key)
	must(t, err)
	if got.Timeout < 4990 || got.TCP != before.TCP || got.Status != before.Status {
		t.Errorf("after the timeout: want %+v with 5000 s, got %+v", before, got)
	}

	// Only the window check, back to strict.
	live := r
	live.TCP.State, live.TCP.WScaleOrig = session.TCPSynSent, 1 // stale, must not reach the kernel
	must(t, k.Update([]session.Record{live}, conntrack.UpdateOptions{Fields: conntrack.UpdateLiberal}, results))
	wantResult(t, results[0], nil)
	got, err = k.Get(r.Key)
	must(t, err)
	want := before.TCP
	want.FlagsOrig, want.FlagsReply = 0x03, 0x03
	if got.TCP != want {
		t.Errorf("after the window check: want %+v, got %+v", want, got.TCP)
	}

	// The options, flags that the record does not carry aside.
	live.TCP.FlagsOrig |= 0x04
	must(t, k.Update([]session.Record{live}, conntrack.UpdateOptions{Fields: conntrack.UpdateTCPOptions, Liberal: true}, results))
	wantResult(t, results[0], nil)
	got, err = k.Get(r.Key)
	must(t, err)
	want.FlagsOrig, want.FlagsReply, want.WScaleOrig = 0x0f, 0x0b, 1
	if got.TCP != want {
		t.Errorf("after the options: want %+v, got %+v", want, got.TCP)
	}

	// All of it, with a status that would take ASSURED back: the rest is done.
	r.Status, r.Mark, r.Timeout, r.TCP.State = 0, 9, 100, session.TCPLastAck
	must(t, k.Update([]session.Record{r, absent}, conntrack.UpdateOptions{}, results))
	wantResult(t, results[0], nil)
	wantResult(t, results[1], conntrack.ErrNotFound)
	got, err = k.Get(r.Key)
	must(t, err)
	if got.Mark != 9 || got.Timeout > 100 || got.TCP.State != session.TCPLastAck || got.Status != before.Status {
		t.Errorf("after all: got %+v", got)
	}
}

// TestUpdateOfAFixedTimeout: that of GRE is fixed, so an update leaves it out
// instead of failing.
func TestUpdateOfAFixedTimeout(t *testing.T) {
	k := newNode(t).kernel(t)
	r := flow(gre, "10.0.0.2:7", "9.9.9.9:9", "9.9.9.9:9", "203.0.113.1:7")
	must(t, install(t, k, conntrack.InstallOptions{}, r))
	r.Mark = 3
	var results [1]error
	must(t, k.Update([]session.Record{r}, conntrack.UpdateOptions{}, results[:]))
	wantResult(t, results[0], nil)
	got, err := k.Get(r.Key)
	must(t, err)
	if got.Mark != 3 {
		t.Errorf("not updated: %+v", got)
	}
}

// TestUnknownWindowScaleIsLiberal: strict tracking with a scale of 0 that is not
// the flow's would stall it.
func TestUnknownWindowScaleIsLiberal(t *testing.T) {
	tests := []struct {
		name string
		tcp  session.TCP
		want bool
	}{
		{"both scales", session.TCP{FlagsOrig: 0x23, FlagsReply: 0x23}, true},
		{"both scales, liberal", session.TCP{FlagsOrig: 0x29, FlagsReply: 0x29}, true},
		{"handshake without scales", session.TCP{FlagsOrig: 0x22, FlagsReply: 0x20}, true},
		{"one side only: not agreed", session.TCP{FlagsOrig: 0x23, FlagsReply: 0x20}, true},
		{"picked up in the middle", session.TCP{FlagsOrig: 0x2a, FlagsReply: 0x2a}, false},
		{"flags never heard of", session.TCP{}, false},
	}
	k := newNode(t).kernel(t)
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := conntrack.WindowScaleKnown(&tt.tcp); got != tt.want {
				t.Errorf("WindowScaleKnown: want %v, got %v", tt.want, got)
			}
			r := snatFlow()
			r.SrcPort, r.ReplyDstPort = uint16(i+1), uint16(i+1)
			r.TCP = tt.tcp
			r.TCP.State = session.TCPEstablished
			must(t, install(t, k, conntrack.InstallOptions{}, r))
			got, err := k.Get(r.Key)
			must(t, err)
			if liberal := got.TCP.FlagsOrig&got.TCP.FlagsReply&session.TCPFlagLiberal != 0; liberal == tt.want {
				t.Errorf("liberal in the kernel: want %v, got %v", !tt.want, liberal)
			}
		})
	}
}

// TestTimeoutBounds: 0 s would be the end of the entry, and what is too long
// for the kernel is cut.
func TestTimeoutBounds(t *testing.T) {
	k := newNode(t).kernel(t)
	for i, timeout := range []uint32{0, 1 << 31, ^uint32(0)} {
		r := snatFlow()
		r.SrcPort, r.ReplyDstPort, r.Timeout = uint16(i+1), uint16(i+1), timeout
		must(t, install(t, k, conntrack.InstallOptions{Hold: 600}, r))
		got, err := k.Get(r.Key)
		must(t, err)
		if got.Timeout < 599 {
			t.Errorf("timeout %d: got %d", timeout, got.Timeout)
		}
	}
}

// TestInstallManyBatches: more records than a batch, refused and clashing ones
// among them, each with its own result.
func TestInstallManyBatches(t *testing.T) {
	n := newNode(t)
	k := n.kernel(t)
	recs := make([]session.Record, 1000)
	want := make([]error, len(recs))
	for i := range recs {
		recs[i] = snatFlow()
		recs[i].SrcPort, recs[i].ReplyDstPort = uint16(1000+i), uint16(1000+i)
		switch {
		case i%10 == 3:
			recs[i].TCP.State, want[i] = session.TCPSynSent, conntrack.ErrNotInstallable
		case i%10 == 7:
			recs[i].ReplyDstPort, want[i] = recs[i-1].ReplyDstPort, conntrack.ErrClash
		}
	}
	for _, pass := range []string{"created", "updated"} {
		results := make([]error, len(recs))
		must(t, k.Install(recs, conntrack.InstallOptions{}, results))
		for i := range results {
			if !errors.Is(results[i], want[i]) || (want[i] == nil && results[i] != nil) {
				t.Fatalf("%s: result %d: want %v, got %v", pass, i, want[i], results[i])
			}
		}
	}
	count := 0
	must(t, k.Dump(conntrack.Filter{}, func(*conntrack.Event) { count++ }))
	if count != 800 {
		t.Errorf("entries: want 800, got %d", count)
	}
	var l conntrack.Limits
	n.do(t, func() {
		var err error
		l, err = conntrack.ReadLimits()
		must(t, err)
	})
	if l.Count != 800 || l.Events != 1 || l.Max == 0 || l.Buckets == 0 {
		t.Errorf("limits: want 800 entries and events 1, got %+v", l)
	}

	keys := make([]session.Key, len(recs))
	for i := range recs {
		keys[i] = recs[i].Key
	}
	results := make([]error, len(keys))
	must(t, k.Delete(keys, results))
	for i := range results {
		if (results[i] == nil) != (want[i] == nil) {
			t.Fatalf("delete %d: got %v", i, results[i])
		}
	}
	must(t, k.Dump(conntrack.Filter{}, func(ev *conntrack.Event) { t.Errorf("left: %+v", ev.Rec) }))
}

// TestKernelErrorsArePlain: an errno without a name of ours comes as it is.
func TestKernelErrorsArePlain(t *testing.T) {
	k := newNode(t).kernel(t)
	k.SetForm(func(b []byte, seq uint32, r *session.Record, o *conntrack.InstallOptions) []byte {
		return append(b, conntrack.Without(conntrack.AppendCreate(nil, seq, r, o), conntrack.AttrTimeout)...)
	})
	wantResult(t, install(t, k, conntrack.InstallOptions{}, snatFlow()), unix.EINVAL)
}
