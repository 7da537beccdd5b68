package vrrp

import "fmt"

// Kinds are words wherever they are written down: numbers change when a kind is added.

var inputNames = [...]string{InStart: "start", InTick: "tick", InAdvert: "advert", InRefused: "refused", InLink: "link",
	InEligible: "eligible", InFault: "fault", InWeight: "weight", InOverlap: "overlap", InHandOver: "hand-over",
	InReclaim: "reclaim", InTerm: "term", InResume: "resume", InVouch: "vouch", InStop: "stop"}

var opNames = [...]string{OpSend: "send", OpGateClose: "gate-close", OpFence: "fence", OpTransition: "transition", OpDrop: "drop"}

// String is the kind's word.
func (k InputKind) String() string { return nameOf(inputNames[:], int(k)) }

// String is the kind's word.
func (k OpKind) String() string { return nameOf(opNames[:], int(k)) }

// MarshalText makes the kind its word in JSON.
func (k InputKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// MarshalText makes the kind its word in JSON.
func (k OpKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the word back.
func (k *InputKind) UnmarshalText(text []byte) error {
	i, err := kindOf("input", inputNames[:], string(text))
	*k = InputKind(i)
	return err
}

// UnmarshalText reads the word back.
func (k *OpKind) UnmarshalText(text []byte) error {
	i, err := kindOf("op", opNames[:], string(text))
	*k = OpKind(i)
	return err
}

func nameOf(names []string, k int) string {
	if k < len(names) {
		return names[k]
	}
	return "unknown"
}

func kindOf(what string, names []string, text string) (int, error) {
	for i, name := range names {
		if name == text {
			return i, nil
		}
	}
	return 0, fmt.Errorf("vrrp: no %s is called %q", what, text)
}
