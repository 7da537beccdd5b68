package daemon

import (
	"context"
	"errors"
	"time"

	"understudy/appliance/history"
)

// relieveBound is how long it may take from the word to the old election until the new one
// tells how things stand.
const relieveBound = 5 * time.Second

// UpgradeElection exchanges the election for one of this daemon's program, without a change
// of state where the group is Active: the new one is started first, and goes on where the old
// one was.
func (n *node) UpgradeElection(ctx context.Context) error {
	n.reloading.Lock() // what the election is told must not change meanwhile
	defer n.reloading.Unlock()
	if n.opt.RelieveElection == nil {
		return errors.New("upgrade: the election of this process cannot be exchanged; restart the service instead")
	}
	select {
	case <-n.attachedC: // of an earlier one
	default:
	}
	n.history.note(history.Operator, history.OrderUpgradeElection, "the election makes way for one of version "+n.opt.Version)
	if err := n.client.Relieve(n.opt.RelieveElection); err != nil {
		n.log.Error("the election is not exchanged", "err", err)
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, relieveBound)
	defer cancel()
	select {
	case <-n.attachedC:
		n.log.Info("another election is at work", "version", n.opt.Version)
		return nil
	case <-ctx.Done():
		n.client.Retain()
		return errors.New("upgrade: the election does not go; the one that is there goes on")
	}
}
