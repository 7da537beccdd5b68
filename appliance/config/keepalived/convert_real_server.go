package keepalived

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
)

// realServers makes the list of servers, and returns what they weigh; -1: there are none.
func (c *converter) realServers(t *Table, v *VirtualServer, s service, steer steering, by forwarding) (total int) {
	keep := len(v.Servers) > 0
	list := make([]*RealServer, 0, len(v.Servers))
	seen := map[netip.AddrPort]bool{}
	heaviest := 0
	for _, r := range v.Servers {
		a := r.Address.Addr()
		switch {
		case !a.IsValid():
			continue
		case s.mark == 0 && a.Is6() != s.address.Is6():
			c.say(r.At, Fault, "Address family of virtual server and real server %v don't match - skipping real server", a)
			continue
		case seen[r.Address]:
			c.say(r.At, Fault, "real_server %v is there twice - ignoring", r.Address)
			continue
		case len(list) == mostServers:
			c.say(r.At, Warning, "real_server %v: not carried over: a virtual server has %d servers at most", r.Address, mostServers)
			continue
		}
		seen[r.Address] = true
		list = append(list, r)
		heaviest = max(heaviest, c.weightOf(v, r))
		keep = keep && inhibits(v, r)
	}
	if len(list) == 0 {
		return -1
	}
	if steer.byWeight {
		slices.SortStableFunc(list, func(a, b *RealServer) int { return c.weightOf(v, b) - c.weightOf(v, a) })
	}
	ports := portsOf(list) && !by.handed()
	for _, r := range list {
		total += c.realServer(t, v, r, steer, ports, max(1, (heaviest+mostWeight-1)/mostWeight), keep)
	}
	if keep {
		t.set("on_failure", "keep", Origin{v.At, "inhibit_on_failure"})
	}
	return total
}

// portsOf tells whether servers are written with a port: not if they are called at the
// one that the client called.
func portsOf(list []*RealServer) bool {
	for _, r := range list {
		if r.Address.Port() == 0 {
			return false
		}
	}
	return true
}

func inhibits(v *VirtualServer, r *RealServer) bool {
	return optionOf(r.Options, "inhibit_on_failure").on() || optionOf(v.Options, "inhibit_on_failure").on()
}

func (c *converter) weightOf(v *VirtualServer, r *RealServer) int {
	o := optionOf(r.Options, "weight")
	if !o.set() {
		o = optionOf(v.Options, "weight")
	}
	if !o.set() {
		return 1
	}
	n, err := strconv.Atoi(o.arg(0))
	if err != nil || n < 0 || n > 65535 {
		c.say(o.At, Fault, "weight '%s' - must be between 0 and 65535", o.arg(0))
		return 1
	}
	return n
}

// realServer makes one of the servers, and returns what it weighs.
func (c *converter) realServer(t *Table, v *VirtualServer, r *RealServer, steer steering, ports bool, scale int, keep bool) int {
	o := Origin{r.At, "real_server"}
	one := t.table("servers", o)
	address := r.Address
	if !ports && address.Port() != 0 {
		if v.Address.Port() != 0 && address.Port() != v.Address.Port() {
			c.say(r.At, Fault, "real_server %v: its port is that which the client calls: by lb_kind DR or TUN, or because other servers have none", address)
		}
		address = netip.AddrPortFrom(address.Addr(), 0)
	}
	text := addressText(address)
	one.set("address", text, o)
	check, weigh := c.serverChecks(v, r)
	if check != "" {
		one.set("check", check, o)
	}
	if weigh != "" {
		one.set("weigh", weigh, o)
	}
	weight := c.weightOf(v, r)
	written := optionOf(r.Options, "weight")
	byFile := c.weighByFile(one, r, steer, scale)
	if scale > 1 {
		c.say(r.At, Note, "real_server %v: weights are divided by %d", r.Address, scale)
		weight = (weight + scale - 1) / scale
	}
	switch {
	case steer.overflow && weight > 0:
		one.set("max", weight, Origin{cmp.Or(written.At, r.At), "weight"})
		weight = 1
	case !steer.weighs && !byFile:
		weight = min(weight, 1)
	}
	if weight != 1 {
		one.set("weight", weight, Origin{cmp.Or(written.At, r.At), "weight"})
	}
	if !steer.overflow {
		c.thresholds(one, v, r)
	}
	if inhibits(v, r) && !keep {
		one.set("on_failure", "keep", Origin{r.At, "inhibit_on_failure"})
	}
	alpha := optionOf(slices.Concat(r.Options, v.Options), "alpha")
	for _, k := range r.Checks {
		if !alpha.on() {
			alpha = optionOf(k.Options, "alpha")
		}
	}
	if alpha.on() && check != "" {
		one.set("doubted", true, alpha.origin())
	}
	c.alertOption(one, r.Options, "servers")
	omega := optionOf(v.Options, "omega").on()
	c.entryNotify(t, r.Options, "notify_up", []string{"up"}, text, v)
	c.entryNotify(t, r.Options, "notify_down", ends([]string{"down"}, omega), text, v)
	return weight
}

