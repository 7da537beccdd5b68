package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance"
	"understudy/appliance/identity"
	"understudy/appliance/kernel"
	"understudy/health"
	"understudy/nat/nft"
	"understudy/vrrp/election"
	"understudy/vrrp/witness"
)

// electionEdge is the runner's view of the election process, over the client.
type electionEdge struct {
	client *election.Client
	log    *slog.Logger
	fences *fences
	// respawn starts a new election process; it runs on its own, because the
	// runner must not wait.
	respawn func(resume []appliance.GroupState)

	weights map[string]int                      // by group, as told last
	weighed func(group string, was, weight int) // hears of changes
}

func (e *electionEdge) send(m election.Message) {
	if err := e.client.Send(m); err != nil && !errors.Is(err, election.ErrLost) {
		e.log.Error("telling the election process", "err", err)
	}
}

func (e *electionEdge) Ready()                 { e.fences.sendAll(e.send); e.send(election.Ready{}) }
func (e *electionEdge) Announced(group string) { e.send(election.Announced{Group: group}) }
func (e *electionEdge) HandOver(group string)  { e.send(election.HandOver{Group: group}) }
func (e *electionEdge) Stop()                  { e.send(election.Stop{}) }

func (e *electionEdge) Eligible(group string, ok bool, reason string) {
	e.send(election.Eligible{Group: group, OK: ok, Reason: reason})
}

func (e *electionEdge) Fault(group string, on bool, reason string) {
	e.send(election.Fault{Group: group, On: on, Reason: reason})
}

func (e *electionEdge) Weight(group string, weight int) {
	e.send(election.Weight{Group: group, Weight: weight})
	e.weighed(group, e.weights[group], weight)
	e.weights[group] = weight
}

func (e *electionEdge) Overlap(group string, ok bool) {
	e.send(election.Overlap{Group: group, OK: ok})
}

func (e *electionEdge) Neighbour(state health.State) {
	e.send(election.Neighbour{State: map[health.State]witness.Neighbour{
		health.Up: witness.NeighbourUp, health.Down: witness.NeighbourDown}[state]})
}

func (e *electionEdge) Term(group string, term uint64) {
	e.send(election.Term{Group: group, Term: term})
}

func (e *electionEdge) Respawn(resume []appliance.GroupState) { go e.respawn(resume) }

// fences prepares what the election process needs to take a group out of service
// without us: the messages are made beforehand, because when they are needed
// there may be nobody to make them.
type fences struct {
	addresses *kernel.Applier
	// gated names the addresses and devices behind a group's gate.
	gated func(group string) ([]netip.Addr, []string)
	log   *slog.Logger

	mu     sync.Mutex
	groups []appliance.GroupConfig
}

func (f *fences) set(groups []appliance.GroupConfig) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.groups = groups
}

func (f *fences) sendAll(send func(election.Message)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, g := range f.groups {
		send(f.prepare(g))
	}
}

func (f *fences) prepare(g appliance.GroupConfig) election.Fence {
	out := election.Fence{Group: g.Name}
	addresses, devices := f.gated(g.Name)
	if m := nft.GateCloseMessage(addresses, devices...); len(m) > 0 {
		out.GateClose = append(out.GateClose, election.NetlinkBatch{Family: unix.NETLINK_NETFILTER, Bytes: m})
	}
	batches, err := f.addresses.RemoveMessages(g.Identity)
	if err != nil {
		// An interface is missing: nothing of ours can be on it, and the fence is
		// made again when it appears.
		f.log.Debug("fence without some addresses", "group", g.Name, "err", err)
	}
	for _, b := range batches {
		out.Remove = append(out.Remove, election.NetlinkBatch{Family: unix.NETLINK_ROUTE, Bytes: b})
	}
	down, err := f.addresses.DownMessages(g.Identity)
	if err != nil {
		f.log.Debug("fence without some devices", "group", g.Name, "err", err)
	}
	for _, b := range down {
		out.Lower = append(out.Lower, election.NetlinkBatch{Family: unix.NETLINK_ROUTE, Bytes: b})
	}
	return out
}

func gatedDevices(id identity.Identity) []string {
	out := make([]string, 0, len(id.Devices))
	for _, d := range id.Devices {
		out = append(out, d.Name)
	}
	return out
}

// statsBound is how long a status waits for the election's part of it.
const statsBound = 500 * time.Millisecond

// asker pairs questions to the election process with their answers, which come
// back among all other messages. One question is open at a time.
type asker[M election.Message] struct {
	mu      sync.Mutex
	answerC chan M
}

func newAsker[M election.Message]() *asker[M] { return &asker[M]{answerC: make(chan M, 1)} }

// answered hands an answer over; one nobody waits for is dropped.
func (a *asker[M]) answered(m M) {
	select {
	case a.answerC <- m:
	default:
	}
}

func (a *asker[M]) ask(ctx context.Context, bound time.Duration, question func() error) (m M, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case <-a.answerC: // late, and for an earlier question
	default:
	}
	if err := question(); err != nil {
		return m, err
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	select {
	case m = <-a.answerC:
		return m, nil
	case <-ctx.Done():
		return m, errors.New("the election process does not answer")
	}
}
