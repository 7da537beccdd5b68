package vrrp

import "time"

// Centis is a duration in 1/100 s, network byte order and 12 bits on the wire (RFC 9568, 5.2.7).
// Inside the package every duration is a time.Duration in nanoseconds: skew at short intervals is
// a fraction of a centisecond.
type Centis uint16

// MinCentis and MaxCentis bound an advertisement interval (RFC 9568, 6.1 with erratum 8301).
const (
	MinCentis Centis = 1
	MaxCentis Centis = 4095
)

// Duration is c in nanoseconds.
func (c Centis) Duration() time.Duration { return time.Duration(c) * 10 * time.Millisecond }

// CentisOf rounds d to the nearest 1/100 s and clamps it to what the wire can say.
func CentisOf(d time.Duration) Centis {
	n := (d + 5*time.Millisecond) / (10 * time.Millisecond)
	switch {
	case n < time.Duration(MinCentis):
		return MinCentis
	case n > time.Duration(MaxCentis):
		return MaxCentis
	}
	return Centis(n)
}

// skew is Skew_Time. RFC 9568, 6.1: (256 - Priority) * Active_Adver_Interval / 256;
// RFC 3768, 6.1: (256 - Priority) / 256 seconds, whatever the interval.
func skew(version, priority uint8, learned time.Duration) time.Duration {
	if version == 2 {
		learned = time.Second
	}
	return time.Duration(256-int(priority)) * learned / 256
}

// ActiveDown is Active_Down_Interval: how long a Backup of this local priority waits after the last advert it
// accepted. learned is the interval of that advert (version 2: the Backup's own).
func ActiveDown(version, priority uint8, learned time.Duration) time.Duration {
	return 3*learned + skew(version, priority, learned)
}

// defaultDownAdverts is how many intervals without an advert are silence (RFC 9568, 6.1).
const defaultDownAdverts = 3

// down is Active_Down_Interval of a router that may wait for another number of adverts.
func (c MachineConfig) down(learned time.Duration) time.Duration {
	wait := ActiveDown(c.Version, c.Priority, learned)
	if c.DownAdverts > 0 {
		wait += (time.Duration(c.DownAdverts) - defaultDownAdverts) * learned
	}
	return wait
}
