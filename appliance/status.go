package appliance

import "time"

// Status is the whole node at one moment, in the form that `understudy status
// --json` prints. The form is a contract: keys may be added, never removed;
// arrays are always present; times are RFC 3339, durations are seconds.
type Status struct {
	Node          string            `json:"node"`
	Version       string            `json:"version"`
	UptimeSeconds float64           `json:"uptime_seconds"`
	Routers       []RouterStatus    `json:"routers"`
	Groups        []GroupStatus     `json:"groups"`
	Sessions      *SessionsStatus   `json:"sessions"` // null without [sessions]
	Election      ElectionStatus    `json:"election"`
	NAT           NATStatus         `json:"nat"`
	Checks        []CheckStatus     `json:"checks"`
	Heartbeats    []HeartbeatStatus `json:"heartbeats"`
	Bonds         []BondStatus      `json:"bonds"`
	Guard         GuardStatus       `json:"guard"`
	Mail          *MailStatus       `json:"mail,omitempty"` // alerts by mail; missing without [mail]
	Alarms        []Alarm           `json:"alarms"`
	// ReloadError is why the last reload was refused; empty if it was not. The
	// configuration from before it is the one that runs.
	ReloadError string `json:"reload_error,omitempty"`
}

// ElectionStatus is the process that speaks VRRP.
type ElectionStatus struct {
	// Version is of the program that it runs. After an upgrade the node's version is
	// newer, until the service is restarted.
	Version string `json:"version"`
	// Realtime: in the real-time class, so that it comes before other work.
	Realtime bool `json:"realtime"`
	// Lateness is how much after their deadline its timers were handled. The alarm
	// election-late is up for a minute after one was later than the shortest
	// interval of the routers: as bad as an advert that was lost.
	Lateness Histogram `json:"lateness"`
}

// Histogram counts durations.
type Histogram struct {
	Count      uint64   `json:"count"`
	SumSeconds float64  `json:"sum_seconds"`
	MaxSeconds float64  `json:"max_seconds"`
	Buckets    []Bucket `json:"buckets"`
}

// Bucket counts what was above the one before and not above its own bound.
type Bucket struct {
	UpToSeconds *float64 `json:"up_to_seconds"` // null: no bound
	Count       uint64   `json:"count"`
}

// RouterStatus is one virtual router.
type RouterStatus struct {
	Name                  string       `json:"name"`
	Interface             string       `json:"interface"`
	MAC                   string       `json:"mac"`              // interface | virtual
	Device                string       `json:"device,omitempty"` // of ours, that the addresses are on
	Accept                bool         `json:"accept"`
	VRID                  uint8        `json:"vrid"`
	Family                string       `json:"family"` // ipv4 | ipv6
	Version               uint8        `json:"version"`
	State                 string       `json:"state"` // initialize | backup | active | fault
	Reason                string       `json:"reason"`
	Priority              uint8        `json:"priority"`
	EffectivePriority     uint8        `json:"effective_priority"`
	AdvertIntervalSeconds float64      `json:"advert_interval_seconds"`
	ActiveAddress         string       `json:"active_address"` // who is Active, as far as heard; empty if unknown
	Addresses             []string     `json:"addresses"`
	Source                string       `json:"source"`  // adverts come from; empty if there is no such address
	Unicast               []string     `json:"unicast"` // nodes that adverts go to; empty: to the multicast group
	Transitions           uint64       `json:"transitions"`
	LastTransition        *time.Time   `json:"last_transition"` // null before the first
	Adverts               AdvertStatus `json:"adverts"`
	// Rivals are other routers of this VRID that were heard in the last day, the
	// latest first; a Backup is silent, so it may be missing.
	Rivals []RivalStatus `json:"rivals"`
	// RA is there for routers that send router advertisements.
	RA *RAStatus `json:"ra,omitempty"`
	// Drops has every reason, also those at zero. What came in on the interface
	// for none of its routers (an unknown VRID) counts for each of them.
	Drops map[string]uint64 `json:"drops"`
	// DropsEstimated is how many packets on the router's interface were counted in
	// Drops without having been looked at, for there were too many: as those were
	// that came with them.
	DropsEstimated uint64 `json:"drops_estimated"`
	// Notify are the programs that are told of it.
	Notify []NotifyStatus `json:"notify"`
}

