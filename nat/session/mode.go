package session

import "time"

// Mode is an approach of checkpointing, by its word in the configuration. Behind
// each: the survey's word for it, and what a crash of the owner can lose.
type Mode string

const (
	// Leader and follower (semi-active replication): what the leader decided for a
	// flow is told with the flow's first packet. Lost: the last milliseconds.
	ModeLeaderFollower Mode = "leader-follower"
	// Incremental checkpointing. Lost: flows answered in the last milliseconds.
	ModeIncremental Mode = "incremental"
	// Time-line checkpointing. Lost: what was born since the last dump began.
	ModePeriodic Mode = "periodic"
	// Message logging by dependencies. Lost: less than Batch changes, of the time since
	// an audit was possible at most ([Knobs.Bound]).
	ModeLogDependency Mode = "log-dependency"
	// Optimistic message logging. Lost: the changes of the last Every, or Batch of
	// them, and what was on the link.
	ModeLogOptimistic Mode = "log-optimistic"
	// Active replication: all nodes see the packets. Lost: of what they translate
	// alike nothing; of other flows as with incremental.
	ModeActive Mode = "active"
	// Hybrid: incremental to the peers, a log on disk while there is none, audits.
	// Lost: as with incremental; of both nodes the log's last moments.
	ModeHybrid Mode = "hybrid"
)

// Knobs are what a mode is made of. The zero value is incremental.
type Knobs struct {
	// Trigger: a change waits for others for Every at most (0: no clock), until Batch
	// wait (0: no count), or, with Crossing, until a flow depends on another one
	// (a related flow, an expectation). Neither clock nor count: it does not wait.
	Every    time.Duration
	Batch    int
	Crossing bool
	// Harvest: the kernel's table is read each Every; that flows begin and change is
	// not listened to.
	Dump bool
	// A flow is told with its first packet, not only when it is answered; the age
	// that its class asks for does not count.
	Early bool
	// Unit: each change is told, and everything when a link begins or an audit finds a
	// difference. With Mirror that alone is told of flows that all nodes make alike.
	Mirror bool
	// Sinks: the peers, whose own affair is whether that is their kernel or their
	// table, and the disk.
	Disk Disk
	// Ack: what must have come back before a change counts as safe.
	Ack Ack
}

// Disk says when changes go to a disk.
type Disk uint8

const (
	DiskNever Disk = iota
	DiskAlone      // while no connected peer has all of them
	DiskAlways
)

// Ack is what makes a change safe.
type Ack uint8

const (
	AckApplied  Ack = iota // the peer's kernel has it, or what the peer keeps instead
	AckReceived            // the peer's table has it
	AckNone                // it was sent
)

func (a Ack) String() string { return [...]string{"applied", "received", "none"}[a] }

// KnobsOf returns the knobs of a mode, and whether there is such a mode. An every or
// batch of 0 takes the mode's own; a mode that has none does not look at it.
func KnobsOf(m Mode, every time.Duration, batch int) (Knobs, bool) {
	k, ok := map[Mode]Knobs{
		ModeLeaderFollower: {Early: true},
		ModeIncremental:    {},
		ModePeriodic:       {Every: 10 * time.Second, Dump: true},
		ModeLogDependency:  {Batch: 256, Crossing: true, Disk: DiskAlways, Ack: AckReceived},
		ModeLogOptimistic:  {Every: time.Second, Batch: 256, Disk: DiskAlways, Ack: AckNone},
		ModeActive:         {Mirror: true},
		ModeHybrid:         {Disk: DiskAlone},
	}[m]
	if every > 0 && k.Every > 0 {
		k.Every = every
	}
	if batch > 0 && k.Batch > 0 {
		k.Batch = batch
	}
	return k, ok
}
