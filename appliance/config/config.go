package config

import (
	"net/netip"
	"time"

	"understudy/appliance/identity"
	"understudy/garp"
	"understudy/garp/ra"
	"understudy/health"
	"understudy/health/expect"
	"understudy/nat"
	"understudy/nat/entry"
	"understudy/nat/session"
)

// Config is a configuration file that has been checked: every name in it
// exists, every value is in range, every default is filled in.
type Config struct {
	File     string   // as it was given to Load or Parse
	Warnings []string // of a keepalived.conf: what it says and this does not, a line each
	Spoken   *Spoken  // what that was; nil: the file is TOML
	Node     string
	Routers  []Router
	Groups   []Group // every router is in exactly one
	Mappings *Mappings
	Checks   []Check
	Bonds    []Bond
	Sessions *Sessions // nil: no session checkpointing
	Guard    Guard
	Web      Web
	Watchdog Watchdog
	Pipes    []Pipe
	Static   identity.Identity // addresses, routes and rules that do not move; see Standing

	StartupDelay   time.Duration // after its start the node takes no part for so long
	DelayAfterBoot time.Duration // the same after the machine's
	Links          []Link
	Mail           *Mail // nil: no alerts by mail

	Forwarding bool // the kernel forwards while the node runs; false: as it does anyway
}

// Watchdog is the timer of the machine that this node resets while it is well.
type Watchdog struct {
	Device  string // "": none
	Timeout time.Duration
}

// Web is where the node shows itself to browsers and to Prometheus.
type Web struct {
	Listen netip.AddrPort // invalid: nowhere
	Token  string         // that has to be known; empty: none
}

// String keeps the token out of logs.
func (w Web) String() string { return w.Listen.String() }

// GoString keeps the token out of %#v.
func (w Web) GoString() string { return w.String() }

// Router is one VRRP virtual router of one address family.
type Router struct {
	Name         string
	Interface    string
	Family       uint8 // 4 or 6; a [[router]] with addresses of both is two, of one name
	VRID         uint8
	Priority     uint8
	Advertise    time.Duration                      // as on the wire: whole centiseconds, version 2 whole seconds
	Addresses    []netip.Prefix                     // of the family; IPv6: the first is link-local
	Advertised   []netip.Addr                       // Addresses as adverts list them, some again; nil: each once
	Excluded     []netip.Prefix                     // addresses of either family that move along, and are in no advert
	Elsewhere    map[netip.Addr]string              // addresses that are on another interface, and which
	Virtual      map[netip.Addr]bool                // addresses that are on a device with the virtual MAC, whatever MAC says
	Attributes   map[netip.Addr]identity.Attributes // of addresses that have some
	MAC          MAC
	Track        []Track
	Preempt      bool
	PreemptDelay time.Duration
	Settle       time.Duration // how long a link that has come up is not trusted
	Accept       bool
	Checksum     Checksum
	Version      uint8
	AuthPass     string                  // version 2: the password that anybody can read on the wire, or the key; empty: none
	AuthType     AuthType                // what AuthPass is
	Unicast      []netip.Addr            // nodes that adverts go to one by one; none: to the multicast group
	UnicastTTL   uint8                   // of adverts to Unicast
	PeerTTLs     map[netip.Addr]TTLRange // of adverts of these, where the file says one
	TrackOwn     bool                    // its own interface being down is a fault
	Source       netip.Addr              // adverts come from; invalid: the interface's primary address
	Multicast    netip.Addr              // group that adverts go to; invalid: that of RFC 9568
	LinkLocal    bool                    // IPv6: the first address of an advert has to be link-local
	AdvertMAC    MAC                     // adverts come from; "": MAC
	DownAdverts  uint8                   // so many intervals without an advert are silence
	Assert       bool                    // an active node answers a worse one at once
	Routes       []identity.Route
	Rules        []identity.Rule
	Pace         garp.Pace  // of announcements
	RA           *ra.Params // IPv6: router advertisements while active; nil: none
	Notify       []Notify   // of both families of a [[router]]
	TellPriority bool       // pipes are told of changes of its priority
	Mail         bool       // its changes of state are alerts
}

// TTLRange is what TTL (Hop Limit) something may come with.
type TTLRange struct{ Least, Most uint8 }

// Notify is a program that is told of states.
type Notify struct {
	Command   []string
	States    []NotifyState // none: all
	When      When
	Timeout   time.Duration
	User      string // "": whoever runs understudy
	Arguments Arguments
}

