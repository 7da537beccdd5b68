package daemon

import (
	"context"
	"slices"
	"time"

	"understudy/appliance"
	"understudy/appliance/config"
	"understudy/appliance/identity"
	"understudy/appliance/kernel"
	"understudy/vrrp/election"
)

// settleSoon wakes settle; it does not wait for it.
func (n *node) settleSoon() {
	select {
	case n.settleC <- struct{}{}:
	default:
	}
}

// settleRetry is the pause after something could not be done.
const settleRetry = time.Second

// settle does what the holder leaves for later: devices that are not wanted any
// more are taken down, one by one, because each takes the kernel milliseconds. It
// is behind shut gates, and gives way to the holder after each.
func (n *node) settle(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.settleC:
		}
		for more := true; more && ctx.Err() == nil; {
			var err error
			if more, err = n.addresses.Settle(); err != nil {
				n.log.Error("taking down what is not used", "err", err)
				time.AfterFunc(settleRetry, n.settleSoon)
			}
		}
	}
}

// ofDevice hears what others do to devices of ours: each is to be there, as it was
// made, up while the group is Active here and down else.
func (n *node) ofDevice(ev kernel.Event) bool {
	devices := n.settled.config().Devices()
	i := slices.IndexFunc(devices, func(d identity.Device) bool { return d.Name == ev.Interface })
	if i < 0 || ev.Kind == kernel.AddressLost {
		return false
	}
	drifted := func() {
		n.runner.Post(appliance.Drifted{Why: ev.Kind.String() + " " + ev.Interface})
	}
	switch wanted := n.addresses.Wants(ev.Interface); {
	case ev.Kind == kernel.LinkGone:
		n.prepareDevices()
		drifted()
	case ev.Kind == kernel.LinkNew:
		// Interface numbers are part of the prepared messages.
		n.fences.sendAll(func(m election.Message) { n.client.Send(m) })
	case ev.Link.MAC != devices[i].MAC:
		n.prepareDevices()
		drifted()
	case ev.Link.Up != wanted:
		drifted()
	}
	return true
}

// prepareDevices makes devices that are missing or were changed.
func (n *node) prepareDevices() {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	if err := n.makeDevices(n.settled.config()); err != nil {
		n.log.Warn("devices with a virtual MAC", "err", err)
	}
}

// makeDevices has the devices of a configuration be there.
func (n *node) makeDevices(cfg *config.Config) error {
	n.addresses.Follow(!cfg.Forwarding)
	return n.addresses.Prepare(cfg.Devices())
}