// RAStatus counts the router advertisements of a router.
type RAStatus struct {
	Sent      uint64 `json:"sent"`
	Failed    uint64 `json:"failed"`
	Solicited uint64 `json:"solicited"` // hosts that asked while it was active
	LastError string `json:"last_error"`
}

// RivalStatus is another router of a VRID.
type RivalStatus struct {
	Address               string    `json:"address"`
	Priority              uint8     `json:"priority"`
	AdvertIntervalSeconds float64   `json:"advert_interval_seconds"`
	LastHeard             time.Time `json:"last_heard"`
}

// AdvertStatus counts adverts.
type AdvertStatus struct {
	Sent     uint64 `json:"sent"`
	Received uint64 `json:"received"`
	// Lost is how many packets on the router's interface found no room in the
	// socket: nobody knows what they were.
	Lost uint64 `json:"lost"`
	// Accepted, though another interval or other addresses than ours (RFC 9568,
	// 7.1: processed, but worth knowing).
	IntervalMismatch uint64 `json:"interval_mismatch"`
	AddressMismatch  uint64 `json:"address_mismatch"`
}

// GroupStatus is one group of routers that move together.
type GroupStatus struct {
	Name    string   `json:"name"`
	State   string   `json:"state"`
	Term    uint64   `json:"term"`
	Members []string `json:"members"`
	Leaving bool     `json:"leaving,omitempty"`
	Held    bool     `json:"held,omitempty"` // its takeover is put off by the guard
	// Reason is why it is in its state, and what is tracked that is not as it should be;
	// LastTransition since when, null before the first.
	Reason         string     `json:"reason"`
	LastTransition *time.Time `json:"last_transition"`
	// Restored counts what of the group's identity others removed and we put back.
	Restored int `json:"restored"`
	// Notify are the programs that are told of it.
	Notify []NotifyStatus `json:"notify"`
}

// NotifyStatus is a program that is told of states, and how its last run went.
type NotifyStatus struct {
	Command         []string   `json:"command"`
	State           string     `json:"state"` // that it was told last; empty before the first
	At              *time.Time `json:"at"`    // null before the first
	DurationSeconds float64    `json:"duration_seconds"`
	ExitCode        int        `json:"exit_code"` // -1: a signal ended it, or it could not be run
	Error           string     `json:"error"`
	Running         bool       `json:"running"`
	Runs            uint64     `json:"runs"`
	Failures        uint64     `json:"failures"`
}

// SessionsStatus is the session plane.
type SessionsStatus struct {
	Mode         string          `json:"mode"`
	Ack          string          `json:"ack"`     // what makes a change safe: applied | received | none
	Install      string          `json:"install"` // where those of peers are kept here: hot | takeover
	Local        int             `json:"local"`   // records of groups that are Active here
	Foreign      int             `json:"foreign"` // records held for a peer
	InSync       bool            `json:"in_sync"`
	LagSeconds   *float64        `json:"lag_seconds"`         // null when no peer is connected
	LagAllowed   float64         `json:"lag_allowed_seconds"` // what of it the mode brings with it
	Dirty        int             `json:"dirty"`               // records a peer does not have yet
	Held         int             `json:"held"`                // of these, records that wait by the mode
	Young        int             `json:"young"`               // flows that no peer is told of yet, by their class
	NotReady     []string        `json:"not_ready,omitempty"` // what this kernel lacks of what the peers' flows need
	Offloaded    int             `json:"offloaded"`           // flows in flowtables: unprotected
	Filtered     bool            `json:"filtered"`            // the kernel makes only those events that are needed
	Overload     OverloadStatus  `json:"overload"`
	Peers        []PeerStatus    `json:"peers"`
	LastTakeover *TakeoverStatus `json:"last_takeover"` // null before the first
	// Unprotected is what a crash of this node would lose now.
	Unprotected UnprotectedStatus `json:"unprotected"`
	Journal     *JournalStatus    `json:"journal"`
	// Counters are the session plane's running totals, by name.
	Counters map[string]uint64 `json:"counters,omitempty"`
}

