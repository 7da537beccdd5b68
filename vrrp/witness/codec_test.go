package witness

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"understudy/vrrp"
)

var rewrite = flag.Bool("rewrite", false, "write the golden heartbeat anew")

// sample is a heartbeat with everything in it.
func sample() *Beat {
	h := &Beat{From: []byte("a"), To: []byte("b"), Incarnation: 0x1122334455667788, Sequence: 7, EchoOf: 9, Echo: 6,
		Interval: 100 * time.Millisecond, Neighbour: NeighbourUp}
	h.Groups = []Group{
		{Name: []byte("gw"), State: vrrp.Active, Leaving: true, Term: 5, first: 0, count: 2},
		{Name: []byte("dmz"), State: vrrp.Fault, Term: 1 << 60, first: 2, count: 1},
	}
	h.routers = []Router{
		{ID: 0xa1a2a3a4a5a6a7a8, VRID: 51, Version: 3, Hears: true, Priority: 200, Form: vrrp.FormPseudo, Interval: 100 * time.Millisecond,
			Source: netip.MustParseAddr("10.0.0.2"), Interface: []byte("lan0")},
		{ID: 2, VRID: 52, Version: 3, Priority: 255, Form: vrrp.FormPseudo, Refuses: vrrp.ReasonAuth, Interval: 40950 * time.Millisecond,
			Source: netip.MustParseAddr("fe80::2"), Interface: []byte("interface15char")},
		{ID: 3, VRID: 1, Version: 2, Priority: 1, Interval: 255 * time.Second, Interface: []byte{}},
	}
	return h
}

// plain is what a Beat says, to be compared.
type plain struct {
	From, To                            string
	Incarnation, Sequence, EchoOf, Echo uint64
	Interval                            time.Duration
	Neighbour                           Neighbour
	Groups                              []plainGroup
}

type plainGroup struct {
	Name    string
	State   vrrp.State
	Leaving bool
	Term    uint64
	Routers []Router
}

func (h *Beat) plain() plain {
	p := plain{string(h.From), string(h.To), h.Incarnation, h.Sequence, h.EchoOf, h.Echo, h.Interval, h.Neighbour, nil}
	for i := range h.Groups {
		g := &h.Groups[i]
		p.Groups = append(p.Groups, plainGroup{string(g.Name), g.State, g.Leaving, g.Term, slices.Clone(h.Routers(g))})
	}
	return p
}

func parse(h *Beat, b []byte) Reason {
	if r := h.ParseHeader(b); r != ReasonNone {
		return r
	}
	return h.ParseRecords()
}

var equalAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func TestBeatComesBack(t *testing.T) {
	key := testKey(t, 0, "a")
	for _, n := range []Neighbour{NeighbourUnknown, NeighbourDown, NeighbourUp} {
		want := sample()
		want.Neighbour = n
		b := Append([]byte("before"), want, key)[len("before"):]
		var got Beat
		if r := parse(&got, b); r != ReasonNone {
			t.Fatal(r)
		}
		if d := cmp.Diff(want.plain(), got.plain(), equalAddr); d != "" {
			t.Errorf("-want +got\n%s", d)
		}
		if !got.Verify(key) || got.Verify(testKey(t, 1, "a")) || got.Verify(testKey(t, 0, "b")) {
			t.Error("the code of one key only has to fit")
		}
	}
}

// The wire format does not change by accident: two versions of the program run beside each other during an upgrade.
func TestBeatIsGolden(t *testing.T) {
	const file = "testdata/beat.hex"
	b := Append(nil, sample(), testKey(t, 0, "a"))
	text := "# A heartbeat of node a for node b, as codec_test.go makes it; the key is of node a and the secret\n" +
		"# 0123456789abcdef0123456789abcdef.\n" + strings.Join(chunks(hex.EncodeToString(b), 64), "\n") + "\n"
	if *rewrite {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s has\n%s\nand we make\n%s", file, want, text)
	}
}

func chunks(s string, n int) (out []string) {
	for len(s) > n {
		out, s = append(out, s[:n]), s[n:]
	}
	return append(out, s)
}

