package replica

import (
	"time"

	"understudy/appliance/replica/journal"
	"understudy/nat/session"
)

// What is kept on disk: for the box that boots after a power cut and finds nobody who
// has its sessions. It is a sink as peers are; what of it is restored rests in the
// table, and in no kernel, until its group is Active here or a peer tells what is.

// JournalConfig says what is kept on disk, and where.
type JournalConfig struct {
	Dir  string // empty: nothing is
	When JournalWhen
	// Create makes a file; nil: on the disk. For tests of disks that fail.
	Create func(path string) (journal.File, error)
}

// JournalWhen says when sessions are written to disk.
type JournalWhen string

const (
	JournalAuto   JournalWhen = "auto" // when the mode says so; the zero value too
	JournalAlways JournalWhen = "always"
	JournalOff    JournalWhen = "off"
)

const (
	// aloneFor is how long nobody has had all sessions before they are written, and
	// vouchedFor how long others must have had them before what was written goes: a
	// link that flaps costs no snapshot each time.
	aloneFor   = time.Second
	vouchedFor = 10 * time.Second
	// restFor bounds how long restored sessions wait for their group: whoever speaks
	// TCP has given up by then.
	restFor = 15 * time.Minute
)

// disk is the journal as the engine has it. All but files is guarded by e.mu.
type disk struct {
	files *journal.Journal // nil: no directory
	book  *session.Journal
	self  session.JournalHead // Node and Kernel

	wrote          bool
	alone, vouched time.Time // since when; zero: it is not so

	terms    [session.MaxGroups]uint64 // of what rests
	since    time.Time                 // of the restoring
	wakeAt   [session.MaxGroups]time.Time
	restored int
	outcome  string // what became of the journal that was found
}

// JournalStatus is what is kept on disk.
type JournalStatus struct {
	journal.Status
	// Restored is how many sessions came from it at the start, and Outcome says more;
	// empty, if there was none.
	Restored int
	Outcome  string
}

// JournalUnused is the state of a journal that is not to be written.
const JournalUnused journal.State = "off"

func (e *Engine) openDisk() {
	e.disk.book = session.NewJournal(e.table, e.groups)
	if e.cfg.Journal.Dir == "" {
		return
	}
	e.disk.files = journal.New(journal.Config{Dir: e.cfg.Journal.Dir, Create: e.cfg.Journal.Create, Logger: e.log})
	e.disk.self.Node = e.cfg.Node
	err := e.cfg.Namespace(func() (err error) { e.disk.self.Kernel, err = journal.ThisKernel(); return err })
	if err != nil {
		e.log.Warn("which kernel this is cannot be told", "err", err)
	}
	if e.diskPolicy() != session.DiskNever {
		e.restore()
	}
}

// diskPolicy is when the journal is written. Held: e.mu, once the engine runs.
func (e *Engine) diskPolicy() session.Disk {
	switch {
	case e.disk.files == nil || e.cfg.Journal.When == JournalOff:
		return session.DiskNever
	case e.cfg.Journal.When == JournalAlways:
		return session.DiskAlways
	}
	return e.cfg.Knobs.Disk
}

// stamp is now, by both clocks.
func (e *Engine) stamp(now time.Time) session.Stamp {
	at, err := journal.StampOf(now)
	if err != nil {
		e.log.Debug("clock not read", "err", err)
	}
	return at
}

// wantsDisk says what is to become of the journal. Held: e.mu.
func (e *Engine) wantsDisk(now time.Time) journal.Want {
	d := &e.disk
	switch e.diskPolicy() {
	case session.DiskNever:
		if d.wrote {
			d.wrote = false
			return journal.Drop // as things are now nobody must find it
		}
		return journal.Leave
	case session.DiskAlways:
		d.wrote = true
		return journal.Write
	}
	lasts := func(since *time.Time, on bool, least time.Duration) bool {
		switch {
		case !on:
			*since = time.Time{}
		case since.IsZero():
			*since = now
		}
		return on && now.Sub(*since) >= least
	}
	alone := e.groups.Active() != 0 && !e.anySynced()
	vouched := true
	for g := range e.cfg.Groups {
		vouched = vouched && e.vouched(g)
	}
	switch {
	case lasts(&d.alone, alone, aloneFor):
		d.vouched, d.wrote = time.Time{}, true
		return journal.Write
	case lasts(&d.vouched, vouched, vouchedFor):
		return journal.Drop
	}
	return journal.Leave
}

// anySynced tells whether a connected peer has all that is Active here. Held: e.mu.
func (e *Engine) anySynced() bool {
	for _, p := range e.peers {
		if synced, _ := p.sender.Synced(); p.out != nil && synced {
			return true
		}
	}
	return false
}

// vouched tells whether there is another box that has, or has judged, all that this
// one knows of group g. Held: e.mu.
func (e *Engine) vouched(g int) bool {
	st := e.groups.At(g)
	if st.Active {
		return !st.Partial && !st.Incomplete && !e.table.Resting().Has(g) && e.anySynced()
	}
	n, _ := e.table.Tally(g)
	for _, p := range e.peers {
		if p.in != nil && p.receiver.Peer() != nil && (n == 0 || st.Holder == p.Name && p.receiver.Synced(g)) {
			return true
		}
	}
	return false
}

// diskSource is the engine as the journal's writer sees it.
type diskSource struct{ *Engine }

func (e diskSource) Wants(now time.Time) (journal.Want, time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var pace time.Duration
	if e.cfg.Knobs.Disk == session.DiskAlways { // else it is how peers are told
		pace = e.cfg.Knobs.Every
	}
	return e.wantsDisk(now), pace
}

func (e diskSource) Due(now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.disk.book.Due(now)
}

func (e diskSource) Head(now time.Time, sequence uint64, snapshot bool) session.JournalHead {
	at := e.stamp(now)
	e.mu.Lock()
	defer e.mu.Unlock()
	if snapshot {
		e.disk.book.Snapshot(now, sequence)
	}
	h := e.disk.book.Head(at, sequence, e.table.Resting())
	h.Node, h.Kernel, h.Config, h.Snapshot = e.disk.self.Node, e.disk.self.Kernel, e.cfg.Hash, snapshot
	return h
}

func (e diskSource) Fill(now time.Time, b []byte) ([]byte, int, bool) {
	at := e.stamp(now)
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.disk.book.Fill(at, b)
}

func (e diskSource) Stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.disk.book.Stop()
}

// diskStatus describes the journal. Held: e.mu.
func (e *Engine) diskStatus() JournalStatus {
	d := &e.disk
	s := JournalStatus{Restored: d.restored, Outcome: d.outcome}
	if d.files != nil {
		s.Status = d.files.Status()
	}
	if e.diskPolicy() == session.DiskNever {
		s.State = JournalUnused
	}
	return s
}
