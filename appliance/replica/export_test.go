package replica

import (
	"fmt"
	"time"

	"understudy/nat/session"
)

// Tombstones is how many deletions somebody has yet to hear of.
func (e *Engine) Tombstones() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.table.Tombstones()
}

// Digest is equal on two engines that have the same sessions, to the last bit that
// travels.
func (e *Engine) Digest() (out string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for g := range e.cfg.Groups {
		n, sum := e.table.Tally(g)
		out += fmt.Sprintf("%s: %d sessions, %#x\n", e.cfg.Groups[g].Name, n, sum)
	}
	return out
}

// DiskDirty is how many records are yet to be written to disk.
func (e *Engine) DiskDirty() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.table.Dirty(session.SinkDisk)
}

// HoldInstalls keeps the kernel from being told anything until the returned function is
// called.
func (e *Engine) HoldInstalls() (release func()) {
	e.kmu.Lock()
	return e.kmu.Unlock
}

// Told tells whether all sessions of the first group are known.
func (e *Engine) Told() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.told(0)
}

// HoldDumps keeps dumps of the kernel waiting until the returned function is called.
func (e *Engine) HoldDumps() (release func()) {
	e.dumpMu.Lock()
	return e.dumpMu.Unlock
}

// EndSalvage has the first group wait for nobody any more, as it does after a while.
func (e *Engine) EndSalvage() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.salvages[0].on {
		e.endSalvage(time.Now(), 0)
	}
}

// YoungOf is how many young flows a peer has said that it holds back.
func (e *Engine) YoungOf(peer string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.byName[peer].receiver.Outlook()
	return o.Young
}
