package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"

	"understudy/appliance/identity"
)

// ErrNotOurs is in the error of Prepare and Apply for a device whose name another
// link has.
var ErrNotOurs = errors.New("another interface has the name of a device of ours")

// Follow has devices forward where their parents do; without it they always do. It
// counts from the next Prepare on.
func (a *Applier) Follow(parents bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.follow = parents
}

// Prepare makes the devices exist, each down and without addresses until Apply
// wants it: making one can take 40 ms, bringing it up a fraction of one. One that
// is there is not touched, as a restarted daemon finds its own in use; if it has
// another MAC, mode or parent it is made anew. What is of ours and not listed
// goes with the next [Applier.Settle], once Apply does not want it.
//
// What cannot be done for one device does not keep back the others; the error
// joins all, and wraps [ErrNoInterface] where a parent does not exist.
func (a *Applier) Prepare(devices []identity.Device) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.prepared = slices.Clone(devices)
	have, err := a.s.devices()
	if err != nil {
		return fmt.Errorf("kernel: reading links: %w", err)
	}
	var errs []error
	for _, d := range devices {
		errs = append(errs, a.ensure(d, have))
	}
	return errors.Join(errs...)
}

// ensure makes one device be there. have is what there is by name.
func (a *Applier) ensure(d identity.Device, have map[string]device) error {
	fail := func(err error) error { return fmt.Errorf("kernel: %s: %w", d, err) }
	parent, ok := have[d.Parent]
	if !ok {
		return fail(ErrNoInterface)
	}
	if old, ok := have[d.Name]; ok {
		switch {
		case old.is(d, parent.index):
			return a.configure(d)
		case !old.ours():
			return fail(ErrNotOurs)
		}
		if err := a.change(linkChange{verb: removeLink, index: old.index}); err != nil {
			return fail(err)
		}
	}
	if err := a.change(linkChange{verb: makeDevice, device: d, parent: parent.index}); err != nil {
		return fail(err)
	}
	return a.configure(d)
}