func TestRefusedBeats(t *testing.T) {
	key := testKey(t, 0, "a")
	good := Append(nil, sample(), key)
	edit := func(f func(b []byte) []byte) []byte { return f(slices.Clone(good)) }
	// record appends records to a heartbeat without any.
	record := func(records ...byte) []byte {
		h := sample()
		h.Groups = nil
		b := appendNames(appendHeader(nil, h), h.From, h.To)
		return seal(append(b, records...), 0, newCoder(key))
	}
	group := []byte{recordGroup | critical, 0, 12, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 'g', 'w'}
	for _, tt := range []struct {
		name string
		b    []byte
		want Reason
	}{
		{"nothing", nil, ReasonTruncated},
		{"shorter than any", good[:minSize-1], ReasonTruncated},
		{"cut", good[:len(good)-1], ReasonTruncated},
		{"says that it is longer", edit(func(b []byte) []byte { b[5]++; return b }), ReasonTruncated},
		{"says that it is shorter than any", edit(func(b []byte) []byte { b[4], b[5] = 0, minSize-1; return b }), ReasonTruncated},
		{"longer than it says", append(slices.Clone(good), 0), ReasonLength},
		{"another magic", edit(func(b []byte) []byte { b[0] = 'x'; return b }), ReasonVersion},
		{"another version", edit(func(b []byte) []byte { b[3]++; return b }), ReasonVersion},
		{"no incarnation", edit(func(b []byte) []byte { clear(b[8:16]); return b }), ReasonFormat},
		{"no interval", edit(func(b []byte) []byte { clear(b[40:44]); return b }), ReasonFormat},
		{"a sender without a name", edit(func(b []byte) []byte { b[44] = 0; return b }), ReasonFormat},
		{"a name that is too long", edit(func(b []byte) []byte { b[44] = 64; return b }), ReasonFormat},
		{"a name that goes beyond", edit(func(b []byte) []byte { b[46] = 63; b[4], b[5] = 0, byte(minSize+10); return b[:minSize+10] }), ReasonFormat},
		{"no records", record(), ReasonNone},
		{"a group", record(group...), ReasonNone},
		{"half a record's head", record(9, 0), ReasonFormat},
		{"a record that goes beyond", record(9, 0, 1), ReasonFormat},
		{"an unknown record", record(9, 0, 1, 0), ReasonNone},
		{"an unknown record that matters", record(9|critical, 0, 1, 0), ReasonCritical},
		{"a group without a name", record(recordGroup, 0, 10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1), ReasonFormat},
		{"a group of no state", record(recordGroup, 0, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 1, 'g'), ReasonFormat},
		{"a group with too long a name", record(append([]byte{recordGroup, 0, 74, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1}, bytes.Repeat([]byte("g"), 64)...)...), ReasonFormat},
		{"a router of no group", record(append([]byte{recordRoute, 0, 20}, make([]byte, 20)...)...), ReasonFormat},
		{"a short router", record(append(slices.Clone(group), append([]byte{recordRoute, 0, 19}, make([]byte, 19)...)...)...), ReasonFormat},
		{"a router with too long an interface", record(append(slices.Clone(group), append([]byte{recordRoute, 0, 36}, make([]byte, 36)...)...)...), ReasonFormat},
	} {
		var h Beat
		if got := parse(&h, tt.b); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// Every bit counts: one that is turned over makes the code wrong, or the heartbeat unreadable.
func TestEveryBitIsCovered(t *testing.T) {
	key := testKey(t, 0, "a")
	good := Append(nil, sample(), key)
	for bit := range len(good) * 8 {
		b := slices.Clone(good)
		b[bit/8] ^= 1 << (bit % 8)
		var h Beat
		if h.ParseHeader(b) == ReasonNone && h.Verify(key) {
			t.Errorf("bit %d turned over, and nobody notices", bit)
		}
	}
}

func TestRouterIDIsTheSameOnAllNodes(t *testing.T) {
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.7")
	id := RouterID(4, 51, []netip.Addr{a, b})
	if id != RouterID(4, 51, []netip.Addr{b, a}) || id != RouterID(4, 51, []netip.Addr{a}) {
		t.Error("the order of addresses, or those beyond the lowest, make it another router")
	}
	for _, other := range []uint64{RouterID(6, 51, []netip.Addr{a}), RouterID(4, 52, []netip.Addr{a}), RouterID(4, 51, []netip.Addr{b}), RouterID(4, 51, nil)} {
		if id == other {
			t.Error("another router has the same identity")
		}
	}
}

func TestKeysDifferAndDoNotShow(t *testing.T) {
	k := testKey(t, 0, "a")
	if k == testKey(t, 1, "a") || k == testKey(t, 0, "b") || k == (Key{}) {
		t.Error("a key is that of another")
	}
	if k.String() != "(key)" || strings.Contains(k.GoString(), hex.EncodeToString(k[:4])) {
		t.Error("a key shows")
	}
}

func TestReasonsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range append(Reasons(), ReasonNone) {
		if n := r.String(); n == "" || n == "unknown" || seen[n] {
			t.Errorf("reason %d is called %q", r, n)
		}
		seen[r.String()] = true
	}
}

// FuzzBeat: nothing that comes in makes the parser fail, and what it accepts says the same when written again.
func FuzzBeat(f *testing.F) {
	key, err := NewKey(testSecret[0], "a")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(Append(nil, sample(), key))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		// Lengths and code are made right, or nothing would come far.
		if len(b) >= minSize {
			binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
			copy(b[len(b)-codeSize:], newCoder(key).of(b[:len(b)-codeSize]))
		}
		var one, two Beat
		if parse(&one, b) != ReasonNone {
			return
		}
		again := Append(nil, &one, key)
		if r := parse(&two, again); r != ReasonNone || !two.Verify(key) {
			t.Fatalf("%v: %x", r, again)
		}
		if d := cmp.Diff(one.plain(), two.plain(), equalAddr); d != "" {
			t.Error(d)
		}
	})
}
