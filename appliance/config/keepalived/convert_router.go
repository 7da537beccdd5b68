package keepalived

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of what an advert can hold (RFC 9568 section 5.2.5, and 1500 octets).
const (
	mostAddresses  = 255
	mostAddresses6 = (1500 - 40 - 8) / 16
)

// allNetworks are those that addresses of the file are in.
func (c *converter) allNetworks() {
	for _, a := range c.file.Static.Addresses {
		c.networks = append(c.networks, a.Prefix.Masked())
	}
	for _, in := range c.file.Instances {
		for _, a := range append(append([]Address{}, in.Addresses...), in.Excluded...) {
			c.networks = append(c.networks, a.Prefix.Masked())
		}
	}
}

func (c *converter) routers() {
	for _, in := range c.file.Instances {
		c.router(in)
	}
}

// router makes a [[router]] of an instance, if it is one that can work.
func (c *converter) router(in *Instance) {
	switch {
	case !in.Interface.Set:
		c.say(in.At, Fault, "(%s) Unknown interface!", in.Name)
		return
	case !in.VRID.Set:
		c.say(in.At, Fault, "(%s) the virtual router id must be set", in.Name)
		return
	case len(in.Addresses) == 0:
		c.say(in.At, Fault, "(%s) No VIP specified; at least one is required", in.Name)
		return
	}
	if in.PeersNeeded.V && !c.hasPeers(in) {
		c.say(in.PeersNeeded.At, Warning, "(%s) Cannot use unicast without any peers: it would be in fault for ever, and is left out", in.Name)
		return
	}
	o := Origin{in.At, "vrrp_instance " + in.Name}
	t := c.doc.table("router", o)
	t.set("name", c.named("vrrp_instance", "group", in.Name, in.At), o)
	t.set("interface", in.Interface.V, Origin{in.Interface.At, "interface"})
	t.set("vrid", in.VRID.V, Origin{in.VRID.At, "virtual_router_id"})
	priority := c.priority(in, t)
	six := in.Addresses[0].Prefix.Addr().Is6()
	version := c.version(in, t, six)
	c.heed(in, c.interval(in, t, version))
	c.addresses(in, t, six)
	strict := in.Strict.or(c.file.Global.Strict.V)
	if strict {
		c.strict(in, priority, version, six)
	}
	if in.VMAC.Set {
		t.set("mac", "virtual", Origin{in.VMAC.At, "use_vmac"})
	}
	c.track(in, t)
	if in.Untracked.V {
		t.set("track_own", false, Origin{in.Untracked.At, "dont_track_primary"})
	}
	c.preempt(in, t, priority, strict, in.sealed(version, strict))
	switch {
	case in.Accept.Set && !in.Accept.V:
		t.set("accept", false, Origin{in.Accept.At, "no_accept"})
	case !in.Accept.Set && strict && priority != 255:
		at := c.file.Global.Strict.At
		if in.Strict.Set {
			at = in.Strict.At
		}
		t.set("accept", false, Origin{at, "strict"})
		c.say(at, Warning, "(%s) strict mode without accept: nobody reaches the node itself by its virtual addresses, not even ping", in.Name)
	}
	if sum := in.ChecksumV2; (sum.V || !sum.Set && c.file.Global.ChecksumV2.V) && version == 3 && !six {
		if !sum.Set {
			sum = c.file.Global.ChecksumV2
		}
		t.set("checksum", "rfc9568", Origin{sum.At, "v3_checksum_as_v2"})
	} else if old := in.OldChecksum; old.Set && !c.hasPeers(in) {
		c.say(old.At, Fault, "(%s) old_unicast_checksum without unicast peers: nothing comes of it", in.Name)
	} else if old.Set && version == 3 && !six {
		form := "group"
		if old.V == "never" {
			form = "rfc5798"
		}
		t.set("checksum", form, Origin{old.At, "old_unicast_checksum"})
	}
	if version == 2 {
		t.set("version", 2, c.versionOrigin(in))
	}
	c.auth(in, t, version, strict)
	c.unicast(in, t, six)
	for _, n := range in.Routes {
		c.route(in.owner(), t, n)
	}
	for _, n := range in.Rules {
		c.rule(in.owner(), t, n)
	}
	c.notify(t, in.Notify, o.Word)
	c.tellPriority(in, t)
	c.alert(t, in.Alert, "routers")
	c.wire(in, t, six, strict)
	c.announce(in, t, six)
}

