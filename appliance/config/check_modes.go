package config

import (
	"fmt"
	"strings"
	"time"

	"understudy/nat/session"
)

// modes are those of sessions.mode, in the order in which they are offered.
var modes = []session.Mode{session.ModeHybrid, session.ModeIncremental, session.ModeLeaderFollower, session.ModePeriodic,
	session.ModeLogDependency, session.ModeLogOptimistic, session.ModeActive}

// everyRange bounds sessions.every for the modes that have a clock.
var everyRange = map[session.Mode]struct{ least, most time.Duration }{
	session.ModePeriodic:      {time.Second, 10 * time.Minute},
	session.ModeLogOptimistic: {time.Millisecond, time.Minute},
}

// maxBatch bounds sessions.batch: more changes than that are a table.
const maxBatch = 1 << 16

// checkMode reads how flows are sent, and what of it can be chosen in that mode.
func (c *checker) checkMode(raw *rawSessions, s *Sessions) {
	before := len(c.problems)
	s.Mode = known(c, "sessions.mode", raw.Mode, c.defaults.Sessions.Mode, modes)
	s.Knobs, _ = session.KnobsOf(s.Mode, 0, 0)
	if len(c.problems) > before {
		return // of which mode the rest is, nobody knows
	}
	mode := quote(string(s.Mode))
	if r, ok := everyRange[s.Mode]; raw.Every != nil && !ok {
		c.add("sessions.every", "mode "+mode+" has no clock", `remove it, or use mode = "periodic" or "log-optimistic"`)
	} else if d := c.duration("sessions.every", raw.Every, s.Knobs.Every.String()); d != nil {
		if *d < r.least || *d > r.most {
			c.add("sessions.every", *raw.Every+" is out of range for mode "+mode, fmt.Sprintf("use %s to %s", plain(r.least), plain(r.most)))
		} else {
			s.Knobs.Every = *d
		}
	}
	switch n := or(raw.Batch, int64(s.Knobs.Batch)); {
	case raw.Batch != nil && s.Knobs.Batch == 0:
		c.add("sessions.batch", "mode "+mode+" does not wait for a number of changes", `remove it, or use mode = "log-dependency" or "log-optimistic"`)
	case raw.Batch != nil && (n < 2 || n > maxBatch):
		c.add("sessions.batch", fmt.Sprintf("%d is out of range", n), fmt.Sprintf("use 2 to %d", maxBatch))
	default:
		s.Knobs.Batch = int(n)
	}
}

// checkModeOfClasses: an age has no meaning where flows are sent with their first packet.
func (c *checker) checkModeOfClasses(raw *rawSessions, s *Sessions) {
	for i, rc := range raw.Classes {
		if rc != nil && rc.MinAge != nil && s.Knobs.Early && i < len(s.Classes) && s.Classes[i].MinAge > 0 {
			c.add(join(at("sessions.class", i), "min_age"), "mode "+quote(string(s.Mode))+" sends flows with their first packet",
				"remove it, or use another mode")
		}
	}
}

// plain is a duration as people write it: without zeros at the end.
func plain(d time.Duration) string {
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = strings.TrimSuffix(s, zero[1:])
		}
	}
	return s
}
