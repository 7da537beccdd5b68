package config

import "time"

const (
	minWatchdog = 5 * time.Second
	maxWatchdog = 10 * time.Minute
)

// checkWatchdog reads the timer of the machine.
func (c *checker) checkWatchdog(raw *rawFile) {
	w := &c.config.Watchdog
	if raw.Watchdog == nil {
		if raw.WatchdogTimeout != nil {
			c.add("watchdog_timeout", "there is no watchdog", `name its device, like watchdog = "/dev/watchdog", or remove it`)
		}
		return
	}
	w.Device = c.absolute("watchdog", *raw.Watchdog)
	w.Timeout = c.defaults.Watchdog.Timeout
	if d := c.duration("watchdog_timeout", raw.WatchdogTimeout, "30s"); d != nil {
		switch {
		case *d < minWatchdog || *d > maxWatchdog:
			c.add("watchdog_timeout", *raw.WatchdogTimeout+" is out of range", "use 5s to 10m: a daemon that is restarted takes a few seconds")
		case *d%time.Second != 0:
			c.add("watchdog_timeout", *raw.WatchdogTimeout+" is not in whole seconds", "the kernel's timers count in seconds: use "+quote(d.Round(time.Second).String()))
		default:
			w.Timeout = *d
		}
	}
}
