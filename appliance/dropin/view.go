package dropin

import (
	"net/netip"
	"strings"
	"time"
)

// View is what the dumps show: all that keepalived shows of the same configuration
// and that this program has an equal of.
type View struct {
	RouterID  string
	Interface string // default_interface
	Instances []Instance
	Groups    []Group
	Scripts   []Script
	Files     []TrackFile
	Processes []TrackProcess
}

// State is a state of keepalived's.
type State uint8

// The states, by keepalived's numbers.
const (
	Init State = iota
	Backup
	Master
	Fault
)

func (s State) String() string { return [...]string{"INIT", "BACKUP", "MASTER", "FAULT"}[s] }

// Instance is a vrrp_instance.
type Instance struct {
	Name                                string
	Group                               string // sync group; "": none
	Version                             uint8
	Six                                 bool
	State                               State
	Wants                               State
	Faults                              int // interfaces and scripts that keep it in FAULT
	Changed                             time.Time
	Down                                time.Duration // Active_Down_Interval
	Timer                               time.Time     // when that, or the next advert, is due; zero: neither
	Device                              string        // with a virtual MAC; "": none
	On                                  string        // interface
	Source                              netip.Addr
	Chosen                              bool // Source is as configured
	Peers                               []netip.Addr
	VRID                                uint8
	Priority, Effective, MasterPriority uint8
	Interval, MasterInterval            time.Duration
	Accept, Preempt, Strict             bool
	PreemptDelay                        time.Duration
	Auth                                string // PASS or AH; "": none

	GARP Announcing

	Addresses []Address
	Excluded  []Address
	Routes    []string
	Rules     []string

	Track   []Tracked
	Deleted bool // notify_deleted
	SMTP    bool
	Changes bool // notify_priority_changes

	Notify map[string][]string // "master", "backup", …; "": all of them
	User   map[string]string   // "uid:gid" of each

	Stats Stats
}

// Announcing is when addresses are announced.
type Announcing struct {
	Delay, Refresh, LowerDelay         time.Duration
	Repeat, RefreshRepeat, LowerRepeat int
}

// Address is an address of an instance.
type Address struct {
	Prefix netip.Prefix
	Dev    string
	Label  string
	Set    bool
}

// Tracked is something that an instance tracks.
type Tracked struct {
	Kind    string // interface, script, file, process
	Name    string
	Command []string // of a script
	Weight  int
	Reverse bool
}

// Stats are an instance's counters.
type Stats struct {
	Received, Sent, Became, Released       uint64
	Length, TTL, Type, Interval, Addresses uint64
	AuthType, AuthMismatch, AuthFailure    uint64
	ZeroReceived, ZeroSent                 uint64
}

// less takes off what had been counted when the counters were cleared.
func (s Stats) less(o Stats) Stats {
	return Stats{s.Received - o.Received, s.Sent - o.Sent, s.Became - o.Became, s.Released - o.Released,
		s.Length - o.Length, s.TTL - o.TTL, s.Type - o.Type, s.Interval - o.Interval, s.Addresses - o.Addresses,
		s.AuthType - o.AuthType, s.AuthMismatch - o.AuthMismatch, s.AuthFailure - o.AuthFailure,
		s.ZeroReceived - o.ZeroReceived, s.ZeroSent - o.ZeroSent}
}

// Group is a vrrp_sync_group.
type Group struct {
	Name    string
	State   State
	Members []string
	SMTP    bool
	Notify  map[string][]string
	User    map[string]string
}

// Script is a vrrp_script.
type Script struct {
	Name       string
	Command    []string
	Interval   time.Duration
	Timeout    time.Duration
	Weight     int
	Reverse    bool
	Rise, Fall int
	Good       bool
	Known      bool // it has ended once
	Running    bool
	User       string // uid:gid
	Tracking   []Tracking
}

// Tracking is an instance that tracks something.
type Tracking struct {
	Instance string
	Weight   int
	Reverse  bool
}

// TrackFile is a track_file.
type TrackFile struct {
	Name, Path string
	Value      int
	Weight     int
	Reverse    bool
	Tracking   []Tracking
}

// TrackProcess is a vrrp_track_process.
type TrackProcess struct {
	Name, Process string
	Args          []string // that it has to begin with
	Min, Max      int      // Max 0: any number
	Fork, Ends    time.Duration
	Quorum        bool
	Weight        int
	Reverse       bool
	Full          bool
	Tracking      []Tracking
}

// Clear has the counters of the dumps begin at 0, from what they are in v.
func (c *Cleared) Clear(v View) {
	c.at = map[string]Stats{}
	for _, i := range v.Instances {
		c.at[i.Name] = i.Stats
	}
}

// Cleared is what had been counted when somebody asked for the counters to be cleared.
type Cleared struct{ at map[string]Stats }

// Apply takes that off.
func (c *Cleared) Apply(v View) View {
	for i := range v.Instances {
		was, now := c.at[v.Instances[i].Name], v.Instances[i].Stats
		if was.Received > now.Received || was.Sent > now.Sent {
			continue // another one of that name, or one that began anew
		}
		v.Instances[i].Stats = now.less(was)
	}
	return v
}

// text is the address as keepalived writes it.
func (a Address) text() string {
	var b strings.Builder
	if a.Prefix.IsSingleIP() {
		b.WriteString(a.Prefix.Addr().String())
	} else {
		b.WriteString(a.Prefix.String())
	}
	b.WriteString(" dev " + a.Dev + " scope global")
	if a.Label != "" {
		b.WriteString(" label " + a.Label)
	}
	if a.Prefix.Addr().Is6() {
		life := "forever"
		if a.Prefix.IsSingleIP() {
			life = "0"
		}
		b.WriteString(" preferred_lft " + life)
	}
	if a.Set {
		b.WriteString(" set")
	}
	return b.String()
}

// quoted is a command as keepalived writes it.
func quoted(argv []string) string {
	out := make([]string, len(argv))
	for i, a := range argv {
		out[i] = "'" + a + "'"
	}
	return strings.Join(out, " ")
}

// states are the notify keywords, in the order of the dumps.
var states = []struct{ key, json, title string }{
	{"backup", "script_backup", "Backup state transition script"},
	{"master", "script_master", "Master state transition script"},
	{"fault", "script_fault", "Fault state transition script"},
	{"stop", "script_stop", "Stop state transition script"},
	{"deleted", "script_deleted", "Deleted state transition script"},
	{"", "script", "Generic state transition script"},
	{"master_rx_lower_pri", "script_master_rx_lower_pri", "Master rx lower pri state transition script"},
}
