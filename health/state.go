package health

// State is what is known of something.
type State uint8

// The states. The zero value is Unknown.
const (
	Unknown State = iota // nothing heard yet
	Up
	Down
)

var stateNames = [...]string{"unknown", "up", "down"}

// String is the state as it stands in logs, metrics and status.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "invalid"
}

// MarshalText is String.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
