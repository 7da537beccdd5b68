package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"understudy/appliance/lab/pair"
)

// bed is two gateways on which a program replicates sessions, in one setting. gw1
// is active, and gw2 stands by; either may be used up by what is measured.
type bed struct {
	plane
	net             *pair.Pair
	active, standby *pair.Gateway
	// copies tells that the standby learns of flows by copies of their packets, and so
	// of none that nobody sends a packet of.
	copies bool
}

// plane is what a program that replicates sessions can be asked for, whichever it is.
type plane interface {
	// told is a condition: the standby knows n sessions, and nothing is under way.
	told(n int) func(context.Context) error
	// knows is how many sessions the standby has.
	knows(ctx context.Context) (int, error)
	// hot: what the standby knows is in its kernel.
	hot() bool
	// takeover stops the program of the active gateway, says so, and has the standby
	// become the gateway; it tells how long that took.
	takeover(ctx context.Context, stopped func()) (Takeover, error)
	// resync has a standby that has just booted, and knows nothing, get n sessions,
	// and tells how long that took.
	resync(ctx context.Context, n int) (time.Duration, error)
	// restart kills the program of the active gateway, does something, and has it
	// run again.
	restart(ctx context.Context, meanwhile func() error) error
	close() error
}

// contender is a program in one setting, to be measured.
type contender struct {
	Software string
	Setting  string
	build    func(ctx context.Context, sessions int) (*bed, error)
}

// bedPatience bounds each wait of a measurement that may have a million sessions.
const bedPatience = 3 * time.Minute

// wait looks at a condition until it is met, as often as an answer costs little
// beside what is measured.
func (b *bed) wait(ctx context.Context, what string, met func(context.Context) error) error {
	return waitUntil(ctx, bedPatience, what, met)
}

func waitUntil(ctx context.Context, most time.Duration, what string, met func(context.Context) error) error {
	bound, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for {
		began := time.Now()
		err := met(bound)
		if err == nil {
			return nil
		}
		if sleep(bound, max(5*time.Millisecond, 4*time.Since(began))) != nil {
			return fmt.Errorf("bench: waited for %s: %w (%w)", what, err, context.Cause(bound))
		}
	}
}

// linkBytes is what has passed over the link between the gateways, both ways, with
// Ethernet headers, and over that of copies where there is one: by the counters of the
// active one's interfaces.
func (b *bed) linkBytes() (all uint64, err error) {
	links := []string{"sync0"}
	if b.copies {
		links = append(links, pair.MirrorLink)
	}
	for _, name := range links {
		l, err := b.active.Netlink().LinkByName(name)
		if err != nil {
			return 0, fmt.Errorf("bench: %s: %w", name, err)
		}
		s := l.Attrs().Statistics
		if s == nil {
			return 0, fmt.Errorf("bench: %s has no counters", name)
		}
		all += s.RxBytes + s.TxBytes
	}
	return all, nil
}

// reckoning is what a bed has used so far.
type reckoning struct {
	at   time.Time
	cpu  [2]time.Duration // all processes of the active gateway and of the standby
	mem  [2]int64         // anonymous resident memory
	slab int64            // of the machine
	link uint64
}

func (b *bed) reckon() (r reckoning, err error) {
	r.at = time.Now()
	var errs []error
	for i, g := range []*pair.Gateway{b.active, b.standby} {
		var e1, e2 error
		r.cpu[i], e1 = sumOf(g.Node, onCPU)
		r.mem[i], e2 = sumOf(g.Node, func(pid int) (int64, error) {
			u, err := used(pid)
			return u.Memory, err
		})
		errs = append(errs, e1, e2)
	}
	var e1, e2 error
	r.slab, e1 = unreclaimable()
	r.link, e2 = b.linkBytes()
	return r, errors.Join(append(errs, e1, e2)...)
}

// idling is the share of a processor that each side uses with nothing to do.
type idling [2]float64

// idle measures it.
func (b *bed) idle(ctx context.Context, d time.Duration) (i idling, err error) {
	from, err := b.reckon()
	if err != nil {
		return i, err
	}
	if err := sleep(ctx, d); err != nil {
		return i, err
	}
	to, err := b.reckon()
	for n := range i {
		i[n] = float64(to.cpu[n]-from.cpu[n]) / float64(to.at.Sub(from.at))
	}
	return i, err
}

// Price is what one of many sessions costs.
type Price struct {
	ActiveUS  float64 `json:"active_us"` // processor time of all processes, less what is used idle
	StandbyUS float64 `json:"standby_us"`
	Link      float64 `json:"link_bytes"` // both ways, with all headers
}

// price is the cost of each of n sessions between two reckonings.
func price(from, to reckoning, idle idling, n int) Price {
	us := func(i int) float64 {
		used := to.cpu[i] - from.cpu[i] - time.Duration(idle[i]*float64(to.at.Sub(from.at)))
		return round(float64(used) / 1e3 / float64(n))
	}
	return Price{ActiveUS: us(0), StandbyUS: us(1), Link: round(float64(to.link-from.link) / float64(n))}
}
