package decode

import (
	"bytes"
	"encoding/json"
)

// Protocol is what a frame was judged as.
type Protocol string

// The protocols. Other is everything else, about which nothing is said.
const (
	VRRP   Protocol = "vrrp"
	LACP   Protocol = "lacp" // and what a receiver of LACP has to turn away
	Marker Protocol = "marker"
	ARP    Protocol = "arp"
	NA     Protocol = "na" // IPv6 Neighbor Advertisement
	Other  Protocol = "other"
)

// Protocols lists those that have verdicts.
func Protocols() []Protocol { return []Protocol{VRRP, LACP, Marker, ARP, NA} }

// Result is what there is to say about one frame.
type Result struct {
	N        int // counted from 1
	Protocol Protocol
	Reason   string // one word of [Reasons]; empty: valid, or no verdict (Other)
	Detail   string // for a person: what is wrong, or worth knowing about a valid frame
	Summary  string // for a person: what the frame says; not part of the JSON form
	Fields   Fields // as far as the frame could be read
}

// Valid reports whether a receiver accepts the frame; ok is false if there is
// no verdict.
func (r Result) Valid() (valid, ok bool) {
	return r.Protocol != Other && r.Reason == "", r.Protocol != Other
}

// MarshalJSON gives the form that docs/decode.md describes. All keys are always
// there: reason is null for a valid frame, valid and reason for protocol other.
func (r Result) MarshalJSON() ([]byte, error) {
	out := struct {
		N        int      `json:"n"`
		Protocol Protocol `json:"protocol"`
		Valid    *bool    `json:"valid"`
		Reason   *string  `json:"reason"`
		Detail   string   `json:"detail"`
		Fields   Fields   `json:"fields"`
	}{N: r.N, Protocol: r.Protocol, Detail: r.Detail, Fields: r.Fields}
	if valid, ok := r.Valid(); ok {
		out.Valid = &valid
	}
	if r.Reason != "" {
		out.Reason = &r.Reason
	}
	return json.Marshal(out)
}

// note adds to what is said about the frame.
func (r *Result) note(s string) {
	if r.Detail != "" {
		r.Detail += "; "
	}
	r.Detail += s
}

// Field is one named value.
type Field struct {
	Name  string
	Value any // marshals to JSON
}

// Fields keep their order, which is that of the frame.
type Fields []Field

func (f *Fields) add(name string, value any) { *f = append(*f, Field{name, value}) }

// Get returns the value of a field, nil if there is none.
func (f Fields) Get(name string) any {
	for _, field := range f {
		if field.Name == name {
			return field.Value
		}
	}
	return nil
}

// MarshalJSON writes one object, in order.
func (f Fields) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, field := range f {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(field.Name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(field.Value)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
