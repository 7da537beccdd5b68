package keepalived

import (
	"net/netip"
	"time"
)

// Of is a value that may have been written, and where.
type Of[T any] struct {
	V   T
	Set bool
	At  Place
}

func of[T any](v T, at Place) Of[T] { return Of[T]{V: v, Set: true, At: at} }

// or returns what was written, else def.
func (o Of[T]) or(def T) T {
	if o.Set {
		return o.V
	}
	return def
}

// File is a whole configuration.
type File struct {
	Root *Node // everything, as it was written

	Global    Global
	Instances []*Instance
	Groups    []*SyncGroup
	Scripts   []*Script
	Processes []*Process
	Files     []*TrackFile
	Static    Static
	BFDs      []*Node

	VirtualServers []*VirtualServer
	ServerGroups   []*ServerGroup
	SSL            []Option
	Gaps           []GapGroup
	Delays         []LinkDelay
}

// Global is global_defs, as far as something comes of it.
type Global struct {
	RouterID         Of[string]
	Version          Of[uint8]
	Strict           Of[bool]
	DefaultInterface Of[string]
	ScriptUser       Of[string]
	Pipes            [3]Pipe // notify_fifo, vrrp_notify_fifo, lvs_notify_fifo
	Repeat           Of[bool]
	Namespace        Of[string] // net_namespace
	Instance         Of[string]
	PIDDir           Of[bool]
	ScriptSecurity   Of[bool]
	Dynamic          Of[bool]
	ChecksumV2       Of[bool]
	Group4, Group6   Of[netip.Addr] // of adverts
	Wire             Wire
	Sync             Of[[]string] // lvs_sync_daemon
	Pace             Pace
	MinPace          Of[bool]   // vrrp_min_garp
	TellPriority     Of[bool]   // vrrp_notify_priority_changes
	Umask            Of[int]    // umask, of dumps
	StateFile        Of[string] // state_dump_file, …
	StatsFile        Of[string]
	JSONFile         Of[string]
	JSONVersion      Of[int]
	DataOfInstance   Of[bool]          // data_use_instance
	Startup, Boot    Of[time.Duration] // vrrp_startup_delay, vrrp_delay_after_boot
	GapARP, GapNA    Of[time.Duration] // vrrp_garp_interval, vrrp_gna_interval
	Alerts           Alerts
	AtStart, AtEnd   Hook // startup_script, shutdown_script
}

// Wire is what is otherwise on the wire than usual.
type Wire struct {
	DownAdverts Of[int]
	Quiet       Of[bool] // lower_prio_no_advert
}

// Pace is how often addresses are announced: garp_master_*.
type Pace struct {
	Delay, Refresh        Of[time.Duration]
	Repeat, RefreshRepeat Of[int]
}

// GapGroup is a garp_group.
type GapGroup struct {
	ARP, NA    Of[time.Duration]
	Interfaces []string
}

// TTLs is what TTL adverts of a peer may come with: min_ttl, max_ttl.
type TTLs struct{ Least, Most int }

// Instance is a vrrp_instance.
type Instance struct {
	Name string
	At   Place

	Master       Of[bool]
	Interface    Of[string]
	VRID         Of[uint8]
	Priority     Of[uint8]
	Interval     Of[time.Duration]
	Version      Of[uint8]
	Strict       Of[bool]
	Addresses    []Address
	Excluded     []Address
	None         Of[bool] // no_virtual_ipaddress
	Routes       []*Node
	Rules        []*Node
	NoPreempt    Of[bool]
	PreemptDelay Of[time.Duration]
	AuthType     Of[string]
	AuthPass     Of[string]
	Source       Of[netip.Addr]
	SourceMcast  Of[netip.Addr]
	Peers        []Of[netip.Addr]
	PeerTTLs     map[netip.Addr]TTLs
	OldChecksum  Of[string] // old_unicast_checksum: "" or never
	Unicast      bool       // there is a unicast_peer
	TTL          Of[int]    // unicast_ttl
	PeersNeeded  Of[bool]   // unicast_fault_no_peer
	Untracked    Of[bool]   // dont_track_primary
	ChecksumV2   Of[bool]
	Accept       Of[bool]
	VMAC         Of[bool]
	VMACAddr     Of[bool] // use_vmac_addr

	// What only strict mode asks for: state BACKUP, garp_lower_prio_repeat and _delay other
	// than 0, higher_prio_send_advert.
	Standby, LowerRepeat, LowerDelay, HigherSends Of[bool]

	Track        []Tracked
	Notify       []Notified
	Pace         Pace
	Wire         Wire
	Group        Of[netip.Addr] // mcast_dst_ip
	BaseMAC      Of[bool]       // vmac_xmit_base
	TellPriority Of[bool]       // notify_priority_changes
	Alert        Of[bool]       // smtp_alert
}