// priority is 100 if nothing is said, and of a MASTER that of the owner.
func (c *converter) priority(in *Instance, t *Table) uint8 {
	switch {
	case in.Priority.Set:
		t.set("priority", in.Priority.V, Origin{in.Priority.At, "priority"})
		return in.Priority.V
	case in.Master.V:
		c.say(in.Master.At, Warning, "(%s) state MASTER without a priority is priority 255: the addresses are taken to be the interface's own", in.Name)
		t.set("priority", 255, Origin{in.Master.At, "state MASTER without a priority"})
		return 255
	}
	return 100
}

func (c *converter) version(in *Instance, t *Table, six bool) uint8 {
	v := in.Version.or(c.file.Global.Version.or(2))
	if six {
		if v == 2 && in.Version.Set {
			c.say(in.Version.At, Fault, "(%s) cannot use IPv6 with VRRP version 2; setting version 3", in.Name)
		}
		return 3
	}
	return v
}

func (c *converter) versionOrigin(in *Instance) Origin {
	switch {
	case in.Version.Set:
		return Origin{in.Version.At, "version"}
	case c.file.Global.Version.Set:
		return Origin{c.file.Global.Version.At, "vrrp_version"}
	}
	return Origin{Word: "what keepalived uses if no version is named"}
}

// interval is in whole seconds in version 2, in centiseconds in version 3.
func (c *converter) interval(in *Instance, t *Table, version uint8) time.Duration {
	if !in.Interval.Set {
		return time.Second
	}
	const centisecond = 10 * time.Millisecond
	d := in.Interval.V
	unit, most := centisecond, 4095*centisecond
	if version == 2 {
		unit, most = time.Second, 255*time.Second
	}
	rounded := min(max(d.Round(unit), unit), most)
	if rounded != d {
		c.say(in.Interval.At, Fault, "(%s) VRRPv%d advertisement interval %vs is not possible: %vs", in.Name, version, d.Seconds(), rounded.Seconds())
	}
	t.set("advertise", duration(rounded), Origin{in.Interval.At, "advert_int"})
	return rounded
}

// addresses splits what adverts say from what is only there. All in an advert are
// of the first one's family.
func (c *converter) addresses(in *Instance, t *Table, six bool) {
	most := mostAddresses
	if six {
		most = mostAddresses6
	}
	seen := map[netip.Addr]bool{}
	n := 0
	put := func(key, word string, a Address) {
		if seen[a.Prefix.Addr()] {
			if key == "addresses" {
				// Else nodes with keepalived would refuse the adverts, and we theirs.
				c.say(a.At, Warning, "(%s) %s is there already: adverts have it once more", in.Name, a.Prefix)
				t.add(key, a.Prefix.String()+" again", Origin{a.At, word})
				return
			}
			c.say(a.At, Warning, "(%s) %s is there already - ignoring", in.Name, a.Prefix)
			return
		}
		seen[a.Prefix.Addr()] = true
		prefix := a.Prefix
		if prefix.Addr().Is6() && prefix.Addr().IsLinkLocalUnicast() {
			prefix = netip.PrefixFrom(prefix.Addr(), 64) // without a length it is 128 there, and all are in one network
		}
		text := prefix.String()
		if a.Dev != "" && a.Dev != in.Interface.V {
			text += " dev " + a.Dev
		}
		if c.onOwnDevice(in, a, six) {
			text += " mac virtual"
		}
		text += a.As
		t.add(key, text, Origin{a.At, word})
	}
	for _, a := range in.Addresses {
		switch {
		case a.Prefix.Addr().Is6() != six:
			c.say(a.At, Fault, "(%s) address family must match VRRP instance [%s] - ignoring", in.Name, a.Prefix)
		case n >= most:
			c.say(a.At, Warning, "(%s) %s does not fit into an advert: it is held without being advertised", in.Name, a.Prefix)
			put("excluded", "virtual_ipaddress", a)
		default:
			n++
			put("addresses", "virtual_ipaddress", a)
		}
	}
	for _, a := range in.Excluded {
		put("excluded", "virtual_ipaddress_excluded", a)
	}
}

// onOwnDevice tells whether an address is on a device with the virtual MAC that is not the
// instance's: use_vmac of the address, or use_vmac_addr of the instance.
func (c *converter) onOwnDevice(in *Instance, a Address, six bool) bool {
	here := (a.Dev == "" || a.Dev == in.Interface.V) && a.Prefix.Addr().Is6() == six
	switch {
	case a.Virtual && here && in.VMAC.Set:
		c.say(a.At, Fault, "(%s) use_vmac specified for VIP/eVIP %s and vrrp instance", in.Name, a.Prefix)
		return false
	case a.Virtual && !here && in.VMACAddr.Set:
		c.say(a.At, Fault, "(%s) use_vmac_addr specified and use_vmac specified for VIP/eVIP %s", in.Name, a.Prefix)
	}
	return a.Virtual || in.VMACAddr.Set && !here
}