// Pipe is a FIFO into which events are written.
type Pipe struct {
	Path    string
	Tell    []PipeNews // none: all
	Command []string   // reads it; none: somebody else does
	User    string     // whose it is, and who runs Command; "": whoever runs understudy
	Repeat  bool       // a reload has all states said again
}

// PipeNews is what a pipe is told of.
type PipeNews string

const (
	PipeRouters PipeNews = "routers" // and groups
	PipeServers PipeNews = "servers" // of entry points, and these
)

// NotifyState is a state of a router or a group.
type NotifyState string

const (
	NotifyActive     NotifyState = "active"
	NotifyBackup     NotifyState = "backup"
	NotifyFault      NotifyState = "fault"
	NotifyInitialize NotifyState = "initialize" // takes no part: the node stops, or has just lost its election process
	// Two ways into initialize, for those who want to hear of one of them alone.
	NotifyStop    NotifyState = "stop"    // the node stops
	NotifyDeleted NotifyState = "deleted" // a reload has taken it out of the file
	// No state: an advert of a lower priority was heard while it was active.
	NotifyInferior NotifyState = "inferior"
)

// When says when a program is told.
type When string

const (
	WhenAfter  When = "after"  // beside everything else, once the state is reached
	WhenBefore When = "before" // the node becomes active when it has ended
)

// Arguments says what a program gets beside its own arguments.
type Arguments string

const (
	ArgumentsNone       Arguments = "none"
	ArgumentsKeepalived Arguments = "keepalived" // INSTANCE or GROUP, name, state, priority
)

// Track is something that a router's group depends on.
type Track struct {
	Kind   TrackKind
	Name   string // of a check, of an interface, or of a bond
	Weight int    // to add to the priority, for a bond once for each lost member; 0: down is a fault
	// Reverse: up counts as down, and down as up.
	Reverse bool
}

// TrackKind tells what is tracked.
type TrackKind string

const (
	TrackCheck     TrackKind = "check"
	TrackInterface TrackKind = "interface"
	TrackBond      TrackKind = "bond"
)

// MAC tells which hardware address a router's addresses answer with.
type MAC string

const (
	MACInterface MAC = "interface" // the interface's own; a takeover tells hosts a new one
	MACVirtual   MAC = "virtual"   // one that moves with the addresses (RFC 9568 section 7.3)
)

// Checksum tells how the checksum of IPv4 adverts is made. Both forms are
// always accepted.
type Checksum string

const (
	ChecksumAuto    Checksum = "auto"    // as RFC 5798, until a rival is heard in the other form
	ChecksumRFC9568 Checksum = "rfc9568" // over the message alone
	ChecksumRFC5798 Checksum = "rfc5798" // with the pseudo-header
	ChecksumGroup   Checksum = "group"   // with that of the group, by unicast too
)

// AuthType tells what the password of version 2 is for.
type AuthType string

const (
	AuthPass AuthType = "pass" // it is in every advert
	AuthAH   AuthType = "ah"   // it is the key of an authentication header
)

// Group names routers that are active on the same node at any time.
type Group struct {
	Name    string
	Routers []string
	Notify  []Notify
	Mail    bool // its changes of state are alerts
}

// Mappings is the address translation.
type Mappings struct {
	Sources  []Source
	Statics  []Static
	Forwards []Forward
	Entries  []Entry
	Unknown  Unknown
	Moves    MoveBounds
}

// MoveBounds bound what is logged of connections that are to be replayed.
type MoveBounds struct {
	Memory, Connection int // MiB, of all and of one
	Age                time.Duration
}

// Entry is an entry point, and the router that it moves with.
type Entry struct {
	entry.Config
	Router string
	Notify []EntryNotify
	Mail   bool             // whether it has enough servers is an alert
	Mailed []netip.AddrPort // servers whose going and coming is one
}

// EntryNotify is a program that is told when a server, or an entry point as a whole, is
// there or not any more.
type EntryNotify struct {
	Command []string
	On      []EntryEvent   // at least one
	Server  netip.AddrPort // which of the entry point's; invalid: whether it has enough of them
	Timeout time.Duration
	User    string // "": whoever runs understudy
}

// EntryEvent is what happens to a server, or to an entry point.
type EntryEvent string

