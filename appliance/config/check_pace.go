package config

import (
	"time"

	"understudy/garp"
)

// Bounds of announcements.
const (
	maxBurst   = 100
	maxAgain   = time.Hour
	maxRefresh = 24 * time.Hour
	maxGap     = time.Minute
)

// pace reads how often addresses are announced; without the table as by default.
func (c *checker) announcements(path string, raw *rawPace) (p garp.Pace) {
	if raw == nil {
		return p
	}
	def := c.defaults.Pace
	p.Repeat = c.count(join(path, "repeat"), raw.Repeat, def.Repeat, 1, maxBurst)
	p.RefreshRepeat = c.count(join(path, "refresh_repeat"), raw.RefreshRepeat, def.RefreshRepeat, 1, maxBurst)
	p.Again = c.upTo(join(path, "again"), raw.Again, def.Again, 0, maxAgain)
	p.Refresh = c.upTo(join(path, "refresh"), raw.Refresh, def.Refresh, time.Second, maxRefresh)
	p.Gap = c.upTo(join(path, "gap"), raw.Gap, def.Gap, 0, maxGap)
	return p
}

// upTo reads a duration that may be 0, which is none, else is least at least.
func (c *checker) upTo(path string, v *string, def, least, most time.Duration) time.Duration {
	d := c.duration(path, v, "5s")
	switch {
	case d == nil:
		return def
	case *d == 0:
	case *d < 0 || *d < least || *d > most:
		c.add(path, *v+" is out of range", "use "+plain(least)+" to "+plain(most)+`, or "0s" for none`)
	}
	return *d
}