// configure gives a device its settings; before it is up, because some are too
// late then. They are not saved: they go with the device.
func (a *Applier) configure(d identity.Device) error {
	s := NewSysctls("")
	strict, err := s.read("net.ipv4.conf.all.rp_filter")
	if err != nil {
		return err
	}
	forwards := true
	if a.follow {
		family := map[uint8]string{4: "ipv4", 6: "ipv6"}[d.Family()]
		v, err := s.read(interfaceKey(family, d.Parent, "forwarding"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		forwards = v == "1"
	}
	var errs []error
	for _, want := range DeviceSettings(d, strict != "0", forwards) {
		present, err := s.read(want.Key)
		if err == nil && present != want.Value {
			err = s.write(want.Key, want.Value)
		}
		if d.Family() == 4 && errors.Is(err, fs.ErrNotExist) {
			err = nil // a kernel without IPv6 has nothing to be switched off
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// change does one thing to one link. What is gone already is no error.
func (a *Applier) change(c linkChange) error {
	verdicts, err := execute(a.s, []linkChange{c})
	if err == nil {
		err = verdicts[0]
	}
	if c.verb != makeDevice && errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// raise brings the wanted devices up, making those that somebody has removed. It
// returns those that were not up, and what went wrong by name.
func (a *Applier) raise(want []identity.Device) (raised map[string]bool, failed map[string]error) {
	fail := func(d identity.Device, err error) {
		if failed == nil {
			failed = make(map[string]error)
		}
		failed[d.Name] = fmt.Errorf("kernel: %s: %w", d, err)
	}
	var down []identity.Device
	for _, d := range want {
		switch up, err := a.s.isUp(d.Name); {
		case errors.Is(err, ErrNoInterface):
			if err := a.restore(d); err != nil {
				fail(d, err)
				continue
			}
			down = append(down, d)
		case err != nil:
			fail(d, err)
		case !up:
			down = append(down, d)
		}
	}
	for batch := range slices.Chunk(down, batchSize) {
		var changes []linkChange
		var of []identity.Device
		for _, d := range batch {
			index, err := a.s.index(d.Name)
			if err != nil {
				fail(d, err)
				continue
			}
			changes, of = append(changes, linkChange{verb: raise, index: index}), append(of, d)
		}
		verdicts, err := execute(a.s, changes)
		for i, d := range of {
			switch {
			case err != nil:
				fail(d, err)
			case verdicts[i] != nil:
				fail(d, verdicts[i])
			default:
				if raised == nil {
					raised = make(map[string]bool)
				}
				raised[d.Name] = true
			}
		}
	}
	return raised, failed
}

func (a *Applier) restore(d identity.Device) error {
	have, err := a.s.devices()
	if err != nil {
		return err
	}
	return a.ensure(d, have)
}

// Wants tells whether the last Apply wanted the device up.
func (a *Applier) Wants(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return hasDevice(a.wanted, name)
}

// Settle does one thing that Apply left for later, because it is slow: it takes
// down a device that is up and not wanted, or removes one that is neither wanted
// nor prepared. Each waits for the kernel's other processors, 4 to 60 ms, so a
// hundred of them are seconds; their addresses are gone and their gates are shut
// meanwhile. more says that there may be more to do.
//
// Before the first Apply nothing is known to be unwanted, and nothing is done.
func (a *Applier) Settle() (more bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.applied {
		return false, nil
	}
	have, err := a.s.devices()
	if err != nil {
		return false, fmt.Errorf("kernel: reading links: %w", err)
	}
	for _, d := range have {
		if !d.ours() || hasDevice(a.wanted, d.Name) {
			continue
		}
		c := linkChange{verb: lower, index: d.index}
		switch {
		case !hasDevice(a.prepared, d.Name):
			c.verb = removeLink
		case !d.up:
			continue
		}
		if err := a.change(c); err != nil {
			return false, fmt.Errorf("kernel: %s: %w", d.Name, err)
		}
		return true, nil
	}
	return false, nil
}

func hasDevice(list []identity.Device, name string) bool {
	return slices.ContainsFunc(list, func(d identity.Device) bool { return d.Name == name })
}

// DownMessages returns one message (NETLINK_ROUTE) for each device of the
// identity that takes it down, for the end of the fence: each takes the kernel
// several milliseconds. They name links by index: make new ones when a device is
// made again. Devices that do not exist are left out.
func (a *Applier) DownMessages(id identity.Identity) ([][]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out [][]byte
	for _, d := range id.Devices {
		index, err := a.s.index(d.Name)
		switch {
		case err == nil:
			out = append(out, linkChange{verb: lower, index: index}.message(0, 1))
		case !errors.Is(err, ErrNoInterface):
			return nil, fmt.Errorf("kernel: %s: %w", d, err)
		}
	}
	return out, nil
}

// CleanDevices removes every device of ours, with what is on it, and returns how
// many there were.
func (a *Applier) CleanDevices() (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.prepared, a.wanted = nil, nil
	have, err := a.s.devices()
	if err != nil {
		return 0, fmt.Errorf("kernel: reading links: %w", err)
	}
	var changes []linkChange
	foreign, strays := false, false // in our group, not ours; ours, not in our group
	for _, d := range have {
		switch ours := d.ours(); {
		case ours:
			changes = append(changes, linkChange{verb: removeLink, index: d.index})
			strays = strays || d.group != deviceGroup
		case d.group == deviceGroup:
			foreign = true
		}
	}
	n := len(changes)
	if n > 1 && !foreign && !strays {
		changes = []linkChange{{verb: removeGroup}}
	}
	for _, c := range changes {
		if err := a.change(c); err != nil {
			return 0, fmt.Errorf("kernel: removing devices: %w", err)
		}
	}
	return n, nil
}