const (
	EntryUp   EntryEvent = "up"   // it is there; there are enough servers
	EntryDown EntryEvent = "down" // not any more
	EntryEnd  EntryEvent = "end"  // the node stops while it is there
)

// Source rewrites the source address of what leaves for the world.
type Source struct {
	From   netip.Prefix // masked
	Out    string       // interface of a router
	To     netip.Addr
	Also   []netip.Addr // more addresses beside To: each host has one of them all
	Router string       // the router that the addresses move with
	Ports  PortUse
	Except []netip.Prefix // destinations for which the source stays
	Onlink bool           // the addresses are added and announced; else others route them here
}

// Static maps public addresses to as many private ones, one to one.
type Static struct {
	Public, Private netip.Prefix // masked, of one length
	Router          string       // the router that Public moves with
	Out             string       // its interface: what leaves by it gets its public address
	Except          []netip.Prefix
	Onlink          bool
}

// PortUse says which ports of a public address a node gives to new flows.
type PortUse string

const (
	PortsShared PortUse = "shared" // all of the pool
	PortsSplit  PortUse = "split"  // its own part, by the order of the nodes' names
)

// Forward passes one port of a public address on to a server, or a range of them.
type Forward struct {
	Name    string
	Address netip.AddrPort
	Last    uint16 // of a range that begins with the port of Address; 0: it alone
	Proto   Proto
	To      netip.AddrPort
	ToLast  uint16 // of as many that the range leads to; 0: all of it to the port of To
	Router  string // the router that Address moves with
	Onlink  bool
}

// Proto is the transport protocol of a forward.
type Proto string

const (
	TCP  Proto = "tcp"
	UDP  Proto = "udp"
	SCTP Proto = "sctp"
)

// Unknown tells what happens to packets of translated TCP connections that the
// new active node does not know, after the first seconds of a takeover.
type Unknown string

const (
	UnknownReset Unknown = "reset" // answer with a reset, so that the ends give up at once
	UnknownDrop  Unknown = "drop"
)

// Check is something that is tried again and again.
type Check struct {
	Name           string
	Kind           CheckKind
	Every, Timeout time.Duration
	Rise, Fall     int           // successes in a row until it is up, failures until it is down
	Retry          time.Duration // from one try that fails to the next, until it is down

	Damp health.Damp // half-life 0: none

	Target netip.AddrPort // of all that try a host; icmp has port 0. heartbeat: whom to ask; or Listen
	Source netip.Addr     // the same; optional
	// SourcePort and Mark are of what is sent, by all but icmp, and by all that try a host;
	// 0: any, none.
	SourcePort uint16
	Mark       uint32
	Interface  string       // the same, and route; optional
	Path       string       // file; http, https: the page
	Absent     bool         // file: it must not be there
	Init       *int         // file with Value: the number that is written into it at the start; nil: none
	Overwrite  bool         // … whatever is in it; else only if it is not there
	Value      bool         // file: the number in it counts; script: its exit code, and only 1 is a failure
	Process    string       // process
	Args       []string     // process: what its arguments begin with
	Min, Max   int          // process: how many, Max 0: any number; of other checks: how many must be up
	To         netip.Addr   // route: the way to an address; or
	Prefix     netip.Prefix // route: a route to exactly that
	Table      int          // route: with Prefix
	Command    []string     // script
	User       string       // script: who runs it, "": whoever runs understudy; watchdog: who may reset it, "": anybody

	Method string        // http, https
	Host   string        // of the header; "": the target
	Status []expect.Span // of codes
	Body   string        // what is in the page
	Match  string        // regular expression
	// MatchNot is one that must not match.
	MatchNot string
	// MatchFrom and MatchUntil are where in the page a match of either may begin, in octets
	// from its first one, which is 0; nil: as far as there is a page.
	MatchFrom  int
	MatchUntil *int
	Digest     expect.Digest // of the page

	Verify     bool   // https: who the server is
	ServerName string // "": of Host, or the target
	CAFile     string // absolute; "": the machine's authorities
	CertFile   string // absolute, with KeyFile; "": none
	KeyFile    string

	Query   string // dns
	Type    string
	RCode   string
	Answers []string

	Send    []byte // udp
	Expect  expect.Pattern
	Silence bool   // no answer is a success
	Helo    string // smtp

	Listen     netip.AddrPort // heartbeat: where beats come in
	Server     string         // heartbeat: of whom
	SecretFile string         // heartbeat: absolute
	Secret     Secret         // what was in SecretFile
	Socket     string         // watchdog
	PIDFile    string         // watchdog; "": any process

	Checks []string // all, any, quorum
}

