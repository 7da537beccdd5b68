package conntrack_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// FuzzParseMessage: no input makes the decoder panic, and what can be decoded and
// installed is the same flow again after AppendCreate.
func FuzzParseMessage(f *testing.F) {
	for _, dir := range []string{"messages", "requests"} {
		for _, g := range readGolden(f, dir) {
			f.Add(g.data)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var ev conntrack.Event
		if conntrack.ParseMessage(b, &ev) != nil || conntrack.Installable(&ev.Rec) != nil {
			return
		}
		checkRoundTrip(t, &ev.Rec)
	})
}

// TestEveryPrefixIsMalformed: a message that was cut off is never an entry, and
// neither is one whose lengths say more than there is.
func TestEveryPrefixIsMalformed(t *testing.T) {
	for _, g := range readGolden(t, "messages") {
		var ev conntrack.Event
		if conntrack.ParseMessage(g.data, &ev) != nil {
			continue
		}
		for n := range g.data {
			cut := append([]byte(nil), g.data[:n]...)
			if err := conntrack.ParseMessage(cut, &ev); err == nil {
				t.Fatalf("%s: decoded from %d of %d bytes", g.path, n, len(g.data))
			}
		}
		for i := 20; i < len(g.data); i++ {
			wrong := append([]byte(nil), g.data...)
			wrong[i] = 0xff
			_ = conntrack.ParseMessage(wrong, &ev) // must not panic
		}
	}
}

// TestUnknownAttributesAreSkipped at every level that newer kernels may add to.
func TestUnknownAttributesAreSkipped(t *testing.T) {
	r := snatFlow()
	msg := conntrack.AppendCreate(nil, 1, &r, &conntrack.InstallOptions{})
	var want, got conntrack.Event
	must(t, conntrack.ParseMessage(msg, &want))
	for _, typ := range []uint16{0, 28, 99, 0x3fff} {
		more := append(append([]byte(nil), msg...), 8, 0, byte(typ), byte(typ>>8), 1, 2, 3, 4)
		must(t, conntrack.ParseMessage(conntrack.WithFlags(conntrack.Without(more), conntrack.FlagCreate), &got))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("attribute %d (-without +with):\n%s", typ, diff)
		}
	}
}

func checkRoundTrip(t rapid.TB, r *session.Record) {
	msg := conntrack.AppendCreate(nil, 7, r, &conntrack.InstallOptions{})
	var ev conntrack.Event
	if err := conntrack.ParseMessage(msg, &ev); err != nil {
		t.Fatalf("own message: %v\n%x", err, msg)
	}
	if ev.Kind != conntrack.New {
		t.Errorf("kind: want new, got %v", ev.Kind)
	}
	want, got := *r, ev.Rec
	// What the message says otherwise on purpose: the reply tuple is not
	// translated, the kernel's own bits stay behind, timeouts have bounds.
	if got.ReplySrc != r.Dst || got.ReplyDst != r.Src {
		t.Errorf("reply tuple: not the inverse of %+v: %+v", r.Key, got)
	}
	if got.Status&session.StatusConfirmed == 0 || got.Status&^(session.StatusConfirmed|session.StatusSeenReply|session.StatusAssured|session.StatusFixedTimeout) != 0 {
		t.Errorf("status %#x", got.Status)
	}
	if got.Timeout == 0 {
		t.Error("timeout 0")
	}
	got.ReplySrc, got.ReplyDst, got.ReplySrcPort, got.ReplyDstPort = r.ReplySrc, r.ReplyDst, r.ReplySrcPort, r.ReplyDstPort
	got.Status, got.Timeout, got.ID = r.Status, r.Timeout, r.ID
	if r.Proto == tcp {
		want.TCP.FlagsOrig &= 0x07
		want.TCP.FlagsReply &= 0x07
		got.TCP.FlagsOrig &= 0x07
		got.TCP.FlagsReply &= 0x07
	} else {
		want.TCP = session.TCP{}
	}
	if r.Proto != sctp {
		want.SCTP = session.SCTP{}
	}
	switch r.Proto { // beyond these the kernel has addresses only
	case icmp, tcp, udp, 33, gre, icmp6, sctp, 136:
	default:
		want.SrcPort, want.DstPort, got.ReplySrcPort, got.ReplyDstPort = 0, 0, want.ReplySrcPort, want.ReplyDstPort
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("round trip (-want +got):\n%s", diff)
	}
}

