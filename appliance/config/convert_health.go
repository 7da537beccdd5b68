package config

import (
	"slices"
	"time"

	"understudy/health"
)

// Interfaces that are tracked with a weight: one that nobody has is down after
// linkGrace, and one that comes back has to stay for linkUpAfter. A role that
// moves with every flap of a cable is worse than the wait.
const (
	linkGrace   = time.Second
	linkUpAfter = time.Second
)

// A bond that comes up negotiates, and says nothing before it has, or has had the
// time to. A member that is back has to stay, as an interface has.
const (
	bondGrace   = 10 * time.Second
	bondUpAfter = time.Second
)

// Pace is how the check judges its results.
func (k Check) Pace() health.CheckConfig {
	return health.CheckConfig{Name: k.Name, Every: k.Every, Timeout: k.Timeout, Rise: k.Rise, Fall: k.Fall, Retry: k.Retry, Damp: k.Damp,
		Pushed: k.Listen.IsValid() || k.Kind == CheckWatchdog, Derived: k.Combined()}
}

// Needed is how many checks of a check of checks must be up.
func (k Check) Needed() int {
	switch k.Kind {
	case CheckAll:
		return len(k.Checks)
	case CheckQuorum:
		return k.Min
	}
	return 1
}

// Check returns the check of that name, nil if there is none.
func (c *Config) Check(name string) *Check {
	i := slices.IndexFunc(c.Checks, func(k Check) bool { return k.Name == name })
	if i < 0 {
		return nil
	}
	return &c.Checks[i]
}

// firstWord is how long the first word of a check may take. known has those that
// have been asked about.
func (c *Config) firstWord(k *Check, known map[string]time.Duration) (bound time.Duration) {
	if !k.Combined() {
		return k.Pace().Bound(k.Every)
	}
	if bound, ok := known[k.Name]; ok {
		return bound
	}
	for _, name := range k.Checks {
		bound = max(bound, c.firstWord(c.Check(name), known))
	}
	known[k.Name] = bound
	return bound
}

// Health returns what is tracked, and by whom. Interfaces without a weight are
// not among it: they are the election's.
func (c *Config) Health() health.Config {
	var out health.Config
	for _, k := range c.Checks {
		out.Sources = append(out.Sources, health.SourceConfig{
			Source: health.Source{Kind: health.KindCheck, Name: k.Name}, Measures: k.Value})
	}
	for _, name := range c.WeighedInterfaces() {
		down, up := c.delaysOf(name)
		out.Sources = append(out.Sources, health.SourceConfig{
			Source: health.Source{Kind: health.KindInterface, Name: name}, Grace: linkGrace, DownAfter: down, UpAfter: max(up, linkUpAfter)})
	}
	for _, b := range c.Bonds {
		out.Sources = append(out.Sources, health.SourceConfig{
			Source: health.Source{Kind: health.KindBond, Name: b.Name}, Counts: true, Grace: bondGrace, UpAfter: bondUpAfter})
	}
	for _, g := range c.Groups {
		hg := health.GroupConfig{Name: g.Name}
		for _, name := range g.Routers {
			r := c.Router(name)
			hr := health.RouterConfig{Name: name, Priority: r.Priority}
			for _, t := range r.Track {
				switch {
				case t.Kind == TrackCheck:
					hr.Track = append(hr.Track, health.Track{Source: health.Source{Kind: health.KindCheck, Name: t.Name}, Weight: t.Weight, Reverse: t.Reverse})
				case t.Kind == TrackBond:
					hr.Track = append(hr.Track, c.bondTracks(t)...)
				case t.Weight != 0 || t.Reverse:
					hr.Track = append(hr.Track, health.Track{Source: health.Source{Kind: health.KindInterface, Name: t.Name}, Weight: t.Weight, Reverse: t.Reverse})
				}
			}
			hg.Routers = append(hg.Routers, hr)
		}
		out.Groups = append(out.Groups, hg)
	}
	return out
}

// bondTracks is what a router that tracks a bond tracks: without a weight of its
// own, the fault and the weight that the bond may have.
func (c *Config) bondTracks(t Track) []health.Track {
	source := health.Source{Kind: health.KindBond, Name: t.Name}
	list := []health.Track{{Source: source, Weight: t.Weight}}
	for _, b := range c.Bonds {
		if b.Name == t.Name && t.Weight == 0 && b.WeightPerMember != 0 {
			list = append(list, health.Track{Source: source, Weight: b.WeightPerMember})
		}
	}
	return list
}

// WeighedInterfaces are those that are tracked with a weight or in reverse, each once.
func (c *Config) WeighedInterfaces() (out []string) {
	for _, r := range c.Routers {
		for _, t := range r.Track {
			if t.Kind == TrackInterface && (t.Weight != 0 || t.Reverse) && !slices.Contains(out, t.Name) {
				out = append(out, t.Name)
			}
		}
	}
	return out
}

// WordBound is how long the first word of what is tracked may take.
func (c *Config) WordBound() time.Duration {
	bound := linkGrace
	for _, b := range c.Bonds {
		if c.tracks(TrackBond, b.Name) {
			bound = max(bound, bondGrace)
		}
	}
	known := map[string]time.Duration{}
	for _, k := range c.Checks {
		if c.tracks(TrackCheck, k.Name) {
			bound = max(bound, c.firstWord(&k, known))
		}
	}
	return bound
}

// tracks tells whether any router tracks that.
func (c *Config) tracks(kind TrackKind, name string) bool {
	return slices.ContainsFunc(c.Routers, func(r Router) bool {
		return slices.ContainsFunc(r.Track, func(t Track) bool { return t.Kind == kind && t.Name == name })
	})
}