// OverloadStatus is how much of the kernel's events can be had.
type OverloadStatus struct {
	Step        string    `json:"step"` // calm | sparing | gap | polling
	Since       time.Time `json:"since"`
	Reason      string    `json:"reason"` // empty while calm
	BufferBytes int       `json:"buffer_bytes"`
	BufferFill  float64   `json:"buffer_fill"` // 0 to 1
}

// JournalStatus is what of the sessions is kept on this node's disk.
type JournalStatus struct {
	// State: off; idle, as peers have all; writing; failing, and trying again.
	State     string `json:"state"`
	Bytes     int64  `json:"bytes"`      // on the disk
	Records   uint64 `json:"records"`    // written since the start
	Fsyncs    uint64 `json:"fsyncs"`     // since the start
	Failures  uint64 `json:"failures"`   // since the start
	LastError string `json:"last_error"` // empty: there was none
	Restored  int    `json:"restored"`   // sessions that came from it at the start
	Outcome   string `json:"outcome,omitempty"`
}

// PeerStatus is the link to one peer.
type PeerStatus struct {
	Name       string     `json:"name"`
	Connected  bool       `json:"connected"`
	Address    string     `json:"address,omitempty"` // the one that it is told at, while connected
	LagSeconds *float64   `json:"lag_seconds"`
	LastResync *time.Time `json:"last_resync"`
	TableMax   uint64     `json:"conntrack_max"` // of its kernel, as it said when it connected; 0: unknown
}

// TakeoverStatus is an activation here.
type TakeoverStatus struct {
	At              time.Time `json:"at"`
	Group           string    `json:"group"`
	Term            uint64    `json:"term"`
	From            string    `json:"from"`      // the owner before, if it did not hand over
	Sessions        int       `json:"sessions"`  // of the group at that moment
	Hot             int       `json:"hot"`       // of them, in the kernel already
	Installed       int       `json:"installed"` // sessions that had still to be put into the kernel
	Outlived        int       `json:"outlived"`  // sessions that were too old for that: their owner had been silent
	Refused         int       `json:"refused"`   // that the kernel did not take
	Clashes         int       `json:"clashes"`   // that another flow of the kernel was in the way of
	DurationSeconds float64   `json:"duration_seconds"`
	// LostEstimate is how many flows of the owner before had no record here: those
	// that it held back, by its last word, and its flows in a second times its lag.
	// Null: nothing is known of it.
	LostEstimate *int         `json:"lost_estimate"`
	HeardSeconds float64      `json:"heard_seconds"` // how long ago the owner before was heard
	Late         int          `json:"late"`          // flows of it that came after the takeover, and were taken
	LostCount    int          `json:"lost_count"`    // flows that are known to be lost
	Lost         []LostFlow   `json:"lost"`          // of these, by name: the first 256 in a status, 4096 in a report
	Phases       PhasesStatus `json:"phases"`
}

// NATStatus is what is translated here.
type NATStatus struct {
	Static   int           `json:"static"`
	Source   int           `json:"source"`
	Forwards int           `json:"forwards"`
	Entries  []EntryStatus `json:"entries"`
	// Mirror counts packets in copy; null but with mode = "active".
	Mirror *MirrorStatus `json:"mirror,omitempty"`
	// Log is what is said on connections that are replayed; null where none is.
	Log *LogStatus `json:"log,omitempty"`
	// Drops counts packets refused by the gate and the leak guard, by name.
	Drops map[string]uint64 `json:"drops,omitempty"`
}

