package appliance

import (
	"strings"
	"time"
)

// onWaiting: a route whose link is down cannot be there. The group serves on
// without it and says so; who wants a fault tracks the interface.
func (c *Core) onWaiting(now time.Time, ev Applied) {
	var detail []string
	for _, g := range c.groups {
		if why := ev.Waiting[g.Name]; why != "" {
			detail = append(detail, "group "+g.Name+": "+why)
		}
	}
	if why := ev.Waiting[""]; why != "" {
		detail = append(detail, "static: "+why)
	}
	c.alarms.set(now, AlarmRouteWaiting, len(detail) > 0, strings.Join(detail, "; "))
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
