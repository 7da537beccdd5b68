package appliance

import (
	"strings"
	"time"
)

// onRoutes: a route whose link is down cannot be there, and the kernel may refuse one,
// or a rule. The group serves on without it and says so; who wants a fault tracks the
// interface, or a check of what the route leads to.
func (c *Core) onRoutes(now time.Time, ev Applied) {
	c.without(now, AlarmRouteWaiting, ev.Waiting)
	c.without(now, AlarmRouteRefused, ev.Refused)
}

// without raises the alarm for what groups, and what is static, have to do without. It is
// tried again.
func (c *Core) without(now time.Time, alarm string, why map[string]string) {
	var detail []string
	for _, g := range c.groups {
		if why := why[g.Name]; why != "" {
			detail = append(detail, "group "+g.Name+": "+why)
		}
	}
	if why := why[""]; why != "" {
		detail = append(detail, "static: "+why)
	}
	c.alarms.set(now, alarm, len(detail) > 0, strings.Join(detail, "; "))
	if len(detail) > 0 {
		c.retry = now.Add(routeRetry)
	}
}

// PutBack is how much of a group's identity ever had to be put back because
// somebody had removed it.
func (c *Core) PutBack(group string) int {
	if g := c.group(group); g != nil {
		return g.putBack
	}
	return 0
}
