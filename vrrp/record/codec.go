package record

import (
	"encoding"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"
	"unsafe"
)

// Codec turns values into JSON and back, with all that is in them: fields that are not
// exported, too, because a machine's state is made of those, and pointers that meet
// again. Types say what is what, so a value is decoded into one of its own type.
type Codec struct {
	Base  time.Time               // from which times are counted
	Types map[string]reflect.Type // what an interface may hold, by name
	Hide  func(text string) string
	// Unknown collects fields of the recording that the types do not have.
	Unknown []string
}

// hidden is the name of fields whose value is a secret. Hide replaces it, equal ones by
// equal ones.
const hidden = "Auth"

var (
	timeType  = reflect.TypeFor[time.Time]()
	errorType = reflect.TypeFor[error]()
	textIn    = reflect.TypeFor[encoding.TextUnmarshaler]()
	textOut   = reflect.TypeFor[encoding.TextMarshaler]()
)

// textual types are one word, if they can say it and read it back.
func textual(t reflect.Type) bool {
	return t.Implements(textOut) && reflect.PointerTo(t).Implements(textIn)
}

// Encode writes *p. What p points to is only read.
func (c *Codec) Encode(p any) ([]byte, error) {
	v := reflect.ValueOf(p)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return nil, errors.New("record: encode: a pointer, please")
	}
	e := encoder{c: c, met: make(map[unsafe.Pointer]int)}
	e.count(v.Elem())
	e.value(v.Elem(), "")
	return e.b, e.err
}

// EncodeValue writes v as if it were held by an interface variable of its own type.
func (c *Codec) EncodeValue(v any) ([]byte, error) {
	p := reflect.New(reflect.TypeOf(v))
	p.Elem().Set(reflect.ValueOf(v))
	return c.Encode(p.Interface())
}

type encoder struct {
	c     *Codec
	b     []byte
	met   map[unsafe.Pointer]int // how often; after counting those met once are gone
	named map[unsafe.Pointer]int
	err   error
}

func (e *encoder) fail(format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf("record: "+format, args...)
	}
}

// open makes a field readable whatever its name begins with.
func open(v reflect.Value) reflect.Value {
	if v.CanInterface() || !v.CanAddr() {
		return v
	}
	return reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem()
}

// addressable is v, or a copy of it that has an address.
func addressable(v reflect.Value) reflect.Value {
	if v.CanAddr() {
		return v
	}
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	return p.Elem()
}

// count finds the pointers that are met more than once.
func (e *encoder) count(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return
		}
		p := v.UnsafePointer()
		if e.met[p]++; e.met[p] == 1 {
			e.count(v.Elem())
		}
	case reflect.Interface:
		if !v.IsNil() && v.Type() != errorType {
			e.count(addressable(v.Elem()))
		}
	case reflect.Struct:
		if v.Type() == timeType || textual(v.Type()) {
			return
		}
		for i := range v.NumField() {
			e.count(open(v.Field(i)))
		}
	case reflect.Slice, reflect.Array:
		if k := v.Type().Elem().Kind(); k >= reflect.Bool && k <= reflect.Float64 || k == reflect.String {
			return
		}
		for i := range v.Len() {
			e.count(addressable(v.Index(i)))
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			e.count(addressable(it.Value()))
		}
	}
}

func (e *encoder) raw(s string) { e.b = append(e.b, s...) }

func (e *encoder) text(s string) {
	b, err := json.Marshal(s)
	if err != nil {
		e.fail("%v", err)
	}
	e.b = append(e.b, b...)
}

