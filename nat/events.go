package nat

import (
	"cmp"
	"fmt"
	"slices"
)

// Events says of which flows the kernel makes connection events, and which. What it
// does not make costs nothing: no message, no wake-up, no place in a buffer.
//
// Whatever the lists say, of flows that begin or end in the node itself there are
// none, and of others none that nobody needs: the first packet of a flow
// is told only where it says what is said once (labels, a helper, a master), and a
// TCP connection is told from its establishment on.
type Events struct {
	// Early has each flow told with its first packet, and as it goes on.
	Early bool
	// Never: nothing is told of these.
	Never []Calls
	// Late: of these, when they are assured, and when they end.
	Late []Calls
}

// Calls are the flows of protocols First to Last whose first packet goes to one of
// the ports. Protocols without ports have whatever the kernel notes there.
type Calls struct {
	First, Last Proto
	Ports       Ports
}

func (c Calls) String() string {
	return fmt.Sprintf("%d-%d/%v", uint8(c.First), uint8(c.Last), c.Ports)
}

// canonical is e with its lists sorted; nil stays nil.
func (e *Events) canonical() *Events {
	if e == nil {
		return nil
	}
	out := Events{Early: e.Early, Never: slices.Clone(e.Never), Late: slices.Clone(e.Late)}
	slices.SortFunc(out.Never, compareCalls)
	slices.SortFunc(out.Late, compareCalls)
	return &out
}

func (e *Events) equal(o *Events) bool {
	if e == nil || o == nil {
		return e == o
	}
	return e.Early == o.Early && slices.Equal(e.Never, o.Never) && slices.Equal(e.Late, o.Late)
}

// lines is the plan's text of e; of nil, which leaves all to the kernel, there is none.
func (e *Events) lines() (out string) {
	if e == nil {
		return ""
	}
	word := "needed"
	if e.Early {
		word = "early"
	}
	out = "events " + word + "\n"
	for _, c := range e.Never {
		out += "events never " + c.String() + "\n"
	}
	for _, c := range e.Late {
		out += "events late " + c.String() + "\n"
	}
	return out
}

func compareCalls(a, b Calls) int {
	return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last),
		cmp.Compare(a.Ports.First, b.Ports.First), cmp.Compare(a.Ports.Last, b.Ports.Last))
}
