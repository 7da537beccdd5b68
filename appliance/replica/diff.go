package replica

import (
	"context"
	"errors"
	"fmt"
	"time"

	"understudy/nat/session"
)

// Diff is how the sessions of a peer differ from those of this node.
type Diff struct {
	Peer string
	// Flows that differ, at most diffFlows. Truncated: there are more.
	Flows     []FlowDiff
	Truncated bool
	// Asked tells whether the peer itself was: one of the last version cannot be, and
	// then only what it has not acknowledged is known.
	Asked bool
}

// FlowDiff is a flow that two nodes do not have alike.
type FlowDiff struct {
	session.Record // as it is here; of one that only the peer has, just the key
	Group          string
	What           session.DifferenceKind
	Why            string // a word: that of a session.Standing, or missing
	Detail         string // in words, where the word does not say all
}

// diffFlows bounds what a Diff names.
const diffFlows = 1 << 16

// settleDiff is how long what is found may be on its way, before it is asked of
// once more.
const settleDiff = 250 * time.Millisecond

// Errors of Diff.
var (
	ErrUnknownPeer  = errors.New("replica: no such peer")
	ErrNotConnected = errors.New("replica: the peer is not connected: what it has is not known")
	errInterrupted  = errors.New("replica: interrupted: the link was lost, or somebody else asks the same")
)

// Diff compares the sessions with those of a peer, the one that has most if no name
// is given: what it lacks, and why; what it has in another state; what only it has.
// It disturbs nothing: the table is looked at in slices, and what is asked is little
// beside the sessions. Flows that the peer sees the packets of are not compared.
func (e *Engine) Diff(ctx context.Context, name string) (Diff, error) {
	e.mu.Lock()
	p := e.byName[name]
	if name == "" {
		p = e.best()
	}
	if p == nil {
		e.mu.Unlock()
		return Diff{}, fmt.Errorf("%w: %q", ErrUnknownPeer, name)
	}
	_, known := p.sender.Peer()
	connected := p.out != nil && known
	e.mu.Unlock()
	if !connected {
		return Diff{}, ErrNotConnected
	}
	d := Diff{Peer: p.Name, Asked: true}
	named := map[session.Key]bool{}
	e.census(p, func(s session.Slot, st session.Standing, why session.Refusal) {
		f := FlowDiff{Group: e.cfg.Groups[e.table.Group(s)].Name, What: session.PeerLacks, Why: st.String()}
		if st == session.StandRefused {
			f.Detail = why.String()
		}
		e.table.Record(s, &f.Record)
		d.add(&f)
		named[f.Key] = true
	})
	found, cut, err := e.survey(ctx, p)
	if errors.Is(err, session.ErrSurvey) {
		d.Asked = false
		return d, nil
	}
	if err != nil {
		return d, err
	}
	d.Truncated = d.Truncated || cut
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range found {
		x := &found[i]
		if named[x.Key] {
			continue
		}
		f := FlowDiff{Group: e.cfg.Groups[x.Group].Name, What: x.What, Why: "missing"}
		if x.Stand != session.Told {
			f.Why = x.Stand.String()
		}
		if s, ok := e.table.Lookup(&x.Key); ok {
			e.table.Record(s, &f.Record)
		}
		f.Key = x.Key
		if e.cfg.Knobs.Mirror && x.What != session.PeerExtra && e.alike(&f.Record) {
			continue // the peer's kernel has it from its packets; the next audit tells
		}
		d.add(&f)
	}
	return d, nil
}

func (d *Diff) add(f *FlowDiff) {
	if len(d.Flows) == diffFlows {
		d.Truncated = true
		return
	}
	d.Flows = append(d.Flows, *f)
}

// survey asks p what it has of all groups.
func (e *Engine) survey(ctx context.Context, p *peer) (found []session.Difference, cut bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	v, err := p.sender.Survey(e.groups.All())
	if err != nil {
		return nil, false, err
	}
	again := false
	for {
		more := v.Step(censusSlots)
		switch {
		case v.Broken():
			return nil, false, errInterrupted
		case ctx.Err() != nil:
			return nil, false, fmt.Errorf("replica: the peer has not answered: %w", ctx.Err())
		case !v.Idle():
			kick(p.send)
		}
		pause := time.Millisecond
		if v.Over() {
			if found, cut = v.Found(); again || len(found) == 0 {
				return found, cut, nil
			}
			pause = settleDiff
		}
		e.mu.Unlock()
		if !more {
			sleep(ctx, pause)
		}
		e.mu.Lock()
		if pause == settleDiff && v.Over() {
			again = v.Again()
		}
	}
}
