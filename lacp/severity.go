package lacp

import "fmt"

// Severity says how much a finding matters.
type Severity uint8

// The severities.
const (
	SeverityInfo     Severity = iota // worth knowing; the bond is as good as without it
	SeverityWarning                  // the bond is less than it should be
	SeverityCritical                 // traffic is lost, or will be
)

var severityNames = [...]string{"info", "warning", "critical"}

// String is one lower-case word.
func (s Severity) String() string {
	if int(s) < len(severityNames) {
		return severityNames[s]
	}
	return "unknown"
}

// MarshalText makes a Severity its word in JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the word back.
func (s *Severity) UnmarshalText(text []byte) error {
	for i, name := range severityNames {
		if name == string(text) {
			*s = Severity(i)
			return nil
		}
	}
	return fmt.Errorf("lacp: no severity is called %q", text)
}

// BondState is how a bond is, all in all.
type BondState uint8

// The states.
const (
	BondUnknown  BondState = iota // not seen yet, not there, or still coming up
	BondOK                        // every member carries, and nothing is wrong
	BondDegraded                  // enough members carry, but something is wrong
	BondFailed                    // no carrier, or too few members carry
)

var bondStateNames = [...]string{"unknown", "ok", "degraded", "failed"}

// String is one lower-case word.
func (s BondState) String() string {
	if int(s) < len(bondStateNames) {
		return bondStateNames[s]
	}
	return "unknown"
}

// MarshalText makes a BondState its word in JSON.
func (s BondState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
