package lacp

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"understudy/lacp/lacptest"
)

// vector is a frame with what is to be read from it.
type vector struct {
	lacptest.Vector
	pdu    *PDU
	marker *Marker
}

func vectors(t testing.TB) (all []vector) {
	t.Helper()
	for _, v := range lacptest.Vectors(t) {
		w := vector{Vector: v}
		for _, f := range v.Fields {
			if err := w.set(f.Word, f.Rest); err != nil {
				t.Fatalf("%s: %v", v.Name, err)
			}
		}
		all = append(all, w)
	}
	return all
}

func (v *vector) set(word, rest string) (err error) {
	info := func(i *Info) error {
		var mac string
		_, err := fmt.Sscan(rest, &i.SystemPriority, &mac, &i.Key, &i.PortPriority, &i.Port, &i.State)
		copy(i.System[:], unhex(mac))
		return err
	}
	switch word {
	case "version":
		v.pdu, v.marker = &PDU{}, &Marker{}
		_, err = fmt.Sscan(rest, &v.pdu.Version)
		v.marker.Version = v.pdu.Version
	case "actor":
		v.marker = nil
		err = info(&v.pdu.Actor)
	case "partner":
		err = info(&v.pdu.Partner)
	case "delay":
		_, err = fmt.Sscan(rest, &v.pdu.CollectorMaxDelay)
	case "extensions":
		v.pdu.Extensions, err = hex.DecodeString(rest)
	case "marker":
		var mac string
		v.pdu = nil
		_, err = fmt.Sscan(rest, &v.marker.Kind, &v.marker.Port, &mac, &v.marker.Transaction)
		copy(v.marker.System[:], unhex(mac))
	}
	return err
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, ":", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// read does what a receiver does with a frame.
func read(frame []byte) (p *PDU, m *Marker, r Reason) {
	body := frame[14:]
	kind, r := Classify(MAC(frame[:6]), binary.BigEndian.Uint16(frame[12:]), body)
	switch {
	case r != ReasonNone:
		return nil, nil, r
	case kind == SubtypeMarker:
		got, r := ParseMarker(body)
		return nil, &got, r
	}
	p = &PDU{}
	return p, nil, Parse(body, p)
}

func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			pdu, marker, r := read(v.Frame)
			if r.String() != v.Reason {
				t.Fatalf("reason %q, want %q", r, v.Reason)
			}
			if v.Reason != "" {
				return
			}
			if v.pdu != nil && len(v.pdu.Extensions) == 0 && len(pdu.Extensions) == 0 {
				pdu.Extensions = v.pdu.Extensions
			}
			if !reflect.DeepEqual(pdu, v.pdu) || !reflect.DeepEqual(marker, v.marker) {
				t.Errorf("read\n%+v %+v, want\n%+v %+v", pdu, marker, v.pdu, v.marker)
			}
		})
	}
}

// What the vectors hold is what Append makes, where nothing in them is ignored.
func TestAppendMakesTheVectors(t *testing.T) {
	ran := 0
	for _, v := range vectors(t) {
		if v.Reason != "" || strings.Contains(v.Name, "not_looked_at") || strings.HasPrefix(v.Name, "with_") ||
			strings.HasSuffix(v.Name, "without_room_for_its_header") || strings.HasSuffix(v.Name, "0x16") {
			continue
		}
		ran++
		got := AppendHeader(nil, MAC(v.Frame[6:12]))
		if v.pdu != nil {
			got = Append(got, v.pdu)
		} else {
			got = AppendMarker(got, *v.marker)
		}
		if !bytes.Equal(got, v.Frame) {
			t.Errorf("%s:\ngot  %x\nwant %x", v.Name, got, v.Frame)
		}
	}
	if ran < 12 {
		t.Errorf("only %d vectors were compared", ran)
	}
}

func TestAppendBelowVersion2HasNoExtensions(t *testing.T) {
	b := Append(nil, &PDU{Version: 1, Extensions: []byte{4, 2}})
	if len(b) != bodyLen || b[moreAt] != 0 || b[moreAt+1] != 0 {
		t.Errorf("%d octets, terminator %x", len(b), b[moreAt:moreAt+2])
	}
}

