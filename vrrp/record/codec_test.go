package record

import (
	"bytes"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

type color uint8

type inner struct {
	name  string
	back  *outer
	other *inner
}

type thing interface{ is() }

type one struct{ N int }
type two struct{ Text string }

func (one) is() {}
func (two) is() {}

type outer struct {
	Kind    color
	secret  string
	Auth    [8]byte
	when    time.Time
	addr    netip.Addr
	list    []*inner
	first   *inner
	counts  [300]uint32
	links   map[string]inner
	places  map[one]int
	empty   []int
	none    []int
	blank   map[string]int
	things  []thing
	err     error
	big     uint64
	ratio   float64
	raw     []byte
	waiting time.Duration
	scratch any
}

var types = map[string]reflect.Type{"one": reflect.TypeFor[one](), "two": reflect.TypeFor[two]()}

func example(base time.Time) *outer {
	o := &outer{Kind: 3, secret: "s", Auth: [8]byte{'p', 'w'}, when: base.Add(time.Hour), addr: netip.MustParseAddr("fe80::1%lan0"),
		empty: []int{}, blank: map[string]int{}, things: []thing{one{7}, two{"é\n"}}, err: errors.New("no"), big: 1<<64 - 1, ratio: 0.1,
		raw: []byte{0, 255}, waiting: -time.Second, places: map[one]int{{2}: 4, {1}: 3}}
	a, b := &inner{name: "a", back: o}, &inner{name: "b", back: o}
	a.other, b.other = b, a
	o.list, o.first = []*inner{a, b, nil}, b
	o.counts[5], o.counts[299] = 1, 2
	o.links = map[string]inner{"x": {name: "x"}}
	return o
}

// Everything comes back: what is hidden in a package, cycles, and what meets again.
func TestCodecKeepsEverything(t *testing.T) {
	base := time.Now()
	c := Codec{Base: base, Types: types}
	o := example(base)
	b, err := c.Encode(o)
	if err != nil {
		t.Fatal(err)
	}
	later := Codec{Base: time.Unix(1000, 0), Types: types}
	var got outer
	if err := later.Decode(b, &got); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	if got.list[0].other != got.list[1] || got.first != got.list[1] || got.list[1].other != got.list[0] || got.list[2] != nil {
		t.Error("pointers that met do not meet")
	}
	if !got.when.Equal(later.Base.Add(time.Hour)) || got.empty == nil || got.none != nil || got.blank == nil || got.err.Error() != "no" {
		t.Errorf("%+v", got)
	}
	again, err := later.Encode(&got)
	if err != nil || !bytes.Equal(b, again) {
		t.Errorf("%v\n%s\nbecomes\n%s", err, b, again)
	}
	if len(later.Unknown) > 0 {
		t.Errorf("unknown: %v", later.Unknown)
	}
}

// Secrets do not come in, and equal ones stay equal, whatever they are kept in.
func TestCodecHides(t *testing.T) {
	type config struct{ Auth string }
	c := Codec{Hide: func(s string) string { return strings.Repeat("x", len(s)) }}
	a, err := c.Encode(&config{Auth: "pw"})
	if err != nil || string(a) != `{"Auth":"xx"}` {
		t.Errorf("%s %v", a, err)
	}
	b, err := c.Encode(&outer{Auth: [8]byte{'p', 'w'}})
	if err != nil || string(b) != `{"Auth":"7878000000000000"}` {
		t.Errorf("%s %v", b, err)
	}
}

func TestCodecRefuses(t *testing.T) {
	c := Codec{Types: types}
	for _, v := range []any{&outer{scratch: 5}, &struct{ f func() }{func() {}}, &struct{ c chan int }{make(chan int)}} {
		if b, err := c.Encode(v); err == nil {
			t.Errorf("%T became %s", v, b)
		}
	}
	var o outer
	for _, text := range []string{"", "{", `{"Kind":"red"}`, `{"things":[{"three":{}}]}`, `{"first":{"@":9}}`, `{"Auth":"zz"}`} {
		if err := c.Decode([]byte(text), &o); err == nil {
			t.Errorf("%q was read", text)
		}
	}
	c.Unknown = nil
	if err := c.Decode([]byte(`{"Kind":2,"Taste":1}`), &o); err != nil || o.Kind != 2 || len(c.Unknown) != 1 {
		t.Errorf("%v, %v, unknown %v", err, o.Kind, c.Unknown)
	}
}