func (e *encoder) value(v reflect.Value, field string) {
	t := v.Type()
	switch {
	case t == timeType:
		if at := v.Interface().(time.Time); at.IsZero() {
			e.raw("null")
		} else {
			e.b = strconv.AppendInt(e.b, int64(at.Sub(e.c.Base)), 10)
		}
		return
	case t == errorType:
		if v.IsNil() {
			e.raw("null")
			return
		}
		e.raw(`{"error":`)
		e.text(v.Interface().(error).Error())
		e.raw("}")
		return
	case textual(t):
		s, err := v.Interface().(encoding.TextMarshaler).MarshalText()
		if err != nil {
			e.fail("%v: %v", t, err)
		}
		e.text(string(s))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		e.b = strconv.AppendBool(e.b, v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		e.b = strconv.AppendInt(e.b, v.Int(), 10)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		e.b = strconv.AppendUint(e.b, v.Uint(), 10)
	case reflect.Float32, reflect.Float64:
		e.b = strconv.AppendFloat(e.b, v.Float(), 'g', -1, 64)
	case reflect.String:
		s := v.String()
		if field == hidden && s != "" && e.c.Hide != nil {
			s = e.c.Hide(s)
		}
		e.text(s)
	case reflect.Pointer:
		e.pointer(v)
	case reflect.Interface:
		e.dynamic(v)
	case reflect.Struct:
		e.raw("{")
		first := true
		for i := range v.NumField() {
			f := open(v.Field(i))
			if zero(f) {
				continue
			}
			if !first {
				e.raw(",")
			}
			first = false
			e.text(t.Field(i).Name)
			e.raw(":")
			e.value(f, t.Field(i).Name)
		}
		e.raw("}")
	case reflect.Slice:
		e.slice(v, field)
	case reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			b := make([]byte, v.Len())
			reflect.Copy(reflect.ValueOf(b), v)
			e.bytes(b, field)
			return
		}
		e.raw("{") // mostly zeros: what is not, by its index
		first := true
		for i := range v.Len() {
			if x := v.Index(i); !zero(x) {
				if !first {
					e.raw(",")
				}
				first = false
				e.text(strconv.Itoa(i))
				e.raw(":")
				e.value(x, "")
			}
		}
		e.raw("}")
	case reflect.Map:
		e.mapping(v)
	default:
		if !v.IsZero() {
			e.fail("a %v cannot be recorded", t)
		}
		e.raw("null")
	}
}

// zero values are left out: nil, but not what is empty.
func zero(v reflect.Value) bool {
	if v.Type() == timeType {
		return v.Interface().(time.Time).IsZero()
	}
	return v.IsZero()
}

func (e *encoder) bytes(b []byte, field string) {
	if field == hidden && e.c.Hide != nil {
		n := len(b)
		if s := string(trimmed(b)); s != "" {
			b = append(make([]byte, 0, n), e.c.Hide(s)...)
			b = append(b, make([]byte, n)...)[:n]
		}
	}
	e.text(hex.EncodeToString(b))
}

func trimmed(b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return b
}

func (e *encoder) slice(v reflect.Value, field string) {
	if v.IsNil() {
		e.raw("null")
		return
	}
	if v.Type().Elem().Kind() == reflect.Uint8 && !textual(v.Type().Elem()) {
		e.bytes(v.Bytes(), field)
		return
	}
	e.raw("[")
	for i := range v.Len() {
		if i > 0 {
			e.raw(",")
		}
		e.value(v.Index(i), "")
	}
	e.raw("]")
}

func (e *encoder) mapping(v reflect.Value) {
	if v.IsNil() {
		e.raw("null")
		return
	}
	type pair struct{ key, value []byte }
	var pairs []pair
	for it := v.MapRange(); it.Next(); {
		at := len(e.b)
		e.value(addressable(it.Key()), "")
		mid := len(e.b)
		e.value(addressable(it.Value()), "")
		pairs = append(pairs, pair{slices.Clone(e.b[at:mid]), slices.Clone(e.b[mid:])})
		e.b = e.b[:at]
	}
	slices.SortFunc(pairs, func(a, b pair) int { return slices.Compare(a.key, b.key) })
	e.raw("[")
	for i, p := range pairs {
		if i > 0 {
			e.raw(",")
		}
		e.raw("[")
		e.b = append(append(append(e.b, p.key...), ','), p.value...)
		e.raw("]")
	}
	e.raw("]")
}

// pointer writes what it points to; one that is met more than once gets a number.
func (e *encoder) pointer(v reflect.Value) {
	if v.IsNil() {
		e.raw("null")
		return
	}
	p := v.UnsafePointer()
	if e.met[p] < 2 {
		e.value(v.Elem(), "")
		return
	}
	if n, ok := e.named[p]; ok {
		e.raw(`{"@":` + strconv.Itoa(n) + "}")
		return
	}
	if e.named == nil {
		e.named = make(map[unsafe.Pointer]int)
	}
	n := len(e.named) + 1
	e.named[p] = n
	e.raw(`{"#":` + strconv.Itoa(n) + `,"v":`)
	e.value(v.Elem(), "")
	e.raw("}")
}

func (e *encoder) dynamic(v reflect.Value) {
	if v.IsNil() {
		e.raw("null")
		return
	}
	name := v.Elem().Type().Name()
	if e.c.Types[name] != v.Elem().Type() {
		e.fail("%v in an interface cannot be recorded", v.Elem().Type())
	}
	e.raw("{")
	e.text(name)
	e.raw(":")
	e.value(addressable(v.Elem()), "")
	e.raw("}")
}
