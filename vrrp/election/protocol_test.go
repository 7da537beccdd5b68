package election

import (
	"reflect"
	"strings"
	"testing"
)

// TestProtocolSeesEveryField: what crosses the link cannot change without a change
// of the protocol's name.
func TestProtocolSeesEveryField(t *testing.T) {
	describeOf := func(typ reflect.Type) string {
		var b strings.Builder
		describe(&b, typ, nil)
		return b.String()
	}
	all := map[string]string{}
	for _, typ := range []reflect.Type{
		reflect.TypeFor[struct{ A int }](), reflect.TypeFor[struct{ B int }](), reflect.TypeFor[struct{ A int64 }](),
		reflect.TypeFor[struct {
			A int `json:"a"`
		}](), reflect.TypeFor[struct{ A, B int }](), reflect.TypeFor[struct{ A []struct{ B [2]int } }](),
		reflect.TypeFor[struct{ A []struct{ B [3]int } }](), reflect.TypeFor[struct{ A map[string]struct{ B *uint8 } }](),
		reflect.TypeFor[struct {
			A map[string]struct{ B *uint16 }
		}](),
	} {
		d := describeOf(typ)
		if other, twice := all[d]; twice {
			t.Errorf("%s looks like %s", typ, other)
		}
		all[d] = typ.String()
	}
	// Through the packages whose values the messages carry.
	for _, name := range []string{"Preempt", "AddressMismatch"} {
		if !strings.Contains(describeOf(reflect.TypeFor[Configure]())+describeOf(reflect.TypeFor[Stats]()), name) {
			t.Errorf("%s of package vrrp is not in it", name)
		}
	}
	// Every message has a kind up to the last.
	if _, err := Unmarshal([]byte{byte(lastKind), '{', '}'}); err != nil {
		t.Errorf("the last kind: %v", err)
	}
	if m, err := Unmarshal([]byte{byte(lastKind + 1), '{', '}'}); err == nil {
		t.Errorf("%T comes after the last kind", m)
	}
	if len(Protocol()) != 16 {
		t.Errorf("protocol %q", Protocol())
	}
}
