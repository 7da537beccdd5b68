package replica

import (
	"slices"
	"time"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// A standby is ready if its kernel can hold what the flows need: it is asked, by
// entries in a zone of their own, as soon as a flow needs something new, and then
// now and then, as rules and modules come and go.

const (
	probeEvery = 60 * time.Second
	probeAgain = 5 * time.Second // while something is missing
)

// readiness is what is known of that. Guarded by mu.
type readiness struct {
	needs conntrack.Needs
	due   time.Time
	lacks []string
	size  session.TableSize // of this kernel's table, as last read
	full  uint64            // Counters.KernelFull at the last look
}

// need notes what the first n records of the batch need. Held: e.mu.
func (e *Engine) need(n int) {
	for i := range n {
		if b := &e.batch; b.work[i].Op == session.OpUpsert && e.ready.needs.Add(&b.recs[i]) {
			e.ready.due = time.Time{}
			kick(e.dump)
		}
	}
}

// probe asks the kernel, if that is due.
func (e *Engine) probe(now time.Time) {
	e.mu.Lock()
	due, cold := !now.Before(e.ready.due), e.cold() != 0
	e.mu.Unlock()
	if due && cold {
		e.needOfTable()
	}
	e.mu.Lock()
	needs := e.ready.needs
	if due {
		e.ready.due = now.Add(probeEvery)
	}
	e.mu.Unlock()
	if !due {
		return
	}
	var lacks []string
	if needs != (conntrack.Needs{}) {
		e.dumpMu.Lock()
		found, err := e.dumper.Probe(&needs)
		e.dumpMu.Unlock()
		if err != nil {
			e.report("probe", err)
			return
		}
		lacks = append(found, e.hooks(&needs)...)
	}
	lacks = append(lacks, e.room()...)
	e.mu.Lock()
	changed := !slices.Equal(lacks, e.ready.lacks)
	e.ready.lacks = lacks
	if len(lacks) > 0 {
		e.ready.due = now.Add(probeAgain)
	}
	e.mu.Unlock()
	if changed {
		e.log.Warn("what this kernel lacks for the sessions has changed", "lacks", lacks)
		e.notify(Change{Kind: SyncChanged})
	}
}

// hooks looks for NAT chains: the kernel accepts a translation without, and does not
// translate.
func (e *Engine) hooks(needs *conntrack.Needs) (lacks []string) {
	if e.cfg.NATHooks == nil {
		return nil
	}
	four, six, err := e.cfg.NATHooks()
	if err != nil {
		e.report("probe", err)
		return nil
	}
	if needs.NAT4 && !four {
		lacks = append(lacks, "a NAT chain of IPv4: what is installed would not be translated")
	}
	if needs.NAT6 && !six {
		lacks = append(lacks, "a NAT chain of IPv6: what is installed would not be translated")
	}
	return lacks
}