// weighByFile has what a FILE_CHECK's file says added to the server's weight.
func (c *converter) weighByFile(one *Table, r *RealServer, steer steering, scale int) (is bool) {
	for _, k := range r.Checks {
		if k.Kind != "FILE_CHECK" {
			continue
		}
		name := optionOf(k.Options, "track_file")
		i := slices.IndexFunc(c.file.Files, func(f *TrackFile) bool { return f.Name == name.arg(0) && f.Path.Set })
		switch {
		case !name.set():
			c.say(k.At, Fault, "FILE_CHECK has no track_file specified - ignoring")
			continue
		case i < 0:
			c.say(name.At, Fault, "track_file %s not found", name.arg(0))
			continue
		}
		f := c.file.Files[i]
		by, from := c.fileWeight(k, f)
		refuse := func(why string) {
			c.say(k.At, Warning, "FILE_CHECK of real server %v: not carried over: %s", r.Address, why)
		}
		switch {
		case by == 0:
			refuse("weight 0, with which any number takes the server out")
		case steer.overflow || scale > 1:
			refuse("its weight is a number of connections, or too large")
		case one.values["weigh"] != nil:
			refuse("another check says what the server weighs")
		default:
			one.set("weigh", c.named("track_file", "check", f.Name, f.At), name.origin())
			if cut := min(max(by, -mostWeight), mostWeight); cut != by {
				c.say(from.Place, Warning, "weight: %d is cut to %d", by, cut)
				by = cut
			}
			if by != 1 {
				one.set("weigh_by", by, from)
			}
			is = true
		}
	}
	return is
}

// fileWeight is how many times the number in the file counts: as the checker says, else as
// the file does.
func (c *converter) fileWeight(k *Checker, f *TrackFile) (by int, from Origin) {
	const most = 65534
	by, from = f.Weight.or(1), Origin{cmp.Or(f.Weight.At, k.At), "weight"}
	reverse := f.Reverse
	if o := optionOf(k.Options, "weight"); o.set() {
		switch n, err := strconv.Atoi(o.arg(0)); {
		case err != nil || n < -most || n > most:
			c.say(o.At, Fault, "weight for track file must be in [-%d..%d] inclusive. Ignoring...", most, most)
		case n != 0:
			by, from, reverse = n, o.origin(), o.arg(1) == "reverse"
		}
	}
	if reverse {
		by = -by
	}
	return by, from
}

// thresholds are how many connections a server has at most, and below how many it gets new
// ones again: as it says itself, else as the virtual server does.
func (c *converter) thresholds(one *Table, v *VirtualServer, r *RealServer) {
	read := func(word string) (int, Option) {
		o := optionOf(slices.Concat(r.Options, v.Options), word)
		if !o.set() {
			return 0, o
		}
		n, err := strconv.Atoi(o.arg(0))
		if err != nil || n < 0 || n > mostConnections {
			c.say(o.At, Fault, "%s '%s' - must be between 0 and %d", word, o.arg(0), mostConnections)
			return 0, o
		}
		return n, o
	}
	most, upper := read("uthreshold")
	least, lower := read("lthreshold")
	if most > 0 {
		one.set("max", most, upper.origin())
	}
	switch {
	case least == 0:
	case most == 0:
		c.say(lower.At, Warning, "real_server %v: lthreshold %d without uthreshold - ignoring", r.Address, least)
	case least > most:
		c.say(lower.At, Warning, "real_server %v: lthreshold %d is more than uthreshold %d - ignoring", r.Address, least, most)
	case least < most:
		one.set("resume", least, lower.origin())
	}
}

// ends adds that a program is told of the end of the node too.
func ends(list []string, omega bool) []string {
	if omega {
		return append(list, "end")
	}
	return list
}
