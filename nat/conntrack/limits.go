package conntrack

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Limits are the conntrack settings that decide whether replication works.
type Limits struct {
	Max     int // nf_conntrack_max: entries, over all network namespaces alike
	Buckets int // nf_conntrack_buckets: about Max, or inserts become slow
	Count   int // nf_conntrack_count: entries now
	// Events is nf_conntrack_events. It must be 1: with 2, the kernel's default,
	// a flow that was born while nobody listened (on the whole machine: other
	// namespaces count) never reports its changes.
	Events int
}

// ReadLimits reads the settings of the calling thread's network namespace.
func ReadLimits() (Limits, error) {
	var l Limits
	err := errors.Join(
		readSysctl("max", &l.Max),
		readSysctl("buckets", &l.Buckets),
		readSysctl("count", &l.Count),
		readSysctl("events", &l.Events),
	)
	if err != nil {
		return Limits{}, fmt.Errorf("conntrack: %w", err)
	}
	return l, nil
}

func readSysctl(name string, v *int) error {
	path := "/proc/sys/net/netfilter/nf_conntrack_" + name
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	*v = n
	return nil
}
