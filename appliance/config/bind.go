package config

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"
)

// bind fills the struct dst from table, which is at path in the file. It does
// what toml.Decode would do, but goes on after a mismatch and knows the place
// of an array's element, so that everything wrong is reported at once, each in
// its place. What is refused stays nil in dst.
func (r *report) bind(path string, table map[string]any, dst reflect.Value) {
	known := map[string]bool{}
	for i := range dst.NumField() {
		tag := dst.Type().Field(i).Tag
		key := tag.Get("toml")
		known[key] = true
		v, ok := table[key]
		if !ok {
			continue
		}
		if tag.Get("one") != "" {
			r.setOneOrMore(join(path, key), v, dst.Field(i), tag.Get("like"))
			continue
		}
		r.set(join(path, key), v, dst.Field(i), tag.Get("like"))
	}
	for key := range table {
		if known[key] {
			continue
		}
		meant, fix := unknownKey(key, dst.Type())
		r.add(join(path, key), "unknown key", fix)
		if _, ok := table[meant]; meant != "" && !ok {
			r.seen[join(path, meant)] = true // misspelt, so not missing as well
		}
	}
}

// set stores v, a value as the TOML library decodes it, in dst.
func (r *report) set(path string, v any, dst reflect.Value, like string) {
	switch dst.Interface().(type) {
	case *string:
		if s, ok := v.(string); ok {
			dst.Set(reflect.ValueOf(&s))
			return
		}
		r.wrongType(path, v, "a string in quotes", like)
	case *int64:
		if n, ok := v.(int64); ok {
			dst.Set(reflect.ValueOf(&n))
			return
		}
		r.wrongType(path, v, "a whole number without quotes", like)
	case *bool:
		if b, ok := v.(bool); ok {
			dst.Set(reflect.ValueOf(&b))
			return
		}
		r.wrongType(path, v, "true or false without quotes", "")
	case []*string:
		elements, ok := v.([]any)
		if !ok {
			r.wrongType(path, v, "a list of strings", like)
			return
		}
		list := make([]*string, len(elements))
		for i, e := range elements {
			r.set(at(path, i), e, reflect.ValueOf(&list[i]).Elem(), "")
		}
		dst.Set(reflect.ValueOf(list))
	default:
		if dst.Kind() == reflect.Slice {
			r.setTables(path, v, dst)
			return
		}
		table, ok := v.(map[string]any)
		if !ok {
			if like == "" {
				like = "[" + path + "]"
			}
			r.wrongType(path, v, "a table", like)
			return
		}
		dst.Set(reflect.New(dst.Type().Elem()))
		r.bind(path, table, dst.Elem())
	}
}

// setOneOrMore stores a list of strings, which may be written as one string.
func (r *report) setOneOrMore(path string, v any, dst reflect.Value, like string) {
	switch v := v.(type) {
	case string:
		dst.Set(reflect.ValueOf([]*string{&v}))
	case []any:
		r.set(path, v, dst, like)
	default:
		r.wrongType(path, v, "a string in quotes, or a list of them", like)
	}
}

// setTables stores an array of tables, however it is written.
func (r *report) setTables(path string, v any, dst reflect.Value) {
	var elements []any
	switch v := v.(type) {
	case []any:
		elements = v
	case []map[string]any:
		for _, t := range v {
			elements = append(elements, t)
		}
	default:
		r.wrongType(path, v, "a list of tables", "[["+path+"]]")
		return
	}
	list := reflect.MakeSlice(dst.Type(), len(elements), len(elements))
	for i, e := range elements {
		table, ok := e.(map[string]any)
		if !ok {
			r.wrongType(at(path, i), e, "a table", "{ … }")
			continue
		}
		one := reflect.New(dst.Type().Elem().Elem())
		r.bind(at(path, i), table, one.Elem())
		list.Index(i).Set(one)
	}
	dst.Set(list)
}

func (r *report) wrongType(path string, v any, want, like string) {
	fix := "write " + want
	if like != "" {
		fix += ", like " + like
	}
	r.add(path, describe(v), fix)
}

// describe names a TOML value and its type.
func describe(v any) string {
	switch v := v.(type) {
	case string:
		return quote(v) + " is a string"
	case int64:
		return strconv.FormatInt(v, 10) + " is an integer"
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1e15 {
			return strconv.FormatFloat(v, 'f', 1, 64) + " is a float"
		}
		return strconv.FormatFloat(v, 'g', -1, 64) + " is a float"
	case bool:
		return strconv.FormatBool(v) + " is a boolean"
	case time.Time:
		return "this is a date"
	case map[string]any:
		return "this is a table"
	case []map[string]any:
		return "this is a list of tables"
	case []any:
		return "this is a list"
	}
	return fmt.Sprintf("this is a %T", v)
}

// quote returns s in quotes, cut to what a problem's line bears.
func quote(s string) string {
	if cut := []rune(s); len(cut) > 60 {
		return strconv.Quote(string(cut[:60]) + "…")
	}
	return strconv.Quote(s)
}