// Address is a line of virtual_ipaddress or virtual_ipaddress_excluded.
type Address struct {
	Prefix netip.Prefix
	Dev    string // "": the instance's interface
	As     string // what else stands behind it, in our words
	Group  string // track_group, of one that does not move
	At     Place

	Virtual bool // use_vmac: on a device with the virtual MAC
}

// Static is what does not move: static_ipaddress, static_routes, static_rules.
type Static struct {
	At            Place // of the first block
	Addresses     []Address
	Routes, Rules []*Node
	Groups        []TrackGroup
}

// TrackGroup is a track_group: instances that need what names it.
type TrackGroup struct {
	Name    string
	At      Place
	Members []Of[string]
}

// Tracked is a line of track_interface, track_script, track_file or track_process.
type Tracked struct {
	Kind     string // interface, script, file, process
	Name     string
	Weight   Of[int]
	Reverse  bool
	NoRevers bool
	At       Place
}

// Pipe is a FIFO that events are written into.
type Pipe struct {
	Path   Of[string]
	User   string
	Script Of[[]string]
}

// Notified is a program that is told of a state.
type Notified struct {
	State   string // master, backup, fault, stop, deleted; "": all, with arguments
	Command []string
	User    string
	At      Place
}

// SyncGroup is a vrrp_sync_group.
type SyncGroup struct {
	Name    string
	At      Place
	Members []Of[string]
	Track   []Tracked
	Alert   Of[bool] // smtp_alert
	Notify  []Notified
	Weights Of[bool] // sync_group_tracking_weight

	TellPriority Of[bool] // notify_priority_changes
}

// Script is a vrrp_script.
type Script struct {
	Name     string
	At       Place
	Command  Of[[]string]
	User     string
	Interval Of[time.Duration]
	Timeout  Of[time.Duration]
	Weight   Of[int]
	Reverse  bool
	Rise     Of[int]
	Fall     Of[int]
}

// Process is a vrrp_track_process.
type Process struct {
	Name    string
	At      Place
	Program Of[string]
	Args    []string
	ByArgs  bool // full_command or param_match
	Weight  Of[int]
	Reverse bool
	Quorum  Of[int]
	Max     Of[int]
	Fork    Of[time.Duration]
	Ends    Of[time.Duration]
}

// TrackFile is a track_file at the top.
type TrackFile struct {
	Init      Of[int]
	Overwrite bool

	Name    string
	At      Place
	Path    Of[string]
	Weight  Of[int]
	Reverse bool
}

// VirtualServer is a virtual_server, with everything that it says by keyword.
type VirtualServer struct {
	At      Place
	Address netip.AddrPort // port 0: any
	Mark    uint32         // fwmark, if there is no address
	Group   string         // else
	Options []Option
	Servers []*RealServer
}

// RealServer is a real_server of a virtual_server.
type RealServer struct {
	At      Place
	Address netip.AddrPort
	Options []Option
	Checks  []*Checker
}

// Checker is a check of a real_server.
type Checker struct {
	At      Place
	Kind    string // TCP_CHECK, …
	Options []Option
	URLs    [][]Option // HTTP_GET and SSL_GET
}

// Option is a keyword with its words.
type Option struct {
	Word string
	Args []string
	At   Place
}

// ServerGroup is a virtual_server_group.
type ServerGroup struct {
	Name  string
	At    Place
	Lines []Option
}
