package lacp

// Mode is how a bond uses its members.
type Mode uint8

// The modes.
const (
	ModeUnknown      Mode = iota // nothing is judged but the links
	ModeLACP                     // 802.3ad, or a team with its LACP runner
	ModeActiveBackup             // one member carries, the others wait
	ModeBalance                  // all members carry, without asking the far end: balance-rr, -xor, -tlb, -alb, broadcast
)

var modeNames = [...]string{"unknown", "lacp", "active-backup", "balance"}

// String is the mode's name.
func (m Mode) String() string {
	if int(m) < len(modeNames) {
		return modeNames[m]
	}
	return "unknown"
}

// MII is what the driver's own monitor (MII or ARP) says of a member. The values
// but the first are one above the kernel's.
type MII uint8

// What it may say.
const (
	MIIUnknown MII = iota
	MIIUp
	MIIFailing // going down, after a delay
	MIIDown
	MIIBack // coming up, after a delay
)

// Bond is how a bond and its members stand by the kernel's word. What the kernel
// does not tell is left zero, which means not known.
type Bond struct {
	Mode        Mode
	Carrier     bool
	System      MAC    // our system identifier
	Aggregator  uint16 // the active one
	PartnerMAC  MAC    // system of the active aggregator's partner
	PartnerKey  uint16 // of the active aggregator
	MinLinks    int    // the driver's own min_links
	Rate        Rate   // lacp_rate: the timeout that we ask our partner to serve
	ActiveSlave string // active-backup: the member that carries
	Members     []Member
}

// Rate is a bond's lacp_rate.
type Rate uint8

// The rates.
const (
	RateUnknown Rate = iota
	RateSlow
	RateFast
)

// Member is how a link of a bond stands by the kernel's word.
type Member struct {
	Interface    string
	Carrier      bool
	MII          MII
	Active       bool   // the driver puts frames on it
	LinkFailures uint32 // since it joined the bond
	Aggregator   uint16
	Speed        uint32 // Mbit/s
	HalfDuplex   bool

	// LACP: both ends, as the driver sees them. Netlink has the states only.
	HasStates     bool // Actor.State and Partner.State are known
	HasIdentities bool // and so is the rest of them
	Actor         Info
	Partner       Info
}

// up reports whether the link can carry anything.
func (m *Member) up() bool { return m.Carrier && m.MII != MIIDown }
