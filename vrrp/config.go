package vrrp

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// ChecksumMode chooses the form of the IPv4 checksum that a version 3 router sends. All are always accepted.
type ChecksumMode string

// The modes.
const (
	ChecksumAuto    ChecksumMode = "auto"    // rfc5798 until a rival is heard in the other form, then that one
	ChecksumRFC9568 ChecksumMode = "rfc9568" // the message only
	ChecksumRFC5798 ChecksumMode = "rfc5798" // with the pseudo-header
	ChecksumGroup   ChecksumMode = "group"   // with that of the group, to peers too (not RFC 5798; keepalived up to 1.3.6)
)

// SetConfig is everything an election needs to know. It is plain data: it crosses a socket pair as JSON.
type SetConfig struct {
	Node    string
	Routers []RouterConfig
	Groups  []GroupConfig
	// HoldLimit is how long a takeover may be put off, all in all, while a peer says by heartbeat that it is Active; 0:
	// not at all, as RFC 9568 has it. See InVouch.
	HoldLimit time.Duration
	// For StartupDelay after the process has started, and BootDelay after the machine has, the node takes no part. It is
	// the caller's affair to give SetInput.Begin accordingly.
	StartupDelay, BootDelay time.Duration
	Delays                  []LinkDelay // of links, each once
}

// RouterConfig is one virtual router of one family. A dual-stack router is two of them with one name.
type RouterConfig struct {
	Name, Interface string
	VRID            uint8         // 1-255
	Priority        uint8         // 1-254; 255: owner of the addresses
	Version         uint8         // 2 or 3; 0 is 3
	Interval        time.Duration // 10 ms to 40.95 s in whole 1/100 s; version 2: whole seconds; 0 is 1 s
	Preempt         bool
	PreemptDelay    time.Duration // after start or repair, a live lower Active is left alone so long
	Settle          time.Duration // how long a link that has come up is not trusted; see settle.go
	Accept          bool          // carried for the data plane; the election does not look at it
	Checksum        ChecksumMode  // "" is auto
	Addresses       []netip.Addr  // as adverts list them: 1-255 of one family, which may repeat; IPv6: the first is link-local
	Family          uint8         // 4 or 6; 0: that of the addresses
	VirtualMAC      bool          // adverts come from [VirtualMAC]; the sender's affair, the election does not look at it
	Track           []string      // interfaces: one down is a fault of this router
	Auth            string        // version 2 password, at most 8 octets; "" is none
	AuthHeader      bool          // Auth is not sent, but the key of an authentication header (RFC 2338, 5.3.6.3)
	Source          netip.Addr    // adverts come from; invalid: the interface's primary address
	Peers           []Peer        // adverts go to; none: to the group
	Multicast       netip.Addr    // the group; invalid: that of RFC 9568
	AnyFirst        bool          // IPv6: the first address need not be link-local, of ours and of what comes (not RFC 9568)
	InterfaceMAC    bool          // adverts come from the interface's own MAC, VirtualMAC or not
	DownAdverts     uint8         // so many intervals without an advert, and a skew, are silence; 0 is 3
	Untracked       bool          // its own interface being down is no fault (not RFC 9568)
	HopLimit        uint8         // of adverts to Peers, their TTL; 0 is 255 (else not RFC 9568)
	Meek            bool          // Active, it does not answer a worse rival at once (not RFC 9568)
}

// GroupConfig names routers that are Active together or not at all. A dual-stack router's name brings both of it.
type GroupConfig struct {
	Name    string
	Routers []string
}

func (r RouterConfig) withDefaults() RouterConfig {
	if r.Version == 0 {
		r.Version = 3
	}
	if r.Interval == 0 {
		r.Interval = time.Second
	}
	if r.Checksum == "" {
		r.Checksum = ChecksumAuto
	}
	if r.DownAdverts == 0 {
		r.DownAdverts = defaultDownAdverts
	}
	if r.Family == 0 && len(r.Addresses) > 0 {
		r.Family = 6
		if r.Addresses[0].Is4() {
			r.Family = 4
		}
	}
	return r
}