// Combined tells that the check is one of other checks.
func (k Check) Combined() bool { return len(k.Checks) > 0 }

// CheckKind tells how something is tried.
type CheckKind string

const (
	CheckICMP    CheckKind = "icmp"
	CheckTCP     CheckKind = "tcp"
	CheckFile    CheckKind = "file"
	CheckProcess CheckKind = "process"
	CheckRoute   CheckKind = "route"
	CheckScript  CheckKind = "script"

	CheckHTTP      CheckKind = "http"
	CheckHTTPS     CheckKind = "https"
	CheckDNS       CheckKind = "dns"
	CheckUDP       CheckKind = "udp"
	CheckSMTP      CheckKind = "smtp"
	CheckHeartbeat CheckKind = "heartbeat" // pushed by a server, or asked for
	CheckWatchdog  CheckKind = "watchdog"  // a timer that a local service resets

	CheckAll    CheckKind = "all" // of other checks
	CheckAny    CheckKind = "any"
	CheckQuorum CheckKind = "quorum"
)

// Bond is an aggregate of links, a bond or a team, that is watched.
type Bond struct {
	Name            string
	MinLinks        int    // members that have to carry
	FailOn          FailOn // what puts routers in fault that track it without a weight
	WeightPerMember int    // to add to the priority of these for each lost member; 0: none
}

// FailOn says when a bond counts as down.
type FailOn string

const (
	FailOnCritical FailOn = "critical"  // too few members carry, or there is a critical finding
	FailOnMinLinks FailOn = "min_links" // too few members carry
)

// Guard says what is done when nodes lose sight of each other.
type Guard struct {
	Mode  GuardMode
	Limit time.Duration // hold: how long a takeover is put off, at most
	Check string        // name of the check of a neighbour that all nodes have; "": none
	Port  uint16        // of heartbeats; 0: that of the sessions
}

// GuardMode tells what follows when another node is active and unheard.
type GuardMode string

const (
	GuardAlarm GuardMode = "alarm" // as RFC 9568 says, and an alarm
	GuardHold  GuardMode = "hold"  // a takeover is put off for a while
	GuardOff   GuardMode = "off"
)

// Sessions says how established flows are kept on the other nodes.
type Sessions struct {
	Listen     []netip.AddrPort // the preferred one first
	Peers      []Peer
	SecretFile string // absolute, or relative to the configuration file's directory and joined with it
	Secret     Secret // what was in SecretFile; empty if the options said not to read it
	Mode       session.Mode
	Knobs      session.Knobs // of the mode, with what the file chooses of them
	Install    Install

	Mirror string // interface that packets are copied to the other node by; only with the knob
	Filter Filter // which connection events the kernel makes

	Journal    Journal
	JournalDir string // absolute

	Routed   bool          // flows count that no address of ours translates
	Networks []FlowNetwork // these alone; empty: any
	Classes  []FlowClass   // the first that matches counts
}

// FlowNetwork is a network whose flows are kept, and the router by which they come in.
type FlowNetwork struct {
	Prefix netip.Prefix
	Router string
}

// FlowClass says what becomes of flows of a kind.
type FlowClass struct {
	Protocol  uint8       // IP protocol number; 0: any
	Ports     []nat.Ports // of what is called; empty: any
	Replicate bool
	MinAge    time.Duration
}

// Peer is another node.
type Peer struct {
	Name      string
	Addresses []netip.AddrPort // where it listens, the preferred one first
}

// Install tells where a standby keeps the sessions of others.
type Install string

const (
	InstallHot      Install = "hot"      // in the kernel, so that a takeover has nothing to do
	InstallTakeover Install = "takeover" // in a table of its own, and in the kernel at a takeover
)

// Filter says whether the kernel makes only those connection events that are needed.
type Filter string

const (
	FilterAuto Filter = "auto" // where something is translated, and while nobody else hears them
	FilterOn   Filter = "on"
	FilterOff  Filter = "off"
)

// Journal says when sessions are written to disk.
type Journal string

const (
	JournalAuto   Journal = "auto"   // when the mode says so
	JournalAlways Journal = "always" // whatever it says
	JournalOff    Journal = "off"
)

