package keepalived

import (
	"strconv"
	"strings"
)

// maxSequence bounds one sequence; they can be nested.
const maxSequence = 1 << 17

// sequence reads "~SEQ(var, start, step, end)rest", "~SEQx(…)rest" or
// "~LST(var, a, b)rest" and returns the rest once for each value. false: it is none
// of these, or is not well formed, which is said.
func (r *reader) sequence(text string, at Place) ([]queued, bool) {
	kind, after, ok := strings.Cut(text[1:], "(")
	if !ok || kind != "SEQ" && kind != "SEQx" && kind != "LST" {
		return nil, false
	}
	inner, rest, ok := parenthesised(after)
	if !ok {
		r.say(at, Fault, "~%s has no closing parenthesis", kind)
		return nil, false
	}
	rest = strings.TrimSpace(strings.TrimPrefix(rest, "~"))
	// What is in the parentheses may be variables itself.
	for range 100 {
		next, list, changed := r.replace(inner, at)
		if !changed || list != nil || len(next) > maxLine {
			break
		}
		inner = next
	}
	var sets []map[string]string
	if kind == "LST" {
		sets, ok = listOf(inner)
	} else {
		sets, ok = sequenceOf(inner, kind == "SEQx", min(maxSequence, r.world.lines()))
	}
	if !ok {
		r.say(at, Fault, "~%s(%s) is not understood", kind, inner)
		return []queued{}, true
	}
	var out []queued
	for _, s := range sets {
		out = append(out, queued{text: rest, at: at, set: s})
	}
	return out, true
}

// parenthesised splits behind the parenthesis that closes the one before text.
func parenthesised(text string) (inner, rest string, ok bool) {
	depth := 1
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return text[:i], text[i+1:], true
			}
		}
	}
	return "", "", false
}

func sequenceOf(inner string, hex bool, most int) ([]map[string]string, bool) {
	parts := split(inner)
	if len(parts) < 2 || len(parts) > 4 || !isName(parts[0]) {
		return nil, false
	}
	var n []int64
	for _, p := range parts[1:] {
		v, err := strconv.ParseInt(p, 0, 64)
		if err != nil {
			if v, err = strconv.ParseInt(p, 10, 64); err != nil { // 08
				return nil, false
			}
		}
		n = append(n, v)
	}
	end := n[len(n)-1]
	start, step := int64(1), int64(0)
	if end < 0 {
		start = -1
	}
	if len(n) > 1 {
		start = n[0]
	}
	if len(n) == 3 {
		step = n[1]
	} else if step = 1; end < start {
		step = -1
	}
	const far = int64(1) << 40
	if step == 0 || start > far || start < -far || end > far || end < -far || step > far || step < -far {
		return nil, false
	}
	if (end-start)/step < 0 {
		return nil, true
	}
	if (end-start)/step >= int64(most) {
		return nil, false
	}
	var out []map[string]string
	for v := start; step > 0 && v <= end || step < 0 && v >= end; v += step {
		text := strconv.FormatInt(v, 10)
		if hex {
			text = strconv.FormatInt(v, 16)
		}
		out = append(out, map[string]string{parts[0]: text})
	}
	return out, true
}

// listOf reads "var, a, b" or "{v, w}, {a, b}, {c, d}".
func listOf(inner string) ([]map[string]string, bool) {
	parts := split(inner)
	if len(parts) < 2 {
		return nil, false
	}
	names := group(parts[0])
	for _, n := range names {
		if !isName(n) {
			return nil, false
		}
	}
	var out []map[string]string
	for _, p := range parts[1:] {
		values := []string{p}
		if strings.HasPrefix(parts[0], "{") {
			values = group(p)
		}
		if len(values) != len(names) {
			return nil, false
		}
		set := map[string]string{}
		for i, n := range names {
			set[n] = values[i]
		}
		out = append(out, set)
	}
	return out, true
}

func group(s string) []string {
	s, ok := strings.CutPrefix(s, "{")
	if !ok {
		return []string{s}
	}
	return split(strings.TrimSuffix(s, "}"))
}

// split splits at commas that are in no braces.
func split(s string) (out []string) {
	depth, from := 0, 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '{':
			depth++
		case '}':
			depth--
		case ',':
			if depth <= 0 {
				out = append(out, strings.TrimSpace(s[from:i]))
				from = i + 1
			}
		}
	}
	return append(out, strings.TrimSpace(s[from:]))
}

func isName(s string) bool {
	for i := range len(s) {
		if !nameByte(s[i], i == 0) {
			return false
		}
	}
	return s != ""
}