func (c *converter) preempt(in *Instance, t *Table, priority uint8, strict, sealed bool) {
	master := in.Master.V && !sealed // else it has been said that it does not begin so
	if strict && in.Master.Set && priority != 255 {
		c.say(in.Master.At, Fault, "(%s) State MASTER must match being address owner", in.Name)
	}
	no, delay := in.NoPreempt.V, in.PreemptDelay
	if no && (priority == 255 || master) {
		if priority == 255 {
			c.say(in.NoPreempt.At, Fault, "(%s) nopreempt is incompatible with priority 255. resetting nopreempt", in.Name)
		} else {
			c.say(in.NoPreempt.At, Fault, "(%s) Warning - nopreempt will not work with initial state MASTER - clearing", in.Name)
		}
		no = false
	}
	switch {
	case delay.V == 0:
	case strict:
		c.say(delay.At, Fault, "(%s) preempt_delay is incompatible with strict mode - resetting", in.Name)
		delay.V = 0
	case priority == 255 || master:
		c.say(delay.At, Fault, "(%s) Warning - preempt delay will not work with initial state MASTER - clearing", in.Name)
		delay.V = 0
	case no:
		c.say(delay.At, Fault, "(%s) preempt_delay is incompatible with nopreempt mode - resetting", in.Name)
		delay.V = 0
	}
	if no {
		t.set("preempt", false, Origin{in.NoPreempt.At, "nopreempt"})
	}
	if delay.V > 0 {
		t.set("preempt_delay", duration(delay.V), Origin{delay.At, "preempt_delay"})
	}
}

// sealed tells whether the adverts are in an authentication header.
func (in *Instance) sealed(version uint8, strict bool) bool {
	return version == 2 && !strict && in.AuthType.V == "AH" && in.AuthPass.Set
}

func (c *converter) auth(in *Instance, t *Table, version uint8, strict bool) {
	switch {
	case !in.AuthType.Set && !in.AuthPass.Set:
	case version != 2:
		c.say(orPlace(in.AuthType.At, in.AuthPass.At), Fault, "(%s) VRRP version 3 does not support authentication. Ignoring.", in.Name)
	case strict:
		c.say(orPlace(in.AuthType.At, in.AuthPass.At), Fault, "(%s) Strict mode does not support authentication. Ignoring.", in.Name)
	case in.sealed(version, strict):
		if in.Master.V {
			c.say(in.AuthType.At, Fault, "(%s) Initial state master is incompatible with AH authentication - clearing", in.Name)
		}
		t.set("auth_type", "ah", Origin{in.AuthType.At, "auth_type"})
		t.set("auth_pass", in.AuthPass.V, Origin{in.AuthPass.At, "auth_pass"})
	case in.AuthType.Set && in.AuthPass.Set:
		t.set("auth_pass", in.AuthPass.V, Origin{in.AuthPass.At, "auth_pass"})
	case in.AuthType.Set:
		c.say(in.AuthType.At, Fault, "(%s) Authentication specified but no password given. Ignoring", in.Name)
	default:
		t.set("auth_pass", in.AuthPass.V, Origin{in.AuthPass.At, "auth_pass"})
	}
}

func orPlace(a, b Place) Place {
	if a.Line != 0 {
		return a
	}
	return b
}

func (c *converter) unicast(in *Instance, t *Table, six bool) {
	seen := map[netip.Addr]bool{}
	for _, p := range in.Peers {
		switch {
		case p.V.Is6() != six:
			c.say(p.At, Fault, "(%s) address family of unicast peer %s does not match the VRRP instance - ignoring", in.Name, p.V)
		case seen[p.V]:
		default:
			seen[p.V] = true
			text := p.V.String()
			if ttl, ok := in.PeerTTLs[p.V]; ok && ttl.Most == 0 {
				c.say(p.At, Warning, "(%s) max_ttl 0: nothing arrives with that; it is not looked at", in.Name)
			} else if ok {
				text += fmt.Sprintf(" ttl %d-%d", max(1, ttl.Least), ttl.Most)
			}
			t.add("unicast", text, Origin{p.At, "unicast_peer"})
		}
	}
	switch ttl := in.TTL; {
	case !ttl.Set:
	case !c.hasPeers(in):
		c.say(ttl.At, Fault, "(%s): Cannot use unicast_ttl without unicast peers - resetting", in.Name)
	case ttl.V == 0:
		c.say(ttl.At, Warning, "(%s) unicast_ttl 0: nothing leaves the node with that; it is 255", in.Name)
	default:
		t.set("unicast_ttl", ttl.V, Origin{ttl.At, "unicast_ttl"})
	}
	source, word := in.Source, "unicast_src_ip"
	if !source.Set {
		source, word = in.SourceMcast, "mcast_src_ip"
	}
	if source.Set {
		t.set("source", source.V.String(), Origin{source.At, word})
	}
}

