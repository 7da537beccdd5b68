package daemon

import (
	"errors"
	"slices"

	"understudy/appliance"
	"understudy/appliance/kernel"
	"understudy/nat/nft"
)

// recopy has the rules on interfaces follow an interface that is new: they hang on the
// one that was there before, and until then no copy leaves by it.
func (n *node) recopy(ev kernel.Event) {
	m := n.settled.current().Mirror
	if m == nil || ev.Interface != m.Link && !slices.Contains(m.Data, ev.Interface) {
		return
	}
	if err := n.sysctls.Apply(settings(n.settled.config())); err != nil {
		n.log.Debug("sysctls of a new interface", "err", err)
	}
	n.repairTable()
}

// mirrorDown says what is wrong with the interface that packets are copied by; empty:
// nothing, or there are no copies.
func (n *node) mirrorDown() string {
	m := n.settled.current().Mirror
	if m == nil {
		return ""
	}
	l, err := n.addresses.Link(m.Link)
	return mirrorLack(m.Link, l, err)
}

func mirrorLack(name string, l kernel.Link, err error) string {
	switch {
	case errors.Is(err, kernel.ErrNoInterface):
		return "there is no interface " + name + ": packets are not copied to the other node"
	case err != nil:
		return name + ": " + err.Error()
	case !l.Up || !l.Running:
		return name + " is down: packets are not copied to the other node"
	}
	return ""
}

func mirrorStatus(c nft.Counters) *appliance.MirrorStatus {
	return &appliance.MirrorStatus{Copied: c.Copied, Taken: c.Taken, KeptIn: c.KeptIn, Silenced: c.Silenced}
}
