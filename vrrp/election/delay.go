package election

import (
	"time"

	"golang.org/x/sys/unix"
)

// begin is when the node may take part, if it has to wait for that; see [vrrp.SetConfig]. An election in place of a dead one
// is no start of the node, so the machine's alone counts for it.
func (l *loop) begin() (at time.Time) {
	cfg := l.set.Config()
	if l.opt.Link == nil && cfg.StartupDelay > 0 {
		at = l.born.Add(cfg.StartupDelay)
	}
	if cfg.BootDelay > 0 {
		at = later(at, l.now.Add(cfg.BootDelay-uptime()))
	}
	if !at.After(l.now) {
		return time.Time{}
	}
	l.log.Info("start-up delay: until it ends nobody is listened to, and nobody elected here", "ends", at.Sub(l.now))
	return at
}

// uptime is how long ago the machine started, suspended or not.
func uptime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // there is one
	return time.Duration(ts.Nano())
}
