package replica

// ChangeKind is the kind of a [Change].
type ChangeKind uint8

const (
	PeerUp        ChangeKind = iota // a peer can be told our sessions
	PeerDown                        // it cannot any more
	PeerSynced                      // a peer has applied a full transfer
	SyncChanged                     // in sync or not may have changed: see Status
	TermHeard                       // a new term of a group, or our own was raised
	Conflict                        // another node claims a group that is Active here
	Overrun                         // events were lost; a dump follows
	Clash                           // a session that another flow was in the way of
	ConfigDiffers                   // a peer's configuration hash is another
	Overloaded                      // more, or less, than this node can handle: see Status
)

// String is the word that logs use.
func (k ChangeKind) String() string {
	switch k {
	case PeerUp:
		return "peer-up"
	case PeerDown:
		return "peer-down"
	case PeerSynced:
		return "peer-synced"
	case SyncChanged:
		return "sync-changed"
	case TermHeard:
		return "term-heard"
	case Conflict:
		return "conflict"
	case Overrun:
		return "overrun"
	case Clash:
		return "clash"
	case ConfigDiffers:
		return "config-differs"
	case Overloaded:
		return "overloaded"
	}
	return "unknown"
}

// Change tells that something happened. The state is in [Engine.Status]; a
// Change only says that it is time to look, except TermHeard and Conflict, whose
// Term matters.
type Change struct {
	Kind  ChangeKind
	Peer  string
	Group string
	Term  uint64
}

// Notify returns the channel of changes. It holds 64; when nobody reads, the
// oldest are dropped, so what is read is as new as can be.
func (e *Engine) Notify() <-chan Change { return e.changes }

func (e *Engine) notify(changes ...Change) {
	for _, c := range changes {
		for sent := false; !sent; {
			select {
			case e.changes <- c:
				sent = true
			default:
				select {
				case <-e.changes:
				default:
				}
			}
		}
	}
}
