package daemon

import (
	"context"
	"errors"

	"understudy/appliance"
	"understudy/vrrp"
	"understudy/vrrp/election"
)

// readElection turns what the election process says into events. It ends when
// ctx does; a dead election is reported to Core, which decides how to go on.
func (n *node) readElection(ctx context.Context) error {
	stop := context.AfterFunc(ctx, n.client.Interrupt)
	defer stop()
	for {
		m, err := n.client.Recv()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, election.ErrLost):
			n.runner.Post(appliance.ElectionLost{Resume: groupStates(n.client.Resumable())})
			if err := n.awaitRespawn(ctx); err != nil {
				return err
			}
			continue
		case err != nil:
			n.log.Error("message from the election process", "err", err)
			continue
		}
		n.onElection(ctx, m)
	}
}

func (n *node) onElection(ctx context.Context, m election.Message) {
	switch m := m.(type) {
	case election.Attached:
		n.noteTerms(m.Groups)
		n.runner.Post(appliance.Attached{Groups: groupStates(m.Groups)})
		select {
		case n.attachedC <- struct{}{}:
		default:
		}
	case election.Transition:
		n.saysTransition(ctx, m)
		n.runner.Post(appliance.Transition{
			GroupState: appliance.GroupState{Group: m.Group, State: m.To, Term: m.Term, Leaving: m.Leaving},
			Cause:      m.Cause, Late: m.Decided.Since(), Heard: m.Heard,
		})
	case election.Inferior:
		n.outranks(m)
	case election.Fenced:
		if m.Error != "" {
			n.log.Error("the fence was not complete", "group", m.Group, "err", m.Error)
		}
		n.runner.Post(appliance.Fenced{Group: m.Group})
	case election.Found:
		n.runner.Post(appliance.Guarded{Findings: findings(m.Findings)})
	case election.Reclaim:
		n.runner.Post(appliance.Reclaimed{Group: m.Group})
	case election.Stats:
		n.stats.answered(m)
	case election.Configured:
		n.configured.answered(m)
	case election.Reload:
		go n.reloadAsked(ctx)
	case election.Request:
		go n.requested(ctx, m.What)
	case election.Stop:
		n.spoken.stopping.Store(true)
		n.runner.Post(appliance.Stop{})
	}
}

// noteTerms tells the session plane which terms this node has been Active in, for
// those groups that it is not Active for: a daemon that has just started knows of
// none, and its peers may have missed one.
func (n *node) noteTerms(groups []election.GroupState) {
	if n.sessions == nil {
		return
	}
	for _, g := range groups {
		if g.State != vrrp.Active {
			n.sessions.SetTerm(g.Group, g.Term)
		}
	}
}

// respawn starts a new election process in place of the dead one.
func (n *node) respawn(resume []appliance.GroupState) {
	states := make([]election.GroupState, 0, len(resume))
	for _, g := range resume {
		states = append(states, election.GroupState{Group: g.Group, State: g.State, Term: g.Term, Leaving: g.Leaving})
	}
	n.respawned <- n.client.Respawn(states)
}

func (n *node) awaitRespawn(ctx context.Context) error {
	select {
	case err := <-n.respawned:
		return err // without an election process this daemon is of no use
	case <-ctx.Done():
		return nil
	}
}

func groupStates(in []election.GroupState) []appliance.GroupState {
	out := make([]appliance.GroupState, 0, len(in))
	for _, g := range in {
		out = append(out, appliance.GroupState{Group: g.Group, State: g.State, Term: g.Term, Leaving: g.Leaving})
	}
	return out
}