func (r RouterConfig) validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("vrrp: router %q: "+format, append([]any{r.Name}, args...)...))
	}
	if r.VRID == 0 {
		bad("vrid 0: it must be 1 to 255")
	}
	if r.Priority == 0 {
		bad("priority 0 is the word for giving up: it must be 1 to 255")
	}
	if r.Interface == "" {
		bad("no interface")
	}
	switch {
	case r.Version != 2 && r.Version != 3:
		bad("version %d: it must be 2 or 3", r.Version)
	case r.Version == 2 && r.Family != 4:
		bad("version 2 is IPv4 only")
	case r.Version == 2 && (r.Interval%time.Second != 0 || r.Interval < time.Second || r.Interval > 255*time.Second):
		bad("interval %v: version 2 has whole seconds, 1 to 255", r.Interval)
	case r.Version == 3 && (r.Interval != CentisOf(r.Interval).Duration()):
		bad("interval %v: it must be 10ms to 40.95s in steps of 10ms", r.Interval)
	}
	if r.Settle < 0 || r.PreemptDelay < 0 {
		bad("settle %v, preempt delay %v: they must not be negative", r.Settle, r.PreemptDelay)
	}
	if len(r.Auth) > 8 || (r.Auth != "" && r.Version != 2) {
		bad("auth: version 2 only, at most 8 octets")
	}
	if r.AuthHeader && r.Auth == "" {
		bad("auth: no key of the authentication header")
	}
	switch r.Checksum {
	case ChecksumAuto, ChecksumRFC9568, ChecksumRFC5798, ChecksumGroup:
	default:
		bad("checksum %q: it must be auto, rfc9568, rfc5798 or group", string(r.Checksum))
	}
	if len(r.Addresses) == 0 || len(r.Addresses) > 255 {
		bad("%d addresses: it must be 1 to 255", len(r.Addresses))
	}
	for _, a := range r.Addresses {
		if a.Is4() != (r.Family == 4) || a.Is4In6() || a.Zone() != "" {
			bad("address %v is not of family %d", a, r.Family)
		}
	}
	if r.Family == 6 && len(r.Addresses) > 0 && !r.Addresses[0].IsLinkLocalUnicast() && !r.AnyFirst {
		bad("the first IPv6 address must be link-local (RFC 9568, 5.2.9)")
	}
	if m := r.Multicast; m.IsValid() && (!m.IsMulticast() || m.Is4() != (r.Family == 4) || m.Is4In6() || m.Zone() != "") {
		bad("multicast %v is not a group of family %d", m, r.Family)
	}
	r.validatePeers(bad)
	return errors.Join(errs...)
}

// normalize fills defaults, gives a group of its own to a router no group names, and returns for each group the
// indexes of its members in ascending order of [RouterConfig.compare]: the first is the group's anchor, the same on
// every node.
func (c SetConfig) normalize() (SetConfig, [][]int, error) {
	var errs []error
	routers := make([]RouterConfig, len(c.Routers))
	type wire struct {
		iface        string
		vrid, family uint8
	}
	onWire := make(map[wire]string)
	seen := make(map[routerKey]bool)
	for i, r := range c.Routers {
		r = r.withDefaults()
		routers[i] = r
		errs = append(errs, r.validate())
		w := wire{r.Interface, r.VRID, r.Family}
		if other, dup := onWire[w]; dup {
			errs = append(errs, fmt.Errorf("vrrp: routers %q and %q share vrid %d on %s", other, r.Name, r.VRID, r.Interface))
		}
		if onWire[w] = r.Name; seen[r.key()] {
			errs = append(errs, fmt.Errorf("vrrp: two routers of family %d are called %q", r.Family, r.Name))
		}
		seen[r.key()] = true
	}
	c.Routers = routers
	errs = append(errs, validateDelays(c.Delays))
	members, groups, groupErrs := c.members()
	c.Groups = groups
	return c, members, errors.Join(append(errs, groupErrs...)...)
}

