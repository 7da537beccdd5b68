package lacp

import "time"

// Churn is a state of a Churn Detection machine (802.1AX-2008, 5.4.17).
type Churn uint8

// The states.
const (
	ChurnMonitor Churn = iota // not in sync, for less than ChurnDetection; or the port is down
	NoChurn                   // in sync
	Churning                  // not in sync for ChurnDetection
)

var churnNames = [...]string{"monitoring", "none", "churned"}

// String is the word that the bonding driver has for it.
func (c Churn) String() string {
	if int(c) < len(churnNames) {
		return churnNames[c]
	}
	return "unknown"
}

// MarshalText makes a Churn its word in JSON.
func (c Churn) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

type churn struct {
	state Churn
	timer time.Time // of ChurnMonitor; zero: not running
}

func (c *churn) step(now time.Time, enabled, sync bool) {
	switch {
	case !enabled:
		*c = churn{}
	case sync:
		*c = churn{state: NoChurn}
	case c.state == NoChurn, c.state == ChurnMonitor && c.timer.IsZero():
		*c = churn{timer: now.Add(ChurnDetection)}
	case c.state == ChurnMonitor && !now.Before(c.timer):
		*c = churn{state: Churning}
	}
}
