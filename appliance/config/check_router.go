package config

import (
	"fmt"
	"net/netip"
	"time"

	"understudy/appliance/identity"
)

const (
	minAdvertise = 10 * time.Millisecond
	maxAdvertise = 4095 * centisecond // 12 bits on the wire, RFC 9568 section 5.2.7
	centisecond  = 10 * time.Millisecond

	maxPreemptDelay = time.Hour
	maxAddresses    = 255 // the count is a byte, RFC 9568 section 5.2.5
)

func (c *checker) checkRouters(raw []*rawRouter) {
	if len(raw) == 0 {
		c.add("router", "missing: nothing to keep alive", "add a [[router]] with name, interface, vrid and addresses")
		return
	}
	for i, rr := range raw {
		if rr != nil {
			c.routers = append(c.routers, c.router(at("router", i), rr)...)
		}
	}
	c.duplicateRouters()
	c.duplicateAddresses()
	for i, rr := range raw {
		if rr != nil {
			c.track(at("router", i), rr)
			c.addressing(at("router", i), rr)
			c.multicast(at("router", i), rr)
			c.routing(at("router", i), rr)
			c.advertising(at("router", i), rr)
		}
	}
	for _, r := range c.routers {
		c.config.Routers = append(c.config.Routers, r.Router)
	}
}

// router reads one [[router]] by itself: a virtual router for each family.
func (c *checker) router(path string, raw *rawRouter) []routerAt {
	def := c.defaults.Router
	r := routerAt{Router: def, path: path}
	r.Name = c.name(join(path, "name"), raw.Name, `name the router, like name = "lan"`)
	r.Interface = c.interfaceName(join(path, "interface"), raw.Interface, `name the interface it runs on, like interface = "eth0"`)
	r.VRID = c.vrid(join(path, "vrid"), raw.VRID)
	r.Priority = c.priority(join(path, "priority"), raw.Priority)
	r.Version = c.version(join(path, "version"), raw.Version)
	r.Advertise = c.advertise(join(path, "advertise"), raw.Advertise, r.Version)
	addresses := c.addresses(join(path, "addresses"), raw.Addresses)
	excluded := c.excluded(join(path, "excluded"), raw.Excluded)
	r.MAC = known(c, join(path, "mac"), raw.MAC, def.MAC, []MAC{MACInterface, MACVirtual})
	r.Preempt = or(raw.Preempt, def.Preempt)
	r.PreemptDelay = c.preemptDelay(path, raw)
	r.Settle = c.settle(path, raw, r.Priority)
	r.Accept = or(raw.Accept, def.Accept)
	r.Checksum = known(c, join(path, "checksum"), raw.Checksum, def.Checksum, []Checksum{ChecksumAuto, ChecksumRFC9568, ChecksumRFC5798, ChecksumGroup})
	if r.Version == 2 && r.Checksum != ChecksumAuto {
		c.add(join(path, "checksum"), "version 2 has one form of the checksum", "remove it")
	} else if r.Checksum == ChecksumGroup && len(raw.Unicast) == 0 {
		c.add(join(path, "checksum"), "group is for adverts to single nodes, and this router has no unicast", "remove it")
	}
	c.owner(path, raw, r.Router)
	c.wire(path, raw, &r.Router)
	r.Pace = c.announcements(join(path, "announce"), raw.Pace)
	r.Notify = c.notifications(join(path, "notify"), raw.Notify)
	r.TellPriority = or(raw.TellPriority, def.TellPriority)
	r.Mail = c.mailed(join(path, "mail"), raw.Mail, MailRouters)
	r.AuthType = c.authType(path, raw, r.Version)
	r.AuthPass = c.authPass(join(path, "auth_pass"), raw.AuthPass, r.Version)
	return c.exclude(c.families(r, raw, addresses), excluded)
}

func (c *checker) vrid(path string, v *int64) uint8 {
	switch {
	case v == nil:
		c.add(path, "missing", "number the virtual router from 1 to 255, as on the other nodes; one number once on a network")
		return 0
	case *v < 1 || *v > 255:
		c.add(path, fmt.Sprintf("%d is not a VRID", *v), "use 1 to 255")
		return 0
	}
	return uint8(*v)
}

