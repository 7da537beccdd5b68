package health

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Kind is what sort of thing is tracked.
type Kind uint8

// The kinds.
const (
	KindCheck Kind = iota
	KindInterface
	KindBond
)

var kindNames = [...]string{"check", "interface", "bond"}

// String is the word before the colon in the configuration file.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "invalid"
}

// Source names something that can be tracked.
type Source struct {
	Kind Kind
	Name string
}

// String is for people: "check uplink".
func (s Source) String() string { return s.Kind.String() + " " + s.Name }

// SourceConfig is how the word of a source is taken.
type SourceConfig struct {
	Source
	// DownAfter and UpAfter are the debounce: so long must the source have said
	// so without a break. Its first word counts at once.
	DownAfter, UpAfter time.Duration
	// Grace is how long it may stay Unknown, then it is Down; 0: for ever. A
	// check needs none, for it bounds that itself.
	Grace time.Duration
	// Measures says that not its state counts but its value.
	Measures bool
	// Counts says that its value is how many parts of it are lost: a weight is that
	// of each, a fault that it is Down. More lost counts at once; fewer has to last
	// for UpAfter.
	Counts bool
}

// Track is one source tracked by a router.
type Track struct {
	Source  Source
	Weight  int  // -253 to 253; 0: fault
	Reverse bool // Up and Down swapped; of a value: its sign, without a weight: 0 is the fault
}

// RouterConfig is a virtual router, as far as health matters to it.
type RouterConfig struct {
	Name     string
	Priority uint8 // 1-254; 255: owner
	Track    []Track
}

// GroupConfig is routers that move together.
type GroupConfig struct {
	Name    string
	Routers []RouterConfig
}

// Config is everything a [Tracker] needs to know.
type Config struct {
	Sources []SourceConfig
	Groups  []GroupConfig
}

// MaxWeight bounds a weight to either side: with it, any priority of 1 to 254
// can be made any other.
const MaxWeight = 253

// validate names every mistake.
func (c Config) validate() error {
	var errs []error
	known := map[Source]bool{}
	for _, s := range c.Sources {
		if known[s.Source] {
			errs = append(errs, fmt.Errorf("health: %v is there twice", s.Source))
		}
		known[s.Source] = true
	}
	groups := map[string]bool{}
	for _, g := range c.Groups {
		if groups[g.Name] {
			errs = append(errs, fmt.Errorf("health: two groups are called %q", g.Name))
		}
		groups[g.Name] = true
		for _, r := range g.Routers {
			if r.Priority == 0 {
				errs = append(errs, fmt.Errorf("health: router %q: priority 0: it must be 1 to 255", r.Name))
			}
			for _, t := range r.Track {
				if !known[t.Source] {
					errs = append(errs, fmt.Errorf("health: router %q tracks %v, which is not there", r.Name, t.Source))
				}
				if t.Weight < -MaxWeight || t.Weight > MaxWeight {
					errs = append(errs, fmt.Errorf("health: router %q: weight %d of %v: it must be -%d to %d", r.Name, t.Weight, t.Source, MaxWeight, MaxWeight))
				}
			}
		}
	}
	return errors.Join(errs...)
}

// tracks is everything the routers of a group track. What several of them track
// alike counts once: it is one thing that is down, and it moves them all.
func (g GroupConfig) tracks() (out []Track) {
	for _, r := range g.Routers {
		for _, t := range r.Track {
			if !slices.Contains(out, t) {
				out = append(out, t)
			}
		}
	}
	return out
}
