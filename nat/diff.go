package nat

import (
	"net/netip"
	"strings"
)

// Delta is what changes in one list: remove first, then add. A mapping whose
// target changed is in both.
type Delta[T any] struct{ Remove, Add []T }

// Empty tells whether nothing changes.
func (d Delta[T]) Empty() bool { return len(d.Remove)+len(d.Add) == 0 }

// Changes is the difference of two plans.
type Changes struct {
	Sources    Delta[Source]
	Statics    Delta[Static]
	Forwards   Delta[Forward]
	Exceptions Delta[Exception]
	Links      Delta[netip.Prefix]
	Gates      Delta[Gate]
	Blocks     Delta[Block]
	Devices    Delta[DeviceGate]
	Refused    Delta[netip.Addr]
	Modes      bool // leak guard, session chains or copies come or go, or other events are made
}

// Diff returns what turns have into want. It is empty exactly if both have the
// same String.
func Diff(have, want Plan) Changes {
	return Changes{
		Sources:    delta(have.Sources, want.Sources, compareSource),
		Statics:    delta(have.Statics, want.Statics, compareStatic),
		Forwards:   delta(have.Forwards, want.Forwards, compareForward),
		Exceptions: delta(have.Exceptions, want.Exceptions, compareException),
		Links:      delta(have.Links, want.Links, comparePrefix),
		Gates:      delta(have.Gates, want.Gates, compareGate),
		Blocks:     delta(have.Blocks, want.Blocks, compareBlock),
		Devices:    delta(have.Devices, want.Devices, compareDevice),
		Refused:    delta(have.Refused, want.Refused, netip.Addr.Compare),
		Modes:      have.Guard() != want.Guard() || have.Sessions != want.Sessions || !have.Events.equal(want.Events) || !have.Mirror.equal(want.Mirror),
	}
}

// Empty tells whether nothing changes.
func (c Changes) Empty() bool {
	return c.Sources.Empty() && c.Statics.Empty() && c.Forwards.Empty() && c.Exceptions.Empty() && c.Links.Empty() &&
		c.Gates.Empty() && c.Blocks.Empty() && c.Devices.Empty() && c.Refused.Empty() && !c.Modes
}

// String is the change as a log or a person reads it: a line an entry, with -
// for what goes and + for what comes.
func (c Changes) String() string {
	var b strings.Builder
	lines(&b, c.Sources, Source.line)
	lines(&b, c.Statics, Static.line)
	lines(&b, c.Forwards, Forward.line)
	lines(&b, c.Exceptions, Exception.String)
	lines(&b, c.Links, linkLine)
	lines(&b, c.Gates, Gate.line)
	lines(&b, c.Blocks, Block.line)
	lines(&b, c.Devices, DeviceGate.line)
	lines(&b, c.Refused, refusedLine)
	return b.String()
}

func lines[T any](b *strings.Builder, d Delta[T], line func(T) string) {
	for _, x := range d.Remove {
		b.WriteString("- " + line(x) + "\n")
	}
	for _, x := range d.Add {
		b.WriteString("+ " + line(x) + "\n")
	}
}

// delta walks two sorted lists once.
func delta[T any](have, want []T, compare func(a, b T) int) (d Delta[T]) {
	for len(have) > 0 && len(want) > 0 {
		switch c := compare(have[0], want[0]); {
		case c < 0:
			d.Remove, have = append(d.Remove, have[0]), have[1:]
		case c > 0:
			d.Add, want = append(d.Add, want[0]), want[1:]
		default:
			have, want = have[1:], want[1:]
		}
	}
	d.Remove = append(d.Remove, have...)
	d.Add = append(d.Add, want...)
	return d
}
