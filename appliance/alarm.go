package appliance

import (
	"slices"
	"strings"
	"time"
)

// Names of alarms, as `status --json` shows them.
const (
	AlarmSplitBrain       = "split-brain"
	AlarmPeerIncompatible = "peer-incompatible"
	AlarmNotInSync        = "not-in-sync"
	AlarmLag              = "lag"
	AlarmConntrackFull    = "conntrack-full"
	AlarmEventsLost       = "events-lost"
	AlarmConfigMismatch   = "config-mismatch"
	AlarmElectionLate     = "election-late"
	AlarmApplyFailed      = "apply-failed"
	AlarmNoPeer           = "no-peer"
	AlarmCheckDown        = "check-down"
	AlarmCheckFlapping    = "check-flapping"
	AlarmUnheard          = "adverts-unheard"
	AlarmNoHeartbeat      = "no-heartbeat"
	AlarmPriorities       = "priorities" // equal, too close, or two owners
	AlarmFlapping         = "flapping"   // takeovers from one that was alive
	AlarmDuplicate        = "duplicate-address"
	AlarmRouteWaiting     = "route-waiting"
	AlarmRouteRefused     = "route-refused"
	AlarmNotifyFailed     = "notify-failed"
	AlarmBond             = "bond"            // an aggregate of links is not as it should be
	AlarmWatchdog         = "watchdog-failed" // the machine's, or systemd's, is not fed
	AlarmMirrorDown       = "mirror-down"     // packets are not copied to the standby
	AlarmJournal          = "journal-failed"  // sessions are not written to disk, but should be
	AlarmServers          = "entry-servers"   // an entry point has not enough servers, or none
)

// Alarm is something an operator should know, for as long as it holds.
type Alarm struct {
	Name   string    `json:"name"`
	Since  time.Time `json:"since"`
	Detail string    `json:"detail"`
}

// alarms holds what is wrong now, one entry a name. The zero value is empty.
type alarms struct{ list []Alarm }

// raise sets an alarm; one that is already up keeps its Since.
func (a *alarms) raise(now time.Time, name, detail string) {
	for i := range a.list {
		if a.list[i].Name == name {
			a.list[i].Detail = detail
			return
		}
	}
	a.list = append(a.list, Alarm{Name: name, Since: now, Detail: detail})
	slices.SortFunc(a.list, func(x, y Alarm) int { return strings.Compare(x.Name, y.Name) })
}

func (a *alarms) clear(name string) {
	a.list = slices.DeleteFunc(a.list, func(x Alarm) bool { return x.Name == name })
}

func (a *alarms) set(now time.Time, name string, on bool, detail string) {
	if on {
		a.raise(now, name, detail)
	} else {
		a.clear(name)
	}
}

// Alarms returns what is wrong now, sorted by name.
func (c *Core) Alarms() []Alarm { return slices.Clone(c.alarms.list) }

// Alarm raises or clears an alarm that an edge has found.
func (c *Core) Alarm(now time.Time, name string, on bool, detail string) {
	c.alarms.set(now, name, on, detail)
}