// MirrorStatus counts what is copied to the other node, and what came of its copies.
type MirrorStatus struct {
	Copied   uint64 `json:"copied"`
	Taken    uint64 `json:"taken"`
	KeptIn   uint64 `json:"kept_in"`  // that would have left
	Silenced uint64 `json:"silenced"` // errors and resets that would have answered one
}

// LogStatus is the log of connections that are replayed when their server dies; what is counted, since
// it was begun.
type LogStatus struct {
	Connections int    `json:"connections"`
	MemoryBytes int    `json:"memory_bytes"`
	Bytes       uint64 `json:"bytes"` // that clients said
	Packets     uint64 `json:"packets"`
	Lost        uint64 `json:"lost"` // packets that came while it was behind
	// Refused are connections that cannot be replayed, Left segments that are not in it, by reason.
	Refused map[string]uint64 `json:"refused,omitempty"`
	Left    map[string]uint64 `json:"left_out,omitempty"`
	// Shadows are the connections that are replayed all along; null where none is to be.
	Shadows *ShadowStatus `json:"shadows,omitempty"`
}

// ShadowStatus is what is replayed all along, at another server; what is counted, since the program
// started.
type ShadowStatus struct {
	Connections int    `json:"connections"`
	Begun       uint64 `json:"begun"`
	// Dropped is how often that ended before the connection did, Without are connections for which it is
	// wanted and that are not now, by reason.
	Dropped map[string]uint64 `json:"dropped,omitempty"`
	Without map[string]int    `json:"without,omitempty"`
}

// EntryStatus is one entry point and its servers.
type EntryStatus struct {
	Name      string         `json:"name"`
	Address   string         `json:"address"` // or its mark
	Group     string         `json:"group"`   // that it moves with
	Steer     string         `json:"steer"`
	Forward   string         `json:"forward"` // nat | direct | tunnel
	OnFailure string         `json:"on_failure"`
	Enough    bool           `json:"enough"`    // servers: the quorum, or one
	NewFlows  uint64         `json:"new_flows"` // so far, on this node
	Servers   []ServerStatus `json:"servers"`
	// Moved are connections that went on at another server when theirs died, NotMoved those
	// that could not, by reason; since the program started.
	Moved    uint64            `json:"moved,omitempty"`
	NotMoved map[string]uint64 `json:"not_moved,omitempty"`
	// ReplayedBytes are what of those clients was said again to other servers, LongestMove is
	// how many seconds one of those that were moved stood still, at most.
	ReplayedBytes uint64  `json:"replayed_bytes,omitempty"`
	LongestMove   float64 `json:"longest_move,omitempty"`
	// Stall is how long those were frozen that were moved; absent until some were.
	Stall *Histogram `json:"stall,omitempty"`
	// Takeover is what a gateway that takes over could do with connections that outlive their
	// servers, by what gateways have told each other; absent if they have told of none.
	Takeover *TakeoverMoves `json:"takeover,omitempty"`
}

// TakeoverMoves counts connections that outlive their servers.
type TakeoverMoves struct {
	Known int `json:"known"` // whose position is: they can be moved if they stay at rest
	// Lost are those that are reset if their server dies before it has said more, by reason.
	Lost map[string]int `json:"lost,omitempty"`
}

// ServerStatus is one server behind an entry point.
type ServerStatus struct {
	Address string `json:"address"`
	Check   string `json:"check,omitempty"`
	State   string `json:"state"` // unknown | up | down; unknown counts as up
	Weight  int    `json:"weight"`
	Drained bool   `json:"drained,omitempty"`
	Full    bool   `json:"full,omitempty"` // it has as many connections as it may
	// Unreachable: it is called by its MAC, and nobody answers for its address.
	Unreachable bool `json:"unreachable,omitempty"`
	Spare       bool `json:"spare,omitempty"`
	// Share is what part of the new flows it gets now.
	Share float64 `json:"share"`
	// Connections is there where something goes by their number: as last counted.
	Connections *int `json:"connections,omitempty"`
}

