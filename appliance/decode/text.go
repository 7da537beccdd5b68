package decode

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Text is the result on one line, for a person:
//
//	3 vrrp INVALID ttl: 254: … (version 3, vrid 53, …)
//	4 vrrp valid: version 3, vrid 53, …
func (r Result) Text() string {
	valid, ok := r.Valid()
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s", r.N, r.Protocol)
	switch {
	case !ok:
		fmt.Fprintf(&b, ": %s", r.Detail)
	case valid:
		fmt.Fprintf(&b, " valid: %s", r.Summary)
		if r.Detail != "" {
			fmt.Fprintf(&b, "; %s", r.Detail)
		}
	default:
		fmt.Fprintf(&b, " INVALID %s: %s", r.Reason, r.Detail)
		if r.Summary != "" {
			fmt.Fprintf(&b, " (%s)", r.Summary)
		}
	}
	return b.String()
}

// Verbose is Text and the fields, one an indented line.
func (r Result) Verbose() string {
	var b strings.Builder
	b.WriteString(r.Text())
	r.Fields.write(&b, "    ")
	return b.String()
}

func (f Fields) write(b *strings.Builder, indent string) {
	for _, field := range f {
		fmt.Fprintf(b, "\n%s%s", indent, field.Name)
		if inner, ok := field.Value.(Fields); ok {
			inner.write(b, indent+"    ")
			continue
		}
		value, err := json.Marshal(field.Value)
		if err != nil {
			value = fmt.Append(nil, field.Value)
		}
		fmt.Fprintf(b, " %s", strings.Trim(string(value), `"`))
	}
}
