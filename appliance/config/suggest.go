package config

import (
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strings"
)

// unknownKey says what to do about a key that a table does not have: write the
// nearest one it has (then meant), move it to the table it belongs to, or see
// what there is.
func unknownKey(key string, in reflect.Type) (meant, fix string) {
	keys := keysOf(in)
	if near := nearest(key, keys); near != "" {
		return near, fmt.Sprintf("did you mean %s? Else remove it", near)
	}
	if ours, ok := keepalivedKeys[key]; ok && slices.Contains(keys, ours) {
		return ours, fmt.Sprintf("keepalived's %s is %s here", key, ours)
	}
	if home := homeOf(key); home != "" {
		return "", fmt.Sprintf("it is a key of %s: move it there", home)
	}
	return "", "remove it; known here: " + strings.Join(keys, ", ")
}

// keepalivedKeys are the words that people bring along.
var keepalivedKeys = map[string]string{
	"virtual_router_id": "vrid",
	"advert_int":        "advertise",
	"virtual_ipaddress": "addresses",
	"track_interface":   "track",
	"track_script":      "track",
	"vrrp_version":      "version",
	"unicast_peer":      "unicast",
	"router_id":         "node",
	"use_vmac":          "mac",
	"vrrp_instance":     "router",
	"vrrp_sync_group":   "group",
}

// keysOf returns the keys of a raw struct in its order.
func keysOf(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		keys = append(keys, t.Field(i).Tag.Get("toml"))
	}
	return keys
}

// homeOf returns the header of the first table, by name, that knows key.
func homeOf(key string) string {
	var found []string
	walkKeys(reflect.TypeFor[rawFile](), "", func(k rawKey) {
		if strings.HasSuffix(k.path, "."+key) {
			found = append(found, k.table)
		}
	})
	sort.Strings(found)
	if len(found) == 0 {
		return ""
	}
	return found[0]
}

// rawKey is one key of the grammar.
type rawKey struct {
	path  string // router.vrid
	table string // how the table around it is written: [[router]], [nat], nat.source
	leaf  bool   // not a table
}

// walkKeys calls fn for each key of the grammar, in order.
func walkKeys(t reflect.Type, path string, fn func(rawKey)) {
	walkTable(t, path, "the top of the file", fn)
}

func walkTable(t reflect.Type, path, table string, fn func(rawKey)) {
	for i := range t.NumField() {
		f := t.Field(i)
		k := rawKey{path: f.Tag.Get("toml"), table: table, leaf: true}
		if path != "" {
			k.path = path + "." + k.path
		}
		inner := f.Type
		header := "[" + k.path + "]"
		if inner.Kind() == reflect.Slice {
			inner = inner.Elem()
			header = "[[" + k.path + "]]"
		}
		if inner.Kind() == reflect.Pointer && inner.Elem().Kind() == reflect.Struct {
			k.leaf = false
			fn(k)
			walkTable(inner.Elem(), k.path, header, fn)
			continue
		}
		fn(k)
	}
}

// nearest returns the candidate that s is most likely a slip of, or the start
// of; nothing if none is near enough. Case does not count.
func nearest(s string, candidates []string) string {
	best, at := "", 1+min(2, len(s)/3)
	for _, c := range candidates {
		if d := distance(strings.ToLower(s), strings.ToLower(c)); d < at {
			best, at = c, d
		}
	}
	for _, c := range candidates {
		if best == "" && len(s) >= 3 && strings.HasPrefix(c, strings.ToLower(s)) {
			best = c
		}
	}
	return best
}

// distance is the number of letters to insert, remove, change or swap with
// their neighbour to make b of a (optimal string alignment). Long strings are
// never near anything we know.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return max(len(a), len(b))
	}
	var before, last, row [65]int
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
