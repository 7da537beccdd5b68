package appliance

import "time"

// staticRetry is the pause until something static is tried again that could not be done.
const staticRetry = 30 * time.Second

// onStatic: what does not move lacks something. No group is in fault for that, and none
// waits for it: who wants that tracks the interface. It is tried again, and the alarm
// says why.
func (c *Core) onStatic(now time.Time, ev Applied) {
	if ev.Static == nil {
		return
	}
	c.alarms.raise(now, AlarmApplyFailed, "static: "+ev.Static.Error())
	if c.retry.IsZero() {
		c.retry = now.Add(staticRetry)
	}
}
