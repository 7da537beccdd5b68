package ra

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Bounds and defaults of RFC 4861, 6.2.1.
const (
	MinMaxInterval  = 4 * time.Second    // the least MaxRtrAdvInterval
	MaxMaxInterval  = 1800 * time.Second // the greatest
	MaxLifetime     = 9000 * time.Second // the greatest AdvDefaultLifetime
	DefaultInterval = 600 * time.Second  // MaxRtrAdvInterval
	DefaultValid    = 2592000 * time.Second
	DefaultPrefer   = 604800 * time.Second
	DefaultHopLimit = 64
	MinMTU          = 1280 // RFC 8200, 5
)

// Preference is the router's, of hosts that hear several (RFC 4191).
type Preference string

// The preferences.
const (
	Low    Preference = "low"
	Medium Preference = "medium"
	High   Preference = "high"
)

// Params is all that an advertisement says, but for the link-layer address. It is
// the same on all routers of a virtual router.
type Params struct {
	Interval   time.Duration // MaxRtrAdvInterval
	Lifetime   time.Duration // whole seconds; 0: no default router
	HopLimit   uint8         // 0: unspecified
	MTU        uint32        // 0: not said
	Managed    bool
	Other      bool
	Preference Preference

	Prefixes         []netip.Prefix // masked
	OnLink           bool           // of all of them
	Autonomous       bool
	Valid, Preferred time.Duration

	RDNSS []netip.Addr // for three intervals (RFC 8106, 5.1)
	DNSSL []string
}

// DNSLifetime is how long the DNS options hold: RFC 8106 wants at least three
// times MaxRtrAdvInterval, so that some advertisements may be lost.
func (p *Params) DNSLifetime() time.Duration { return 3 * p.Interval }

// Same tells whether two say the same.
func (p *Params) Same(o *Params) bool { return p.String() == o.String() }

// String is everything in one line, the same for the same advertisement.
func (p *Params) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "interval %v lifetime %v hop_limit %d", p.Interval, p.Lifetime, p.HopLimit)
	for _, f := range []struct {
		on   bool
		word string
	}{{p.Managed, "managed"}, {p.Other, "other"}} {
		if f.on {
			b.WriteString(" " + f.word)
		}
	}
	if p.MTU != 0 {
		fmt.Fprintf(&b, " mtu %d", p.MTU)
	}
	fmt.Fprintf(&b, " preference %s", p.Preference)
	prefixes := slices.Clone(p.Prefixes)
	slices.SortFunc(prefixes, netip.Prefix.Compare)
	for _, x := range prefixes {
		fmt.Fprintf(&b, " prefix %v", x)
	}
	if len(prefixes) > 0 {
		fmt.Fprintf(&b, " onlink %t autonomous %t valid %v preferred %v", p.OnLink, p.Autonomous, p.Valid, p.Preferred)
	}
	for _, a := range p.RDNSS {
		fmt.Fprintf(&b, " rdnss %v", a)
	}
	for _, d := range p.DNSSL {
		fmt.Fprintf(&b, " dnssl %s", d)
	}
	return b.String()
}
