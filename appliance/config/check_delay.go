package config

import "time"

// maxDelay is a little more than the most that keepalived takes.
const maxDelay = 2 * time.Hour

// checkDelays reads how long the node takes no part after a start.
func (c *checker) checkDelays(raw *rawFile) {
	c.config.StartupDelay = c.upTo("startup_delay", raw.StartupDelay, 0, time.Millisecond, maxDelay)
	c.config.DelayAfterBoot = c.upTo("delay_after_boot", raw.DelayAfterBoot, 0, time.Millisecond, maxDelay)
}
