package vrrp

import "fmt"

// State is that of a virtual router or of a group of them. RFC 9568 knows the first three; Fault is ours: the
// router takes no part in the election because its link, a tracked interface or its kernel state is broken.
type State uint8

// The states.
const (
	Initialize State = iota
	Backup
	Active
	Fault
)

var stateNames = [...]string{"initialize", "backup", "active", "fault"}

// String is one lower-case word.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown"
}

// MarshalText makes a State its word in JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the word back.
func (s *State) UnmarshalText(text []byte) error {
	for i, name := range stateNames {
		if name == string(text) {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("vrrp: no state is called %q", text)
}