// CheckStatus is one health check.
type CheckStatus struct {
	Name      string    `json:"name"`
	Kind      string    `json:"kind"`
	State     string    `json:"state"` // unknown | up | down
	Since     time.Time `json:"since"`
	LastError string    `json:"last_error"`
	// TookSeconds is the time of the last try; of a beat that was pushed, the time
	// on the way, by both clocks.
	TookSeconds float64 `json:"took_seconds"`
	Results     uint64  `json:"results"`
	Failures    uint64  `json:"failures"` // of results
	Timeouts    uint64  `json:"timeouts"` // of failures
	Changes     uint64  `json:"changes"`  // up to down and back
	Flapping    bool    `json:"flapping"`
	// DampedUntil is when a check that is held down for flapping is let go, if it
	// stays up; null: it is not held.
	DampedUntil *time.Time `json:"damped_until"`
	Value       *int       `json:"value,omitempty"` // of a file with a value
	Checks      []string   `json:"checks"`          // that it is made of
	// Drops are the refused beats in the name of its server, by reason.
	Drops map[string]uint64 `json:"drops"`
}

// HeartbeatStatus is an address at which servers' beats are heard.
type HeartbeatStatus struct {
	Listen string `json:"listen"`
	// Drops are packets in nobody's name who is expected there, by reason.
	Drops map[string]uint64 `json:"drops"`
}

// BondStatus is one link aggregate.
type BondStatus struct {
	Name     string        `json:"name"`
	State    string        `json:"state"`    // ok | degraded | failed | unknown
	Mode     string        `json:"mode"`     // lacp | active-backup | balance | unknown
	Carrying int           `json:"carrying"` // members that do
	Needed   int           `json:"needed"`   // members that have to
	Findings []BondFinding `json:"findings"` // the critical ones first
	Members  []BondMember  `json:"members"`
}

// BondFinding is something wrong with an aggregate.
type BondFinding struct {
	Name     string    `json:"name"`
	Severity string    `json:"severity"` // info | warning | critical
	Since    time.Time `json:"since"`
	Detail   string    `json:"detail"`
}

// BondMember is one port of an aggregate.
type BondMember struct {
	Interface     string `json:"interface"`
	PartnerSystem string `json:"partner_system"` // empty: not known, or the bond does without LACP
	Synchronized  bool   `json:"synchronized"`   // with LACP: both ends have put it into an aggregate; else as carries
	Up            bool   `json:"up"`             // it has a carrier
	Carries       bool   `json:"carries"`
	Receive       string `json:"receive"` // with LACP, what is known of the partner: current | expired | defaulted | port_disabled | lacp_disabled
	// Frames of the Slow Protocols; each is counted once.
	Received uint64 `json:"received"` // LACPDUs of the far end
	Sent     uint64 `json:"sent"`     // LACPDUs of ours, as far as they were looked at
	Markers  uint64 `json:"markers"`  // Marker PDUs, both ways
	Looped   uint64 `json:"looped"`   // LACPDUs of ours that came back
	Refused  uint64 `json:"refused"`  // for any reason, what is for other protocols among them
	Lost     uint64 `json:"lost"`     // came, and were not seen: nobody had the time to
}

// NewStatus returns a Status whose arrays are present and empty.
func NewStatus() Status {
	return Status{
		Routers:    []RouterStatus{},
		Groups:     []GroupStatus{},
		Election:   ElectionStatus{Lateness: Histogram{Buckets: []Bucket{}}},
		NAT:        NATStatus{Entries: []EntryStatus{}},
		Checks:     []CheckStatus{},
		Heartbeats: []HeartbeatStatus{},
		Bonds:      []BondStatus{},
		Guard:      GuardStatus{Drops: map[string]uint64{}, Peers: []GuardPeer{}},
		Alarms:     []Alarm{},
	}
}

// Seconds is d in the unit of the contract.
func Seconds(d time.Duration) *float64 {
	s := d.Seconds()
	return &s
}
