package lacp

import "time"

// Receive is a state of the Receive machine (802.1AX-2008, 5.4.12): what a port
// knows of its partner. INITIALIZE, which is left at once, is PortDisabled here.
type Receive uint8

// The states.
const (
	PortDisabled     Receive = iota // no carrier
	LACPDisabled                    // the port is not to speak LACP
	PartnerExpired                  // nothing was heard in time, or nothing yet: ShortTimeout more
	PartnerDefaulted                // nothing was heard: what is configured counts
	PartnerCurrent                  // the partner was heard in time
)

var receiveNames = [...]string{"port_disabled", "lacp_disabled", "expired", "defaulted", "current"}

// String is the state's name, as "current".
func (r Receive) String() string {
	if int(r) < len(receiveNames) {
		return receiveNames[r]
	}
	return "unknown"
}

// MarshalText makes a Receive its name in JSON.
func (r Receive) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// receiver is the Receive machine without what its states do to the variables
// of a port: an observer's and an actor's are alike so far.
type receiver struct {
	state Receive
	timer time.Time // current_while_timer; zero: not running
}

// enable starts it: the port has a carrier.
func (r *receiver) enable(now time.Time) {
	r.state, r.timer = PartnerExpired, now.Add(ShortTimeout)
}

// disable stops it.
func (r *receiver) disable(state Receive) { r.state, r.timer = state, time.Time{} }

// heard notes a PDU; own is the state of the port that got it.
func (r *receiver) heard(now time.Time, own State) {
	if r.state >= PartnerExpired {
		r.state, r.timer = PartnerCurrent, now.Add(timeoutOf(own))
	}
}

// tick makes the transition that is due, and reports whether there was one.
func (r *receiver) tick(now time.Time) bool {
	if r.timer.IsZero() || now.Before(r.timer) {
		return false
	}
	switch r.state {
	case PartnerCurrent:
		r.enable(now)
	case PartnerExpired:
		r.state, r.timer = PartnerDefaulted, time.Time{}
	}
	return true
}
