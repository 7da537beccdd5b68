package election

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"understudy/vrrp"
)

// Board is a page of memory that the election and the daemon share, and that
// outlives either of them. The election writes what it has last said on the
// wire, without a system call; when it has died, the daemon reads there whether
// a new one comes soon enough to go on.
//
// Times are nanoseconds of CLOCK_MONOTONIC, the same for every process.
type Board struct {
	file *os.File
	mem  []byte
	page *boardPage
	base monotonic
}

const (
	boardMagic  = 0x756e6465_72737401
	boardGroups = 255
)

// boardPage is the layout. Every field is written and read atomically.
type boardPage struct {
	magic  uint64
	alive  int64 // when the election's loop last turned
	groups [boardGroups]boardSlot
}

type boardSlot struct {
	name        uint64 // hash of the group's name; 0: unused
	lastAdvert  int64
	resumeUntil int64 // last advert + 2 intervals, the earliest of the group's routers; 0: nothing to resume
	interval    int64 // the longest of the group's routers, ns
	term        uint64
	highest     uint64 // the highest term used or heard of
	state       uint32
	claim       uint32
	_           [8]byte
}

// The claim decides between a new election that resumes and a daemon that lets
// go: who changes it from open has it.
const (
	claimNone uint32 = iota
	claimOpen
	claimResumed
	claimFenced
)

var errNotBoard = errors.New("election: not a board")

// NewBoard makes an empty board. Its file is for the children.
func NewBoard() (*Board, error) {
	fd, err := unix.MemfdCreate("understudy-board", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("election: board: %w", err)
	}
	file := os.NewFile(uintptr(fd), "board")
	size := int64(unsafe.Sizeof(boardPage{}))
	if err := file.Truncate(size); err != nil {
		file.Close()
		return nil, fmt.Errorf("election: board: %w", err)
	}
	// Nobody can shrink it under the other's feet.
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		file.Close()
		return nil, fmt.Errorf("election: seal the board: %w", err)
	}
	b, err := mapBoard(file)
	if err != nil {
		return nil, err
	}
	atomic.StoreUint64(&b.page.magic, boardMagic)
	return b, nil
}

// OpenBoard maps a board that was made by another process. It takes the file.
func OpenBoard(file *os.File) (*Board, error) {
	info, err := file.Stat()
	if err != nil || info.Size() < int64(unsafe.Sizeof(boardPage{})) {
		file.Close()
		return nil, errNotBoard
	}
	b, err := mapBoard(file)
	if err != nil {
		return nil, err
	}
	if atomic.LoadUint64(&b.page.magic) != boardMagic {
		b.Close()
		return nil, errNotBoard
	}
	return b, nil
}