func (c SetConfig) members() ([][]int, []GroupConfig, []error) {
	var errs []error
	groups := append([]GroupConfig(nil), c.Groups...)
	owner := make(map[string]string)
	for i, g := range groups {
		for _, other := range groups[:i] {
			if other.Name == g.Name {
				errs = append(errs, fmt.Errorf("vrrp: two groups are called %q", g.Name))
			}
		}
		for _, name := range g.Routers {
			if first, taken := owner[name]; taken {
				errs = append(errs, fmt.Errorf("vrrp: router %q is in groups %q and %q", name, first, g.Name))
			}
			owner[name] = g.Name
		}
	}
	for _, r := range c.Routers {
		if _, ok := owner[r.Name]; !ok {
			groups = append(groups, GroupConfig{Name: r.Name, Routers: []string{r.Name}})
			owner[r.Name] = r.Name
		}
	}
	members := make([][]int, len(groups))
	for i, g := range groups {
		for _, name := range g.Routers {
			found := false
			for k, r := range c.Routers {
				if r.Name == name {
					members[i] = insertInOrder(members[i], c.Routers, k)
					found = true
				}
			}
			if !found {
				errs = append(errs, fmt.Errorf("vrrp: group %q: there is no router %q", g.Name, name))
			}
		}
		if len(g.Routers) == 0 {
			errs = append(errs, fmt.Errorf("vrrp: group %q has no routers", g.Name))
		}
	}
	return members, groups, errs
}

// compare orders the members of a group by what all nodes call them alike: VRID, family, addresses. Neither names nor
// the order of the configuration are the same everywhere.
func (r RouterConfig) compare(o RouterConfig) int {
	return cmp.Or(cmp.Compare(r.VRID, o.VRID), cmp.Compare(r.Family, o.Family),
		slices.CompareFunc(slices.SortedFunc(slices.Values(r.Addresses), netip.Addr.Compare),
			slices.SortedFunc(slices.Values(o.Addresses), netip.Addr.Compare), netip.Addr.Compare))
}

func insertInOrder(at []int, routers []RouterConfig, k int) []int {
	at = append(at, k)
	for i := len(at) - 1; i > 0 && routers[at[i]].compare(routers[at[i-1]]) < 0; i-- {
		at[i], at[i-1] = at[i-1], at[i]
	}
	return at
}

// routerKey is what makes a router the same one across a Reconfigure.
type routerKey struct {
	name   string
	family uint8
}

func (r RouterConfig) key() routerKey { return routerKey{r.Name, r.Family} }

// sameOnWire says whether b can go on where a is: the election's own identity has not changed.
func sameOnWire(a, b RouterConfig) bool {
	return a.Interface == b.Interface && a.VRID == b.VRID && a.Version == b.Version
}

func (r RouterConfig) expect() Expect {
	e := Expect{Version: r.Version, VRID: r.VRID, Interval: r.Interval, Addresses: r.Addresses, Owner: r.Priority == 255,
		Unicast: Unicast{Peers: r.Peers, Own: r.Source, Group: r.Multicast}}
	if r.Auth != "" {
		e.AuthType = AuthSimple
		copy(e.Auth[:], r.Auth)
	}
	if r.AuthHeader {
		e.AuthType = AuthHeader
	}
	return e
}

func (r RouterConfig) machine(src netip.Addr, weight int) MachineConfig {
	return MachineConfig{Version: r.Version, Priority: Weighed(r.Priority, weight), Interval: r.Interval,
		Preempt: r.Preempt, PreemptDelay: r.PreemptDelay, Source: src, Grouped: true,
		DownAdverts: r.DownAdverts, Meek: r.Meek}
}