// Defaults holds the value of each key that may be left out.
type Defaults struct {
	Router   Router
	Pace     garp.Pace // of a table that is there
	RA       ra.Params // its Lifetime is three times Interval, if left out
	Route    identity.Route
	Hop      identity.Hop
	Notify   Notify // its Timeout is less with WhenBefore
	Mappings Mappings
	Source   Source
	Static   Static
	Forward  Forward
	Entry    Entry
	Server   entry.Server
	Check    Check // its Timeout is Every, if left out
	Bond     Bond
	Sessions Sessions
	Class    FlowClass
	Guard    Guard
	Mail     Mail // its From is of Helo, which is the name of the machine
	Web      Web
	Watchdog Watchdog

	Forwarding bool
}

// Default returns the defaults. There is no other place for them;
// etc/understudy.toml and docs/configuration.md are compared with it.
func Default() Defaults {
	return Defaults{
		Router: Router{
			Priority:  100,         // RFC 9568 section 5.2.4
			Advertise: time.Second, // RFC 9568 section 6.1
			MAC:       MACInterface,
			Preempt:   true,
			Settle:    2 * time.Second,
			Accept:    true, // the RFC says false; a gateway that does not answer a ping of its address surprises people
			Checksum:  ChecksumAuto,
			AuthType:  AuthPass,
			Version:   3,

			LinkLocal: true, DownAdverts: 3, Assert: true, TrackOwn: true, UnicastTTL: 255,
		},
		Pace: garp.Pace{Repeat: 5, Again: 5 * time.Second, Refresh: garp.DefaultRefresh, RefreshRepeat: 1},
		RA: ra.Params{Interval: ra.DefaultInterval, HopLimit: ra.DefaultHopLimit, Preference: ra.Medium, // RFC 4861 section 6.2.1
			OnLink: true, Autonomous: true, Valid: ra.DefaultValid, Preferred: ra.DefaultPrefer},
		Route:    identity.Route{Kind: identity.Unicast, Table: identity.MainTable},
		Hop:      identity.Hop{Weight: 1},
		Notify:   Notify{When: WhenAfter, Timeout: 10 * time.Second, Arguments: ArgumentsNone},
		Mappings: Mappings{Unknown: UnknownReset, Moves: MoveBounds{Memory: 256, Connection: 4, Age: time.Hour}},
		Source:   Source{Ports: PortsShared, Onlink: true},
		Static:   Static{Onlink: true},
		Forward:  Forward{Onlink: true},
		Entry:    Entry{Config: entry.Config{Steer: entry.Primary, OnFailure: entry.Reset, How: entry.Lazy}},
		Server:   entry.Server{Weight: 1},
		Check: Check{Every: health.DefaultEvery, Rise: health.DefaultRise, Fall: health.DefaultFall,
			Min: 1, Table: mainTable,
			Method: "GET", Path: "/", Verify: true, Type: "SOA", Query: ".", RCode: "NOERROR", Helo: "understudy",
			Damp: health.Damp{Suppress: health.DampSuppress, Reuse: health.DampReuse}}, // its Longest is four half-lives
		Bond:     Bond{MinLinks: 1, FailOn: FailOnCritical},
		Sessions: Sessions{Mode: session.ModeHybrid, Install: InstallHot, Filter: FilterAuto, Journal: JournalAuto, JournalDir: "/var/lib/understudy/sessions", Routed: true},
		Class:    FlowClass{Replicate: true},
		Guard:    Guard{Mode: GuardAlarm, Limit: 10 * time.Second},
		Mail:     Mail{Timeout: 30 * time.Second, Faults: true, Tell: allMail},
		Web:      Web{Listen: netip.MustParseAddrPort("127.0.0.1:7790")},

		Forwarding: true, // a gateway
		Watchdog:   Watchdog{Timeout: 30 * time.Second},
	}
}

// GroupOf returns the group of the router with that name, nil if there is none.
func (c *Config) GroupOf(router string) *Group {
	for i := range c.Groups {
		for _, name := range c.Groups[i].Routers {
			if name == router {
				return &c.Groups[i]
			}
		}
	}
	return nil
}

// Router returns the router with that name, nil if there is none. Of two families
// it is IPv4; name, track and all else but the addresses are the same in both.
func (c *Config) Router(name string) *Router {
	for i := range c.Routers {
		if c.Routers[i].Name == name {
			return &c.Routers[i]
		}
	}
	return nil
}