func mapBoard(file *os.File) (*Board, error) {
	unix.CloseOnExec(int(file.Fd()))
	mem, err := unix.Mmap(int(file.Fd()), 0, int(unsafe.Sizeof(boardPage{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("election: map the board: %w", err)
	}
	return &Board{file: file, mem: mem, page: (*boardPage)(unsafe.Pointer(&mem[0])), base: newMonotonic()}, nil
}

// File is the board's descriptor, to be passed to a child process.
func (b *Board) File() *os.File { return b.file }

// Close unmaps the board; the other process keeps its own.
func (b *Board) Close() {
	if b.page != nil {
		_ = unix.Munmap(b.mem)
		b.page, b.mem = nil, nil
		b.file.Close()
	}
}

func (b *Board) slot(group string) *boardSlot {
	want := hash(group)
	for i := range b.page.groups {
		if s := &b.page.groups[i]; atomic.LoadUint64(&s.name) == want {
			return s
		}
	}
	return nil
}

// Layout makes the slots those of groups, in order, keeping what is known of
// them. Groups beyond 255 have none and are never resumed.
func (b *Board) Layout(groups []string) {
	if b.laidOut(groups) {
		return // as after a respawn, when the daemon may be about to claim a slot
	}
	var next [boardGroups]boardSlot
	for i, g := range groups[:min(len(groups), boardGroups)] {
		if old := b.slot(g); old != nil {
			next[i] = *old
		}
		next[i].name = hash(g)
	}
	for i := range next {
		from, to := &next[i], &b.page.groups[i]
		atomic.StoreInt64(&to.resumeUntil, 0) // nothing to read while it changes
		atomic.StoreUint64(&to.name, from.name)
		atomic.StoreInt64(&to.lastAdvert, from.lastAdvert)
		atomic.StoreInt64(&to.interval, from.interval)
		atomic.StoreUint64(&to.term, from.term)
		atomic.StoreUint64(&to.highest, from.highest)
		atomic.StoreUint32(&to.state, from.state)
		atomic.StoreUint32(&to.claim, from.claim)
		atomic.StoreInt64(&to.resumeUntil, from.resumeUntil)
	}
}

func (b *Board) laidOut(groups []string) bool {
	for i := range b.page.groups {
		want := uint64(0)
		if i < len(groups) {
			want = hash(groups[i])
		}
		if atomic.LoadUint64(&b.page.groups[i].name) != want {
			return false
		}
	}
	return true
}

// Alive notes that the loop turns.
func (b *Board) Alive(now time.Time) { atomic.StoreInt64(&b.page.alive, b.base.at(now)) }

// State notes a group's state. A group that is leaving is not to be resumed.
func (b *Board) State(slot int, state vrrp.State, leaving bool, term uint64) {
	if slot >= boardGroups {
		return
	}
	s := &b.page.groups[slot]
	if state != vrrp.Active || leaving {
		atomic.StoreInt64(&s.resumeUntil, 0)
	}
	atomic.StoreUint64(&s.term, term)
	atomic.StoreUint32(&s.state, uint32(state))
	b.Heard(slot, term)
}

// Heard notes a term of which somebody has said that it was used.
func (b *Board) Heard(slot int, term uint64) {
	if slot >= boardGroups {
		return
	}
	s := &b.page.groups[slot]
	atomic.StoreUint64(&s.highest, max(term, atomic.LoadUint64(&s.highest)))
}

// Advert notes that all routers of an Active group have been heard since until
// minus two intervals.
func (b *Board) Advert(slot int, last, until time.Time, interval time.Duration) {
	if slot >= boardGroups {
		return
	}
	s := &b.page.groups[slot]
	atomic.StoreInt64(&s.lastAdvert, b.base.at(last))
	atomic.StoreInt64(&s.interval, int64(interval))
	atomic.StoreInt64(&s.resumeUntil, b.base.at(until))
}

// Posted is what the board says of a group.
type Posted struct {
	GroupState
	LastAdvert  time.Duration // age of the last advert
	ResumeUntil time.Duration // from now; not positive: too late, or nothing to resume
	Interval    time.Duration
	Highest     uint64 // term used here or heard of
}

// Read tells what the board says of a group.
func (b *Board) Read(group string, now time.Time) (p Posted, ok bool) {
	s := b.slot(group)
	if s == nil {
		return Posted{}, false
	}
	at := b.base.at(now)
	p.GroupState = GroupState{Group: group, State: vrrp.State(atomic.LoadUint32(&s.state)), Term: atomic.LoadUint64(&s.term)}
	p.LastAdvert = time.Duration(at - atomic.LoadInt64(&s.lastAdvert))
	p.Interval = time.Duration(atomic.LoadInt64(&s.interval))
	p.Highest = atomic.LoadUint64(&s.highest)
	if until := atomic.LoadInt64(&s.resumeUntil); until != 0 && p.State == vrrp.Active {
		p.ResumeUntil = time.Duration(until - at)
	}
	return p, true
}

// Silence is how long ago the election's loop turned.
func (b *Board) Silence(now time.Time) time.Duration {
	return time.Duration(b.base.at(now) - atomic.LoadInt64(&b.page.alive))
}

// open offers a group to whoever claims it first.
func (b *Board) open(group string) {
	if s := b.slot(group); s != nil {
		atomic.StoreUint32(&s.claim, claimOpen)
	}
}

// claim takes the group if nobody else has.
func (b *Board) claim(group string, as uint32) bool {
	s := b.slot(group)
	return s != nil && atomic.CompareAndSwapUint32(&s.claim, claimOpen, as)
}

// mayResume tells whether a group's last advert is young enough, and takes it.
func (b *Board) mayResume(group string, now time.Time) bool {
	p, ok := b.Read(group, now)
	return ok && p.ResumeUntil > 0 && b.claim(group, claimResumed)
}

func hash(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	if v := h.Sum64(); v != 0 {
		return v
	}
	return 1
}

// monotonic turns a time.Time, whose monotonic reading counts from the start of
// its own process, into CLOCK_MONOTONIC.
type monotonic struct {
	at0 time.Time
	ns0 int64
}

// newMonotonic reads both clocks at one moment: of several tries the one that took the shortest,
// for between the two this process may be kept from running for long.
func newMonotonic() (m monotonic) {
	best := time.Duration(-1)
	for range 5 {
		var ts unix.Timespec
		before := time.Now()
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			panic(fmt.Sprintf("election: CLOCK_MONOTONIC: %v", err)) // not on any Linux
		}
		if took := time.Since(before); best < 0 || took < best {
			best, m = took, monotonic{at0: before.Add(took / 2), ns0: ts.Nano()}
		}
	}
	return m
}

func (m monotonic) at(t time.Time) int64 { return m.ns0 + int64(t.Sub(m.at0)) }
