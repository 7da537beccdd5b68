package record

import (
	"bytes"
	"encoding"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"time"
)

// Decode reads into *p, a fresh value of the type that was encoded. Fields that the type
// does not have are collected in Unknown, those that the recording does not have are zero.
func (c *Codec) Decode(b []byte, p any) error {
	v := reflect.ValueOf(p)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return errors.New("record: decode: a pointer, please")
	}
	d := decoder{c: c, named: make(map[int]reflect.Value)}
	return d.value(b, v.Elem())
}

type decoder struct {
	c     *Codec
	named map[int]reflect.Value
}

var null = []byte("null")

func (d *decoder) value(b []byte, v reflect.Value) error {
	if bytes.Equal(b, null) {
		v.SetZero()
		return nil
	}
	t := v.Type()
	switch {
	case t == timeType:
		n, err := strconv.ParseInt(string(b), 10, 64)
		v.Set(reflect.ValueOf(d.c.Base.Add(time.Duration(n))))
		return err
	case t == errorType:
		var e struct{ Error string }
		err := json.Unmarshal(b, &e)
		v.Set(reflect.ValueOf(errors.New(e.Error)))
		return err
	case textual(t):
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return fmt.Errorf("record: %v: %w", t, err)
		}
		return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s))
	}
	switch v.Kind() {
	case reflect.Pointer:
		return d.pointer(b, v)
	case reflect.Interface:
		return d.dynamic(b, v)
	case reflect.Struct:
		return d.structure(b, v)
	case reflect.Slice:
		return d.slice(b, v)
	case reflect.Array:
		return d.array(b, v)
	case reflect.Map:
		return d.mapping(b, v)
	case reflect.Func, reflect.Chan, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128:
		return fmt.Errorf("record: a %v cannot be replayed", t)
	}
	// Numbers, strings and booleans of a named type that has methods of its own, too.
	basic := reflect.New(basicType(t))
	if err := json.Unmarshal(b, basic.Interface()); err != nil {
		return fmt.Errorf("record: %v: %w", t, err)
	}
	v.Set(basic.Elem().Convert(t))
	return nil
}

// basicType is the type without its methods.
func basicType(t reflect.Type) reflect.Type {
	switch t.Kind() {
	case reflect.Bool:
		return reflect.TypeFor[bool]()
	case reflect.String:
		return reflect.TypeFor[string]()
	case reflect.Float32, reflect.Float64:
		return reflect.TypeFor[float64]()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return reflect.TypeFor[int64]()
	}
	return reflect.TypeFor[uint64]()
}

func (d *decoder) structure(b []byte, v reflect.Value) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return fmt.Errorf("record: %v: %w", v.Type(), err)
	}
	v.SetZero()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		raw, ok := fields[name]
		if !ok {
			continue
		}
		delete(fields, name)
		if err := d.value(raw, open(v.Field(i))); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for name := range fields {
		d.c.Unknown = append(d.c.Unknown, v.Type().String()+"."+name)
	}
	return nil
}

func (d *decoder) raws(b []byte) (list []json.RawMessage, err error) {
	err = json.Unmarshal(b, &list)
	return list, err
}

func (d *decoder) slice(b []byte, v reflect.Value) error {
	if v.Type().Elem().Kind() == reflect.Uint8 && !textual(v.Type().Elem()) {
		raw, err := fromHex(b)
		v.Set(reflect.ValueOf(raw).Convert(v.Type()))
		return err
	}
	list, err := d.raws(b)
	if err != nil {
		return fmt.Errorf("record: %v: %w", v.Type(), err)
	}
	v.Set(reflect.MakeSlice(v.Type(), len(list), len(list)))
	for i, raw := range list {
		if err := d.value(raw, v.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

func fromHex(b []byte) ([]byte, error) {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, err
	}
	return hex.DecodeString(s)
}

func (d *decoder) array(b []byte, v reflect.Value) error {
	v.SetZero()
	if v.Type().Elem().Kind() == reflect.Uint8 {
		raw, err := fromHex(b)
		reflect.Copy(v, reflect.ValueOf(raw))
		return err
	}
	var elements map[string]json.RawMessage
	if err := json.Unmarshal(b, &elements); err != nil {
		return fmt.Errorf("record: %v: %w", v.Type(), err)
	}
	for key, raw := range elements {
		i, err := strconv.Atoi(key)
		if err != nil || i < 0 || i >= v.Len() {
			d.c.Unknown = append(d.c.Unknown, v.Type().String()+"["+key+"]")
			continue
		}
		if err := d.value(raw, v.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) mapping(b []byte, v reflect.Value) error {
	pairs, err := d.raws(b)
	if err != nil {
		return fmt.Errorf("record: %v: %w", v.Type(), err)
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(pairs)))
	for _, p := range pairs {
		kv, err := d.raws(p)
		if err != nil || len(kv) != 2 {
			return fmt.Errorf("record: %v: a pair, please", v.Type())
		}
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		if err := errors.Join(d.value(kv[0], key), d.value(kv[1], value)); err != nil {
			return err
		}
		v.SetMapIndex(key, value)
	}
	return nil
}

func (d *decoder) pointer(b []byte, v reflect.Value) error {
	var shared struct {
		Number    int             `json:"#"`
		Value     json.RawMessage `json:"v"`
		Reference int             `json:"@"`
	}
	if json.Unmarshal(b, &shared) == nil {
		switch {
		case shared.Reference > 0:
			p, ok := d.named[shared.Reference]
			if !ok || p.Type() != v.Type() {
				return fmt.Errorf("record: %v: nobody is number %d", v.Type(), shared.Reference)
			}
			v.Set(p)
			return nil
		case shared.Number > 0:
			p := reflect.New(v.Type().Elem())
			d.named[shared.Number] = p // before its inside, which may lead back to it
			v.Set(p)
			return d.value(shared.Value, p.Elem())
		}
	}
	p := reflect.New(v.Type().Elem())
	v.Set(p)
	return d.value(b, p.Elem())
}

func (d *decoder) dynamic(b []byte, v reflect.Value) error {
	var named map[string]json.RawMessage
	if err := json.Unmarshal(b, &named); err != nil || len(named) != 1 {
		return fmt.Errorf("record: %v: one type and its value, please", v.Type())
	}
	for name, raw := range named {
		t, ok := d.c.Types[name]
		if !ok || !t.Implements(v.Type()) {
			return fmt.Errorf("record: no %v is called %s", v.Type(), name)
		}
		value := reflect.New(t)
		if err := d.value(raw, value.Elem()); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		v.Set(value.Elem())
	}
	return nil
}
