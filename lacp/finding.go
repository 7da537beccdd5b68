package lacp

import (
	"fmt"
	"time"
)

// Finding is something that is wrong with a bond, with the reason to think so.
type Finding struct {
	Kind     Kind
	Severity Severity
	Member   string    // interface; empty: the bond as a whole
	Since    time.Time // when it began, which is before it was believed
	Evidence string    // what was seen
}

// Name is the finding's name, as "partner_expired".
func (f Finding) Name() string { return f.Kind.String() }

// Advice says what to do about it.
func (f Finding) Advice() string { return f.Kind.Advice() }

// Detail is whose it is, what was seen and what to do, for a person.
func (f Finding) Detail() string {
	who := ""
	if f.Member != "" {
		who = f.Member + ": "
	}
	return who + f.Evidence + "; " + f.Advice()
}

// Kind is what is wrong. "Partner" in a name is the far end, by what its PDUs say
// of it; a name without it is about our own end, or about both.
type Kind uint8

// The kinds, causes before what follows from them.
const (
	KindLinkDown Kind = iota
	KindLoopback
	KindPassiveBoth
	KindExpired
	KindDefaulted
	KindPartnerExpired
	KindPartnerDefaulted
	KindUnidirectional
	KindIndividual
	KindOtherSystem
	KindOtherKey
	KindSplit
	KindNotCollecting
	KindNotDistributing
	KindStandby
	KindActorChurn
	KindPartnerChurn
	KindTimeoutMismatch
	KindPartnerChanged
	KindSpeedMismatch
	KindFlapping
	KindFlood
	KindBelowMinLinks
	KindAtMinLinks
	KindBondDown
	numKinds

	numMemberKinds = KindBelowMinLinks // from here on they are of the bond
)

// String is the finding's name, as "partner_expired".
func (k Kind) String() string {
	if k < numKinds {
		return kinds[k].name
	}
	return "unknown"
}

// MarshalText makes a Kind its name in JSON.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the name back.
func (k *Kind) UnmarshalText(text []byte) error {
	for i := range kinds {
		if kinds[i].name == string(text) {
			*k = Kind(i)
			return nil
		}
	}
	return fmt.Errorf("lacp: no finding is called %q", text)
}

// Severity is that of every finding of the kind.
func (k Kind) Severity() Severity { return kinds[k].severity }

// Meaning says what it means.
func (k Kind) Meaning() string { return kinds[k].meaning }

// Advice says what to do about it.
func (k Kind) Advice() string { return kinds[k].advice }

// OfBond reports whether it is about the bond as a whole.
func (k Kind) OfBond() bool { return k >= numMemberKinds }

// Raised says when a finding of the kind is believed, for docs and people.
func (k Kind) Raised() string {
	s := "at once"
	if d := kinds[k].raise; d > 0 {
		s = "after " + d.String()
	}
	if d := kinds[k].settle; d > 0 {
		what := "link"
		if k.OfBond() {
			what = "bond that comes up"
		}
		s += fmt.Sprintf(", not in the first %v of a %s", d, what)
	}
	return s
}

// Cleared says when it is over.
func (k Kind) Cleared() string {
	if d := kinds[k].clear; d > 0 {
		return d.String() + " after it was seen last"
	}
	return "at once"
}

// Kinds lists them all.
func Kinds() []Kind {
	all := make([]Kind, numKinds)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}