// TestRoundTrip draws records of every kind.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := session.Record{
			Key: session.Key{
				SrcPort: rapid.Uint16().Draw(t, "source port"),
				DstPort: rapid.Uint16().Draw(t, "destination port"),
				Zone:    rapid.Uint16().Draw(t, "zone"),
				Proto:   rapid.SampledFrom([]uint8{icmp, tcp, udp, gre, ospf, sctp, icmp6, 33, 136}).Draw(t, "protocol"),
				Family:  rapid.SampledFrom([]uint8{4, 6}).Draw(t, "family"),
			},
			ReplySrcPort: rapid.Uint16().Draw(t, "reply source port"),
			ReplyDstPort: rapid.Uint16().Draw(t, "reply destination port"),
			Status:       session.Status(rapid.Uint32().Draw(t, "status")),
			Timeout:      rapid.Uint32().Draw(t, "timeout"),
			Mark:         rapid.Uint32().Draw(t, "mark"),
		}
		if r.Proto == icmp || r.Proto == icmp6 {
			types := map[uint8][]uint16{icmp: {0, 8, 13, 14, 15, 16, 17, 18}, icmp6: {128, 129, 139, 140}}[r.Proto]
			r.DstPort = rapid.SampledFrom(types).Draw(t, "icmp type")<<8 | r.DstPort&0xff
			r.Family = map[uint8]uint8{icmp: 4, icmp6: 6}[r.Proto]
		}
		for _, a := range []*session.Addr{&r.Src, &r.Dst, &r.ReplySrc, &r.ReplyDst} {
			n := map[uint8]int{4: 4, 6: 16}[r.Family]
			copy(a[:], rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "address"))
		}
		if r.Proto == tcp {
			r.TCP = session.TCP{
				State:      session.TCPState(rapid.Uint8Range(3, 8).Draw(t, "state")),
				WScaleOrig: rapid.Uint8().Draw(t, "scale"), WScaleReply: rapid.Uint8().Draw(t, "reply scale"),
				FlagsOrig: rapid.Uint8().Draw(t, "flags"), FlagsReply: rapid.Uint8().Draw(t, "reply flags"),
			}
			r.SeqAdj[1] = session.SeqAdj{
				CorrectionPos: rapid.Uint32().Draw(t, "position"),
				OffsetBefore:  rapid.Int32().Draw(t, "before"), OffsetAfter: rapid.Int32().Draw(t, "after"),
			}
		}
		if r.Proto == sctp {
			r.SCTP = session.SCTP{State: rapid.Uint8Min(1).Draw(t, "sctp state"), VTagOrig: rapid.Uint32().Draw(t, "tag"), VTagReply: rapid.Uint32().Draw(t, "reply tag")}
		}
		if err := conntrack.Installable(&r); err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		checkRoundTrip(t, &r)
	})
}

// TestUsualTuple: the short cut takes the tuples that the kernel sends, with the
// result of the long way, and nothing else. The long way is forced by an
// attribute that is not known.
func TestUsualTuple(t *testing.T) {
	taken := 0
	for _, k := range []session.Key{
		key(tcp, "10.1.2.3:4567", "198.51.100.80:443"),
		key(udp, "[fd00::2]:5000", "[2001:db8::1]:53"),
	} {
		tuple := conntrack.AppendTuple(nil, conntrack.AttrTupleOrig, &k)[4:]
		got := session.Key{Family: k.Family}
		if !conntrack.ParseUsualTuple(tuple, &got) {
			t.Errorf("not taken: %x", tuple)
			continue
		}
		taken++
		if got != k {
			t.Errorf("want %+v, got %+v", k, got)
		}
		for i := range tuple {
			var long, short session.Key
			long.Family, short.Family = k.Family, k.Family
			wrong := append([]byte(nil), tuple...)
			wrong[i] ^= 0x41
			if !conntrack.ParseUsualTuple(wrong, &short) {
				continue
			}
			if !conntrack.ParseTuple(append(wrong, 4, 0, 99, 0), &long) || long != short {
				t.Errorf("byte %d changed: short cut %+v, long way %+v", i, short, long)
			}
		}
	}
	if taken != 2 {
		t.Errorf("%d of 2 taken", taken)
	}
}