func TestMarkerAnswer(t *testing.T) {
	asked := Marker{Version: 3, Kind: MarkerInformation, Port: 7, System: MAC{1, 2, 3, 4, 5, 6}, Transaction: 99}
	want := Marker{Version: 1, Kind: MarkerResponse, Port: 7, System: MAC{1, 2, 3, 4, 5, 6}, Transaction: 99}
	if got := asked.Answer(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestStateString(t *testing.T) {
	for _, c := range []struct {
		state State
		want  string
	}{
		{0, "none"},
		{0x3f, "activity|timeout_short|aggregation|synchronization|collecting|distributing"},
		{0xc5, "activity|aggregation|defaulted|expired"},
	} {
		if got := c.state.String(); got != c.want {
			t.Errorf("%#02x: %q, want %q", uint8(c.state), got, c.want)
		}
	}
	if State(0x0f).Has(Synchronization | Collecting) {
		t.Error("Has is satisfied with some of the bits")
	}
}

func TestReasonWords(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Reasons() {
		if r.String() == "" || r.String() == "unknown" || seen[r.String()] {
			t.Errorf("reason %d has the word %q", r, r)
		}
		seen[r.String()] = true
	}
	if len(seen) != 8 || ReasonNone.String() != "" || numReasons.String() != "unknown" {
		t.Errorf("%d words", len(seen))
	}
}

// Whatever is appended reads the same.
func TestPropertyRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		info := rapid.Custom(func(t *rapid.T) Info {
			return Info{
				SystemPriority: rapid.Uint16().Draw(t, "system priority"),
				System:         MAC(rapid.SliceOfN(rapid.Byte(), 6, 6).Draw(t, "system")),
				Key:            rapid.Uint16().Draw(t, "key"),
				PortPriority:   rapid.Uint16().Draw(t, "port priority"),
				Port:           rapid.Uint16().Draw(t, "port"),
				State:          State(rapid.Byte().Draw(t, "state")),
			}
		})
		want := PDU{
			Version: rapid.Byte().Draw(t, "version"), Actor: info.Draw(t, "actor"), Partner: info.Draw(t, "partner"),
			CollectorMaxDelay: rapid.Uint16().Draw(t, "delay"), Extensions: []byte{},
		}
		if want.Version < 2 {
			want.Extensions = nil
		} else {
			for range rapid.IntRange(0, 5).Draw(t, "tlvs") {
				value := rapid.SliceOfN(rapid.Byte(), 0, 253).Draw(t, "value")
				want.Extensions = append(want.Extensions, rapid.ByteRange(1, 255).Draw(t, "type"), byte(len(value)+2))
				want.Extensions = append(want.Extensions, value...)
			}
		}
		b := Append(nil, &want)
		b = append(b, rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "trailer")...)
		var got PDU
		if r := Parse(b, &got); r != ReasonNone || !reflect.DeepEqual(got, want) {
			t.Fatalf("%v\ngot  %+v\nwant %+v", r, got, want)
		}
		m := Marker{want.Version, MarkerKind(want.Actor.State), want.Actor.Port, want.Actor.System, uint32(want.Actor.Key)<<16 + 1}
		if again, r := ParseMarker(AppendMarker(nil, m)); r != ReasonNone || again != m {
			t.Fatalf("%v: %+v, want %+v", r, again, m)
		}
	})
}

// Anything may arrive; what is accepted survives being written and read again.
func FuzzParse(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.Frame[14:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var p, again PDU
		if Parse(b, &p) == ReasonNone {
			if r := Parse(Append(nil, &p), &again); r != ReasonNone || !reflect.DeepEqual(p, again) {
				t.Errorf("%+v became %+v (%v)", p, again, r)
			}
		}
		if m, r := ParseMarker(b); r == ReasonNone {
			if again, r := ParseMarker(AppendMarker(nil, m)); r != ReasonNone || again != m {
				t.Errorf("%+v became %+v (%v)", m, again, r)
			}
		}
	})
}

func TestParseDoesNotAllocate(t *testing.T) {
	var p PDU
	buf := make([]byte, 0, 512)
	for _, v := range vectors(t) {
		if n := testing.AllocsPerRun(10, func() {
			Classify(MAC(v.Frame), EtherType, v.Frame[14:])
			Parse(v.Frame[14:], &p)
			buf = Append(buf[:0], &p)
		}); n != 0 {
			t.Errorf("%s: %v allocations", v.Name, n)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, v := range vectors(b) {
		if v.Name != "up_fast_insync" && v.Name != "version_2_with_its_tlvs" {
			continue
		}
		b.Run(v.Name, func(b *testing.B) {
			b.ReportAllocs()
			var p PDU
			for b.Loop() {
				if Parse(v.Frame[14:], &p) != ReasonNone {
					b.Fatal("refused")
				}
			}
		})
	}
}
