package identity

import (
	"fmt"
	"strings"
)

// RouteOptions are what few routes say. The zero value is as usual.
type RouteOptions struct {
	TOS        uint8 // IPv4: of the packets that it is for
	Realms     uint32
	Preference RoutePreference
	// Metrics are by their numbers in the kernel (linux/rtnetlink.h, RTAX_*); 0: the
	// kernel's own. That of the MTU has a field of Route, and that of congestion control
	// a name.
	Metrics    [metrics]uint32
	Congestion string // the algorithm; "": the kernel's own
	// Expires is after how many seconds the kernel takes an IPv6 route away; 0: never. It
	// is put back then, so it is what is left when nobody looks after it any more.
	Expires uint32
}

const metrics = 18 // RTAX_MAX and one more

// RoutePreference is that of RFC 4191, as the kernel numbers it. IPv6 alone.
type RoutePreference uint8

// The preferences.
const (
	PreferenceMedium RoutePreference = 0
	PreferenceHigh   RoutePreference = 1
	PreferenceLow    RoutePreference = 3
)

// Metric is the number of a metric of routes in the kernel, by its name in ip-route(8);
// false: there is none of that name that can be set.
func Metric(name string) (int, bool) {
	for _, m := range metricNames {
		if m.name == name {
			return m.number, true
		}
	}
	return 0, false
}

// metricLock is RTAX_LOCK: a bit each for metrics that the kernel does not change.
const metricLock = 1

var metricNames = []struct {
	name   string
	number int
}{
	{"window", 3}, {"rtt", 4}, {"rttvar", 5}, {"ssthresh", 6}, {"cwnd", 7}, {"advmss", 8}, {"reordering", 9}, {"hoplimit", 10}, {"initcwnd", 11}, {"features", 12},
	{"rto_min", 13}, {"initrwnd", 14}, {"quickack", 15}, {"fastopen_no_cookie", 17},
}

// String has a blank before each word.
func (o RouteOptions) String() string {
	var b strings.Builder
	if o.TOS != 0 {
		fmt.Fprintf(&b, " tos %#x", o.TOS)
	}
	if o.Realms != 0 {
		fmt.Fprintf(&b, " realms %d/%d", o.Realms>>16, o.Realms&0xffff)
	}
	switch o.Preference {
	case PreferenceHigh:
		b.WriteString(" pref high")
	case PreferenceLow:
		b.WriteString(" pref low")
	}
	if o.Metrics[metricLock] != 0 {
		fmt.Fprintf(&b, " lock %#x", o.Metrics[metricLock])
	}
	for _, m := range metricNames {
		if v := o.Metrics[m.number]; v != 0 {
			fmt.Fprintf(&b, " %s %d", m.name, v)
		}
	}
	if o.Congestion != "" {
		b.WriteString(" congctl " + o.Congestion)
	}
	if o.Expires != 0 {
		fmt.Fprintf(&b, " expires %d", o.Expires)
	}
	return b.String()
}

// RuleOptions are what few rules say. The zero value is as usual: the table is asked.
type RuleOptions struct {
	Action   RuleAction
	Goto     uint32 // with ActionGoto: the priority of the rule that is next
	TOS      uint8
	Protocol uint8 // of IP; 0: any
	// From and to which port, of protocols that have some; a zero Last: any.
	SourcePorts, Ports PortRange
	Users              UserRange
	Tunnel             uint64 // ID of the tunnel that it came by; 0: any
	Realms             uint32 // that the route gets
	// Routes of the table do not count whose prefix has fewer bits than the first, or
	// that lead by an interface of the group one less than the second; 0: all count.
	SuppressPrefix, SuppressGroup uint32
	L3MDev                        bool // the table is that of the interface's VRF
}

// RuleAction is what a rule does. Its text is the word of ip-rule(8).
type RuleAction string

// The actions.
const (
	ActionTable       RuleAction = ""
	ActionGoto        RuleAction = "goto"
	ActionNop         RuleAction = "nop"
	ActionBlackhole   RuleAction = "blackhole"
	ActionUnreachable RuleAction = "unreachable"
	ActionProhibit    RuleAction = "prohibit"
)

// PortRange is a range of ports.
type PortRange struct{ First, Last uint16 }

// UserRange is a range of user IDs, if Set.
type UserRange struct {
	First, Last uint32
	Set         bool
}

// String has a blank before each word, but for the action.
func (o RuleOptions) String() string {
	var b strings.Builder
	if o.TOS != 0 {
		fmt.Fprintf(&b, " tos %#x", o.TOS)
	}
	if o.Protocol != 0 {
		fmt.Fprintf(&b, " ipproto %d", o.Protocol)
	}
	if o.SourcePorts.Last != 0 {
		fmt.Fprintf(&b, " sport %d-%d", o.SourcePorts.First, o.SourcePorts.Last)
	}
	if o.Ports.Last != 0 {
		fmt.Fprintf(&b, " dport %d-%d", o.Ports.First, o.Ports.Last)
	}
	if o.Users.Set {
		fmt.Fprintf(&b, " uidrange %d-%d", o.Users.First, o.Users.Last)
	}
	if o.Tunnel != 0 {
		fmt.Fprintf(&b, " tun_id %d", o.Tunnel)
	}
	if o.Realms != 0 {
		fmt.Fprintf(&b, " realms %d/%d", o.Realms>>16, o.Realms&0xffff)
	}
	if o.SuppressPrefix != 0 {
		fmt.Fprintf(&b, " suppress_prefixlength %d", o.SuppressPrefix-1)
	}
	if o.SuppressGroup != 0 {
		fmt.Fprintf(&b, " suppress_ifgroup %d", o.SuppressGroup-1)
	}
	return b.String()
}
