package keepalived

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Document is a configuration in Understudy's language: its tables in the order of
// a file, each key with the place in keepalived.conf that it comes of.
type Document struct {
	*Table
	Head []string // comments before everything

	Names  Names
	Called map[string]string // what things are called here, by "vrrp_instance NAME" and the like
}

// Table is a table of TOML.
type Table struct {
	Origin Origin
	keys   []string
	values map[string]any // string, int64, bool, []Item, *Table, []*Table
	from   map[string]Origin
}

// Item is an element of a list of strings.
type Item struct {
	Text string
	From Origin
}

// Origin is where something comes of.
type Origin struct {
	Place
	Word string // the keyword, or the block and its name
}

func (o Origin) String() string {
	if o.Line == 0 {
		return o.Word
	}
	return o.Near() + " " + o.Word
}

func newTable(o Origin) *Table {
	return &Table{Origin: o, values: map[string]any{}, from: map[string]Origin{}}
}

// set puts a value of one of the kinds above.
func (t *Table) set(key string, v any, o Origin) {
	if _, ok := t.values[key]; !ok {
		t.keys = append(t.keys, key)
	}
	switch n := v.(type) {
	case int:
		v = int64(n)
	case uint8:
		v = int64(n)
	case string:
		v = utf8(n)
	}
	t.values[key], t.from[key] = v, o
}

// add appends to a list of strings.
func (t *Table) add(key, text string, o Origin) {
	list, _ := t.values[key].([]Item)
	first := o
	if len(list) > 0 {
		first = list[0].From
	}
	t.set(key, append(list, Item{utf8(text), o}), first)
}

// utf8 is what can be in TOML.
func utf8(s string) string { return strings.ToValidUTF8(s, "\ufffd") }

// table appends a table to a list of tables.
func (t *Table) table(key string, o Origin) *Table {
	list, _ := t.values[key].([]*Table)
	one := newTable(o)
	t.set(key, append(list, one), o)
	return one
}

// Tree is the document as a TOML library would decode it.
func (t *Table) Tree() map[string]any {
	out := map[string]any{}
	for key, v := range t.values {
		switch v := v.(type) {
		case *Table:
			out[key] = v.Tree()
		case []*Table:
			list := make([]any, len(v))
			for i, one := range v {
				list[i] = one.Tree()
			}
			out[key] = list
		case []Item:
			list := make([]any, len(v))
			for i, one := range v {
				list[i] = one.Text
			}
			out[key] = list
		default:
			out[key] = v
		}
	}
	return out
}

// Walk calls fn for each key, table and element, in order, with its path: router[0].vrid.
func (t *Table) Walk(fn func(path string, o Origin)) { t.walk("", fn) }

