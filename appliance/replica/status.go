package replica

import (
	"net/netip"
	"slices"
	"time"

	"understudy/nat/session"
)

// Status is the state of the engine at one moment.
type Status struct {
	Local, Foreign int  // sessions of groups that are Active here; held for peers
	Connected      bool // at least one peer
	Covered        bool // a connected peer has had a full transfer of what is Active here
	InSync         bool // for every group: it is Active here, or all its sessions are
	Lag            time.Duration
	Allowed        time.Duration // lag that the mode brings with it
	Dirty          int           // records that some peer was not sent yet
	Held           int           // of these, records that wait by the mode
	// NotReady says what this kernel lacks of what the sessions of peers need.
	NotReady []string
	// Offloaded counts flows of ours that a flowtable forwards past conntrack: what
	// becomes of them nobody is told, so the peers have them as they were before.
	Offloaded    int
	Young        int // flows that peers are not told of yet, by their class
	Overload     OverloadStatus
	Peers        []PeerStatus
	Groups       []GroupStatus
	LastTakeover *Takeover // nil: none yet
	Journal      JournalStatus
	Counters     Counters
}

// PeerStatus is the link to one peer.
type PeerStatus struct {
	Name      string
	Connected bool
	Addr      netip.AddrPort // the one of its addresses that it is told at
	Preferred bool           // that is the first of them
	// ConfigDiffers: the peer said another hash of what must be the same.
	ConfigDiffers bool
	Lag           time.Duration     // age of the oldest change that is not safe there, by the mode's Ack
	Table         session.TableSize // of its kernel, when it connected
	LastResync    time.Time         // when a full transfer, to it or from it, was last applied; zero: never
	Sender        session.SenderStats
	Receiver      session.ReceiverStats
}

// GroupStatus is the ownership of one group.
type GroupStatus struct {
	Name   string
	Active bool // here
	InSync bool
	// Incomplete: Active here without all the sessions of the last owner, who is
	// asked for them.
	Incomplete bool
	Term       uint64
	Holder     string // the node known to be Active
	Claimed    bool   // a connected peer says that it is Active, in whatever term
	Sessions   int
}

// Counters are totals since Open.
type Counters struct {
	Events      uint64 // conntrack events read
	Overruns    uint64 // times that events were lost
	Overloads   uint64 // times that it was no longer calm: see session.Overload
	Spared      uint64 // events passed over meanwhile
	Stray       uint64 // events of flows in groups that are not Active here
	Partial     uint64 // events of flows of which too little is known
	Unsupported uint64 // flows that cannot be moved
	Excluded    uint64 // events and dumped entries of flows that no peer is to hear of
	Full        uint64 // sessions refused: our table is full
	Dumps       uint64
	DumpErrors  uint64
	Swept       uint64 // sessions that a dump no longer showed
	Installed   uint64 // entries created in the kernel
	Updated     uint64 // entries updated or renewed
	Removed     uint64 // entries deleted on a peer's word
	Renewed     uint64
	Reinstalled uint64 // entries that the kernel lost by itself
	Stale       uint64 // entries removed because no peer vouched for them
	Clashes     uint64 // sessions that another flow of this kernel was in the way of
	KernelFull  uint64 // sessions refused: the kernel's table is full
	Errors      uint64 // other refusals of the kernel
	Strict      uint64 // flows that got their TCP window check back
	Liberal     uint64 // flows that could not
	Conflicts   uint64 // claims of another node to a group that is Active here
	Refused     uint64 // connections refused
	Expected    uint64 // expectations created in the kernel
	Bare        uint64 // entries installed without the helper or the master that they had
	Tunnels     uint64 // GRE tunnels that were taken over and ended for their silence
	Salvaged    uint64 // sessions taken from the last owner after an activation without them
}