func (c *checker) priority(path string, v *int64) uint8 {
	p := or(v, int64(c.defaults.Router.Priority))
	switch {
	case p == 0:
		c.add(path, "0 says that the active node resigns", "use 1 to 254")
	case p < 1 || p > 255:
		c.add(path, fmt.Sprintf("%d is not a priority", p), "use 1 to 254; the highest is active")
	default:
		return uint8(p)
	}
	return 0
}

func (c *checker) advertise(path string, v *string, version uint8) time.Duration {
	like := "100ms"
	if version == 2 {
		like = "1s"
	}
	d := c.duration(path, v, like)
	if d == nil {
		return c.defaults.Router.Advertise
	}
	if version == 2 {
		c.advertiseSeconds(path, *v, *d)
		return *d
	}
	switch rest := *d % centisecond; {
	case *d < minAdvertise:
		c.add(path, *v+" is too short", "use at least 10ms, the least VRRPv3 can say")
	case *d > maxAdvertise:
		c.add(path, *v+" is too long", "use at most 40.95s, the most VRRPv3 can say")
	case rest != 0:
		low := *d - rest
		c.add(path, *v+" is not a whole number of centiseconds, which VRRPv3 counts in", fmt.Sprintf("use %v or %v", low, min(low+centisecond, maxAdvertise)))
	}
	return *d
}

func (c *checker) preemptDelay(router string, raw *rawRouter) time.Duration {
	path := join(router, "preempt_delay")
	d := c.duration(path, raw.PreemptDelay, "30s")
	if d == nil {
		return c.defaults.Router.PreemptDelay
	}
	switch {
	case *d < 0 || *d > maxPreemptDelay:
		c.add(path, *raw.PreemptDelay+" is out of range", "use 0s to 1h")
	case *d > 0 && !or(raw.Preempt, c.defaults.Router.Preempt):
		c.add(path, "preempt = false leaves nothing to delay", "remove it, or write preempt = true")
	}
	return *d
}

// duplicateRouters refuses names and VRIDs that are used twice. A VRID is the
// name of a virtual router on a network, for each address family; the file knows
// a network by its interface.
func (c *checker) duplicateRouters() {
	type network struct {
		iface        string
		vrid, family uint8
	}
	names := map[string]string{}
	vrids := map[network]routerAt{}
	devices := map[string]routerAt{}
	for _, r := range c.routers {
		if first, ok := names[r.Name]; ok && r.Name != "" && first != join(r.path, "name") {
			c.add(join(r.path, "name"), fmt.Sprintf("%s is also the router in line %d", quote(r.Name), c.line(first)), "give each router a name of its own")
		} else {
			names[r.Name] = join(r.path, "name")
		}
		for _, d := range r.Devices() {
			if first, taken := devices[d.Name]; taken && (first.Interface != r.Interface || d.Parent != r.Interface) {
				// One in a million: the names are cut to what the kernel takes.
				c.add(join(r.path, "mac"), fmt.Sprintf("its device would have the name %s, like that of router %s", d.Name, quote(first.Name)),
					`use another VRID, or mac = "interface"`)
			}
			devices[d.Name] = r
		}
		key := network{r.Interface, r.VRID, r.Family}
		if first, ok := vrids[key]; ok && r.Interface != "" && r.VRID != 0 {
			c.add(join(r.path, "vrid"),
				fmt.Sprintf("%d is also the VRID of router %s on %s (line %d)", r.VRID, quote(first.Name), r.Interface, c.line(join(first.path, "vrid"))),
				"use another number, the same on all nodes")
		} else {
			vrids[key] = r
		}
	}
}

// addressAt is an address of a router and its place in the file.
type addressAt struct {
	netip.Prefix
	path string
	dev  string // "": the router's interface
	as   identity.Attributes

	again   bool // in adverts once more, and that is all
	virtual bool // on a device with the router's virtual MAC
}