func (t *Table) walk(path string, fn func(string, Origin)) {
	for _, key := range t.keys {
		p := key
		if path != "" {
			p = path + "." + key
		}
		fn(p, t.from[key])
		switch v := t.values[key].(type) {
		case *Table:
			v.walk(p, fn)
		case []*Table:
			for i, one := range v {
				fn(index(p, i), one.Origin)
				one.walk(index(p, i), fn)
			}
		case []Item:
			for i, one := range v {
				fn(index(p, i), one.From)
			}
		}
	}
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// Has tells whether the document has a key at its top.
func (t *Table) Has(key string) bool { return t.values[key] != nil }

// Remove takes what a path names out of the document, and a list with its last
// element; false: there is nothing at that path.
func (t *Table) Remove(path string) bool {
	head, rest, nested := strings.Cut(path, ".")
	key, pos, indexed := cutIndex(head)
	v, ok := t.values[key]
	if !ok {
		return false
	}
	if !indexed {
		if !nested {
			t.drop(key)
			return true
		}
		inner, ok := v.(*Table)
		return ok && inner.Remove(rest)
	}
	switch list := v.(type) {
	case []*Table:
		if pos < len(list) && nested {
			return list[pos].Remove(rest)
		}
		return !nested && without(t, key, list, pos)
	case []Item:
		return !nested && without(t, key, list, pos)
	}
	return false
}

// without takes an element out of a list of a table.
func without[T any](t *Table, key string, list []T, pos int) bool {
	if pos >= len(list) {
		return false
	}
	if list = slices.Delete(slices.Clone(list), pos, pos+1); len(list) > 0 {
		t.values[key] = list
	} else {
		t.drop(key)
	}
	return true
}

func (t *Table) drop(key string) {
	delete(t.values, key)
	delete(t.from, key)
	for i, k := range t.keys {
		if k == key {
			t.keys = append(t.keys[:i:i], t.keys[i+1:]...)
			return
		}
	}
}

func cutIndex(s string) (key string, pos int, ok bool) {
	i := strings.IndexByte(s, '[')
	if i < 0 {
		return s, 0, false
	}
	n, err := strconv.Atoi(strings.TrimSuffix(s[i+1:], "]"))
	if err != nil {
		return s, 0, false
	}
	return s[:i], n, true
}

// TOML is the document as a file, with a comment where what comes of.
func (d *Document) TOML() string {
	var b strings.Builder
	for _, l := range d.Head {
		fmt.Fprintf(&b, "# %s\n", l)
	}
	if len(d.Head) > 0 {
		b.WriteByte('\n')
	}
	d.Table.keysOf(&b)
	for _, key := range d.keys {
		switch v := d.values[key].(type) {
		case []*Table:
			for _, one := range v {
				fmt.Fprintf(&b, "\n[[%s]]%s\n", key, comment(one.Origin))
				one.keysOf(&b)
			}
		case *Table:
			fmt.Fprintf(&b, "\n[%s]%s\n", key, comment(v.Origin))
			v.keysOf(&b)
			for _, k := range v.keys {
				if list, ok := v.values[k].([]*Table); ok && large[key+"."+k] {
					for _, one := range list {
						fmt.Fprintf(&b, "\n[[%s.%s]]%s\n", key, k, comment(one.Origin))
						one.keysOf(&b)
					}
				}
			}
		}
	}
	return b.String()
}

// large are tables in a table that have a header of their own.
var large = map[string]bool{"nat.entry": true}

// keysOf writes the keys of a table that has a header, or is the top of the file.
func (t *Table) keysOf(b *strings.Builder) {
	for _, key := range t.keys {
		switch v := t.values[key].(type) {
		case *Table:
			if t.Origin.Word != top {
				fmt.Fprintf(b, "%s = %s%s\n", key, v.inline(), comment(t.from[key]))
			}
		case []*Table:
			if t.Origin.Word == top || large["nat."+key] {
				continue
			}
			fmt.Fprintf(b, "%s = [\n", key)
			for _, one := range v {
				fmt.Fprintf(b, "  %s,%s\n", one.inline(), comment(one.Origin))
			}
			b.WriteString("]\n")
		case []Item:
			list(b, key, v)
		default:
			fmt.Fprintf(b, "%s = %s%s\n", key, inlineValue(v), comment(t.from[key]))
		}
	}
}

// top is the word of the table that is the whole file.
const top = "the top of the file"

// list writes a list of strings: in one line if they all come of one.
func list(b *strings.Builder, key string, items []Item) {
	if len(items) == 0 {
		fmt.Fprintf(b, "%s = []\n", key)
		return
	}
	same := true
	for _, i := range items {
		same = same && i.From == items[0].From
	}
	if same {
		fmt.Fprintf(b, "%s = %s%s\n", key, inlineValue(items), comment(items[0].From))
		return
	}
	fmt.Fprintf(b, "%s = [\n", key)
	for _, i := range items {
		fmt.Fprintf(b, "  %s,%s\n", quote(i.Text), comment(i.From))
	}
	b.WriteString("]\n")
}

func comment(o Origin) string {
	if o.Word == "" && o.Line == 0 {
		return ""
	}
	return "  # " + oneLine(o.String())
}

func (t *Table) inline() string {
	var parts []string
	for _, key := range t.keys {
		parts = append(parts, key+" = "+inlineValue(t.values[key]))
	}
	return "{ " + strings.Join(parts, ", ") + " }"
}

func inlineValue(v any) string {
	switch v := v.(type) {
	case string:
		return quote(v)
	case []Item:
		var parts []string
		for _, i := range v {
			parts = append(parts, quote(i.Text))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case *Table:
		return v.inline()
	case []*Table:
		var parts []string
		for _, t := range v {
			parts = append(parts, t.inline())
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return fmt.Sprint(v)
}

// quote writes a basic string of TOML.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range strings.ToValidUTF8(s, "\ufffd") {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, "\\u%04X", c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func oneLine(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(s, "\ufffd"))
}