// Status returns the engine's state.
func (e *Engine) Status() Status {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	s := Status{Counters: e.counters, InSync: true, Young: e.young.Len(), Allowed: e.allowed()}
	s.Overload = e.overloadStatus()
	active := e.owned()
	s.Offloaded, s.NotReady = e.offloaded, slices.Clone(e.ready.lacks)
	if active != e.groups.All() && len(s.NotReady) > 0 {
		s.InSync = false
	}
	for g := range e.cfg.Groups {
		st := e.groups.At(g)
		n, _ := e.table.Tally(g)
		gs := GroupStatus{Name: st.Name, Active: active.Has(g), InSync: e.inSync(g), Incomplete: e.lacking(g), Term: st.Term, Holder: st.Holder, Sessions: n}
		for _, p := range e.peers {
			gs.Claimed = gs.Claimed || p.receiver.Claims(g)
		}
		if active.Has(g) {
			s.Local += n
		} else {
			s.Foreign += n
		}
		s.InSync = s.InSync && gs.InSync
		s.Groups = append(s.Groups, gs)
	}
	for _, p := range e.peers {
		_, known := p.sender.Peer()
		s.Counters.Salvaged += p.receiver.Stats().Kept
		ps := PeerStatus{Name: p.Name, Connected: p.out != nil && known, Sender: p.sender.Stats(), Receiver: p.receiver.Stats()}
		synced, at := p.sender.Synced()
		if ps.LastResync = at; p.synced.After(ps.LastResync) {
			ps.LastResync = p.synced
		}
		if ps.Connected {
			ps.Addr, ps.Preferred = p.addresses()[p.at], p.at == 0
			s.Connected = true
			s.Covered = s.Covered || synced
			s.Dirty = max(s.Dirty, p.sender.Dirty())
			s.Held = max(s.Held, p.sender.Held())
			ps.Lag = e.lag(now, p)
			s.Lag = max(s.Lag, ps.Lag)
		}
		if h := p.receiver.Peer(); p.in != nil && h != nil {
			ps.Table = h.Table
			ps.ConfigDiffers = differs(h.Config, e.cfg.Hash)
		}
		s.Peers = append(s.Peers, ps)
	}
	if n := len(e.takeovers); n > 0 {
		t := *e.takeovers[n-1]
		t.Late = int(e.late() - t.lateBefore)
		s.LastTakeover = &t
	}
	s.Journal = e.diskStatus()
	return s
}

// inSync tells whether all sessions of group g are here, and in the kernel if they
// are to be there, and nothing there is left of an earlier life: a takeover has nothing
// to do. Held: e.mu.
func (e *Engine) inSync(g int) bool {
	st := e.groups.At(g)
	owned := st.Holder != "" // else nobody tells what is left
	return e.told(g) && (st.Active || e.kernelDone >= e.arrived[g] && !(owned && e.unaudited.Has(g)))
}

// told tells whether all sessions of group g are known here: it is Active here, or
// its owner sent them all and is still connected, or a connected peer says that
// nobody owns it. Held: e.mu.
func (e *Engine) told(g int) bool {
	st := e.groups.At(g)
	if st.Active {
		return !e.departing.Has(g)
	}
	for _, p := range e.peers {
		switch {
		case p.in == nil || p.receiver.Peer() == nil:
		case st.Holder == p.Name:
			return p.receiver.Synced(g)
		case st.Holder == "":
			return true
		}
	}
	return false
}

// Session is a session as [Engine.Sessions] shows it.
type Session struct {
	session.Record
	Group     string
	Local     bool // the group is Active here
	Installed bool // this box's kernel has it
	Young     bool // no peer is told of it yet
}

// Sessions calls fn for each session until it returns false. fn may be slow:
// the engine goes on meanwhile, so a session may be missed or shown twice.
func (e *Engine) Sessions(fn func(*Session) bool) {
	var slice []Session
	for from := session.Slot(0); ; {
		slice = slice[:0]
		e.mu.Lock()
		active := e.owned()
		end := e.table.Slots()
		to := min(from+256, end)
		e.table.Range(from, to, e.groups.All(), func(s session.Slot) bool {
			g := e.table.Group(s)
			v := Session{Group: e.cfg.Groups[g].Name, Local: active.Has(g), Installed: e.table.Installed(s), Young: e.table.Young(s)}
			e.table.Record(s, &v.Record)
			slice = append(slice, v)
			return true
		})
		e.mu.Unlock()
		for i := range slice {
			if !fn(&slice[i]) {
				return
			}
		}
		if from = to; from >= end {
			return
		}
	}
}
