package garp

import (
	"slices"
	"time"
)

// Pace is how often addresses are announced, as an operator may ask for it. The zero value
// is the default pace, that of the zero [Config].
type Pace struct {
	Repeat        int           // frames of each burst, right behind each other; 0: as by default, and the rest is not looked at
	Again         time.Duration // from the first burst to a second; 0: there is none
	Refresh       time.Duration // from one refresh to the next; 0: there is none
	RefreshRepeat int           // frames of each
	Gap           time.Duration // least time between any two frames on an interface; 0: none
}

// Config is the pace as a [Schedule] takes it.
func (p Pace) Config() Config {
	if p.Repeat <= 0 {
		return Config{Gap: p.Gap}
	}
	burst := make([]time.Duration, p.Repeat)
	if p.Again > 0 {
		burst = append(burst, slices.Repeat([]time.Duration{p.Again}, p.Repeat)...)
	}
	c := Config{Burst: burst, Refresh: p.Refresh, Again: p.RefreshRepeat, Gap: p.Gap}
	if p.Refresh <= 0 {
		c.Refresh = -1
	}
	return c
}
