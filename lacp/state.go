package lacp

import "strings"

// State is how a port stands, as its owner tells it (802.1AX-2008, 5.4.2.2 m).
type State uint8

// The bits of State.
const (
	Activity        State = 1 << iota // active LACP; passive if clear
	Timeout                           // wants PDUs each second (short); each 30 s if clear
	Aggregation                       // may be part of an aggregate; individual if clear
	Synchronization                   // in the right aggregate
	Collecting                        // takes frames from the link
	Distributing                      // puts frames on the link
	Defaulted                         // has not heard its partner, goes by configuration
	Expired                           // has not heard its partner in time
)

// Bit is one bit of State with its name.
type Bit struct {
	State State
	Name  string
}

// Bits lists the bits from the lowest on, under the names that `understudy
// decode` prints.
func Bits() []Bit {
	return []Bit{
		{Activity, "activity"}, {Timeout, "timeout_short"}, {Aggregation, "aggregation"},
		{Synchronization, "synchronization"}, {Collecting, "collecting"}, {Distributing, "distributing"},
		{Defaulted, "defaulted"}, {Expired, "expired"},
	}
}

// Has reports whether all of the bits are set.
func (s State) Has(bits State) bool { return s&bits == bits }

// String names the bits that are set, as "activity|aggregation"; "none" for 0.
func (s State) String() string {
	var set []string
	for _, b := range Bits() {
		if s.Has(b.State) {
			set = append(set, b.Name)
		}
	}
	if len(set) == 0 {
		return "none"
	}
	return strings.Join(set, "|")
}