// track says what a router tracks: what the instance names, what its group names,
// and the interfaces that its addresses are on.
func (c *converter) track(in *Instance, t *Table) {
	seen := map[string]bool{}
	put := func(kind, name string, weight int, reverse bool, o Origin) {
		text := kind + ":" + name
		if seen[text] {
			return
		}
		seen[text] = true
		if reverse {
			weight = -weight // there what the weight does is turned round, and not when it counts
		}
		if weight != 0 {
			text += ":" + strconv.Itoa(weight)
		}
		if reverse {
			text += ":reverse"
		}
		t.add("track", text, o)
	}
	g := c.memberOf[in.Name]
	var all []Tracked
	all = append(all, in.Track...)
	if g != nil {
		all = append(all, g.Track...)
		for _, k := range in.Track {
			if w, _, _, ok := c.tracked(k); ok && w != 0 && !g.Weights.V {
				c.say(k.At, Warning, "(%s) track_%s %s: keepalived ignores the weights of members of a group; here they count for all of it", in.Name, k.Kind, k.Name)
			}
		}
	}
	for _, k := range all {
		weight, name, reverse, ok := c.tracked(k)
		o := Origin{k.At, "track_" + k.Kind}
		switch {
		case !ok:
			c.say(k.At, Fault, "(%s) track %s %s not found, ignoring...", in.Name, k.Kind, k.Name)
			continue
		case weight < -253 || weight > 253:
			c.say(k.At, Warning, "(%s) track_%s %s: the weight %d is cut to what there is", in.Name, k.Kind, k.Name, weight)
			weight = min(max(weight, -253), 253)
		}
		if k.Kind == "interface" {
			if name == in.Interface.V {
				// Down, it is a fault whatever its weight: of the router itself.
				c.say(k.At, Fault, "(%s) Ignoring track_interface %s since own interface", in.Name, name)
				continue
			}
			put("interface", name, weight, reverse, o)
			continue
		}
		c.used[k.Kind+" "+k.Name] = true
		put("check", name, weight, reverse, o)
	}
	for _, n := range c.needs[in.Name] {
		if n.iface != in.Interface.V {
			put("interface", n.iface, 0, false, n.from)
		}
	}
	for _, a := range append(append([]Address{}, in.Addresses...), in.Excluded...) {
		if a.Dev != "" && a.Dev != in.Interface.V && !strings.Contains(a.Dev, ":") {
			put("interface", a.Dev, 0, false, Origin{a.At, "the interface of " + a.Prefix.Addr().String()})
		}
	}
}

// tracked finds what a line of track_ names.
func (c *converter) tracked(k Tracked) (weight int, name string, reverse, ok bool) {
	reverse = k.Reverse
	kind := map[string]string{"script": "vrrp_script", "process": "vrrp_track_process", "file": "track_file"}[k.Kind]
	switch k.Kind {
	case "interface":
		return k.Weight.V, k.Name, reverse, true
	case "script":
		for _, s := range c.file.Scripts {
			if s.Name == k.Name && s.Command.Set && !c.missing(s) {
				return k.Weight.or(s.Weight.V), c.named(kind, "check", s.Name, s.At), !k.NoRevers && (reverse || !k.Weight.Set && s.Reverse), true
			}
		}
	case "process":
		for _, s := range c.file.Processes {
			if s.Name == k.Name && s.Program.Set {
				return k.Weight.or(s.Weight.V), c.named(kind, "check", s.Name, s.At), !k.NoRevers && (reverse || !k.Weight.Set && s.Reverse), true
			}
		}
	case "file":
		for _, s := range c.file.Files {
			if s.Name == k.Name && s.Path.Set {
				w := k.Weight.or(s.Weight.or(1))
				if !k.NoRevers && (reverse || !k.Weight.Set && s.Reverse) {
					w = -w // the value is a number: turned round it is the other sign
				}
				return w, c.named(kind, "check", s.Name, s.At), false, true
			}
		}
	}
	return 0, "", false, false
}

// hasPeers tells whether adverts go to somebody one by one.
func (c *converter) hasPeers(in *Instance) bool {
	return slices.ContainsFunc(in.Peers, func(p Of[netip.Addr]) bool {
		return len(in.Addresses) > 0 && p.V.Is6() == in.Addresses[0].Prefix.Addr().Is6()
	})
}
