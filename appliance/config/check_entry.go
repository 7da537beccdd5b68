package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"understudy/nat"
	"understudy/nat/entry"
)

// Bounds of an entry point's times.
const (
	minPersist, maxPersist     = time.Second, 7 * 24 * time.Hour
	minSlowStart, maxSlowStart = time.Second, time.Hour
	maxConnections             = 1 << 30
)

func (c *checker) checkEntries(raw []*rawEntry, m *Mappings) {
	names := map[string]string{}
	for i, re := range raw {
		path := at("nat.entry", i)
		if re == nil {
			m.Entries = append(m.Entries, Entry{}) // keeps positions
			continue
		}
		e := c.entry(path, re)
		c.unique(names, path, e.Name, "entry point", "give each entry point a name of its own")
		m.Entries = append(m.Entries, e)
	}
	c.overlappingEntries(m)
	c.entriesNotOurs(m.Entries)
}

func (c *checker) entry(path string, raw *rawEntry) Entry {
	def := c.defaults.Entry
	e := Entry{Config: entry.Config{Name: c.name(join(path, "name"), raw.Name, `name the entry point, like name = "web"`)}}
	e.Steer = known(c, join(path, "steer"), raw.Steer, def.Steer, entry.Steers())
	if e.ByPort = or(raw.ByPort, false); e.ByPort && !e.Steer.ByClient() && !c.bad(join(path, "steer")) {
		c.add(join(path, "by_port"), fmt.Sprintf("steer = %s does not go by the client", quote(string(e.Steer))), `write steer = "source-hash" or "consistent-hash", or remove it`)
	}
	e.OnFailure = known(c, join(path, "on_failure"), raw.OnFailure, def.OnFailure, []entry.Policy{entry.Reset, entry.Keep, entry.Move})
	e.How = known(c, join(path, "move"), raw.Move, def.How, []entry.How{entry.Lazy, entry.Replay, entry.Warm})
	c.forwarded(path, raw, &e)
	c.offered(path, raw, &e)
	for i, rs := range raw.Servers {
		if rs != nil {
			s := c.server(at(join(path, "servers"), i), rs, &e)
			e.Servers = append(e.Servers, s)
			if c.mailed(join(at(join(path, "servers"), i), "mail"), rs.Mail, MailServers) {
				e.Mailed = append(e.Mailed, s.Address)
			}
		}
	}
	switch n := len(raw.Servers); {
	case n == 0:
		c.add(join(path, "servers"), "missing", `name them, like servers = [{ address = "10.0.0.21:8443" }]`)
	case n > entry.MaxServers:
		c.add(join(path, "servers"), fmt.Sprintf("%d servers are more than an entry point can have", n), fmt.Sprintf("name at most %d", entry.MaxServers))
	}
	if raw.Spare != nil {
		e.Spare = c.serverAddress(join(path, "spare"), *raw.Spare, &e)
	}
	c.likeServers(path, &e)
	c.replayable(path, raw, &e)
	e.Persist = c.between(join(path, "persist"), raw.Persist, minPersist, maxPersist, "5m")
	c.persistPrefix(path, raw, &e)
	e.SlowStart = c.between(join(path, "slow_start"), raw.SlowStart, minSlowStart, maxSlowStart, "30s")
	c.entryQuorum(path, raw, &e)
	e.Notify = c.entryNotify(join(path, "notify"), raw.Notify, &e)
	e.Mail = c.mailed(join(path, "mail"), raw.Mail, MailEntries)
	return e
}

// forwarded reads how packets get to servers.
func (c *checker) forwarded(path string, raw *rawEntry, e *Entry) {
	forward := known(c, join(path, "forward"), raw.Forward, "nat", []string{"nat", "direct", "tunnel"})
	e.Direct = forward != "nat"
	if forward == "tunnel" {
		e.Tunnel = entry.Tunnel{Kind: entry.IPIP}
	}
	switch {
	case raw.Tunnel == nil || c.bad(join(path, "forward")):
	case forward != "tunnel":
		c.add(join(path, "tunnel"), "packets are not sent to servers in one", `write forward = "tunnel", or remove it`)
	default:
		t, err := entry.ParseTunnel(*raw.Tunnel)
		if err != nil {
			c.add(join(path, "tunnel"), err.Error(), `use "ipip" or "gre", or "gue:PORT" with the UDP port that servers hear it on, like "gue:5555"`)
			return
		}
		e.Tunnel = t
	}
}

// offered reads which packets are offered to the entry point, and with which router it
// moves.
func (c *checker) offered(path string, raw *rawEntry, e *Entry) {
	switch {
	case raw.Address != nil && raw.FwMark != nil:
		c.add(join(path, "fwmark"), "the entry point has an address (line "+strconv.Itoa(c.line(join(path, "address")))+")", "remove one of the two")
	case raw.Address != nil:
		e.Match = c.servicePorts(join(path, "address"), *raw.Address)
		if e.Match.Address.IsValid() {
			e.Router = c.routerOfAddress(path, "address", e.Match.Address, raw.Router, true)
		}
	case raw.FwMark != nil:
		e.Match.Mark = c.packetMark(join(path, "fwmark"), *raw.FwMark, `write a number other than 0, like "0x10", that a rule of your own gives packets before priority -110 of prerouting`)
		switch {
		case raw.Router == nil:
			c.add(join(path, "router"), "missing", "say with which router the entry point moves: a mark does not tell")
		case !c.hasRouter(*raw.Router):
			c.add(join(path, "router"), fmt.Sprintf("there is no router %s", quote(*raw.Router)), suggest(*raw.Router, c.routerNames(), "name a router of this file"))
		default:
			e.Router = *raw.Router
		}
	default:
		c.add(join(path, "address"), "missing", `say what is offered to it, like address = "203.0.113.10:443/tcp", or by a mark, like fwmark = "0x10"`)
	}
}

// packetMark reads a mark that packets carry; 0 if it is none.
func (c *checker) packetMark(path, v, fix string) uint32 {
	n, err := strconv.ParseUint(v, 0, 32)
	if err != nil || n == 0 {
		c.add(path, quote(v)+" is not a mark", fix)
		return 0
	}
	return uint32(n)
}

// servicePorts reads ADDRESS:PORT[-PORT]/PROTOCOL.
func (c *checker) servicePorts(path, v string) (m entry.Match) {
	const like = "203.0.113.10:443"
	where, proto, ok := strings.Cut(v, "/")
	if !ok {
		c.add(path, quote(v)+" has no protocol", fmt.Sprintf("write %s, or /udp or /sctp", quote(v+"/tcp")))
		return m
	}
	p, err := nat.ParseProto(proto)
	if err != nil {
		c.add(path, quote(proto)+" is not a protocol that has servers", fmt.Sprintf("write %s, or /udp or /sctp", quote(where+"/tcp")))
		return m
	}
	last := ""
	if i := strings.LastIndexByte(where, '-'); i > strings.LastIndexByte(where, ':') {
		where, last = where[:i], where[i+1:]
	}
	first, ok := c.addrPort(path, where, like)
	if !ok || !c.translatable(path, first.Addr()) {
		return m
	}
	ports := nat.Ports{First: first.Port(), Last: first.Port()}
	if last != "" {
		n, err := strconv.ParseUint(last, 10, 16)
		if err != nil || uint16(n) < ports.First {
			c.add(path, fmt.Sprintf("%d-%s is no range of ports", ports.First, last), fmt.Sprintf("write FIRST-LAST, like %d-%d", ports.First, min(int(ports.First)+99, 65535)))
			return m
		}
		ports.Last = uint16(n)
	}
	return entry.Match{Address: first.Addr(), Proto: p, Ports: ports}
}

func (c *checker) server(path string, raw *rawServer, e *Entry) entry.Server {
	s := entry.Server{Weight: c.defaults.Server.Weight}
	if raw.Address == nil {
		c.add(join(path, "address"), "missing", `name the server's address and port, like address = "10.0.0.21:8443"`)
	} else {
		s.Address = c.serverAddress(join(path, "address"), *raw.Address, e)
	}
	for _, o := range e.Servers {
		if s.Address.IsValid() && o.Address == s.Address {
			c.add(join(path, "address"), entry.AddressText(s.Address)+" is a server of this entry point already", "remove one of the two")
		}
	}
	if raw.Check != nil {
		s.Check = *raw.Check
		if !c.hasCheck(s.Check) {
			c.add(join(path, "check"), fmt.Sprintf("there is no check %s", quote(s.Check)), suggest(s.Check, c.checkNames(), "add a [[check]] of this name"))
		} else {
			s.Check = c.checkOf(join(path, "check"), s.Check, s.Address)
		}
	}
	c.weighs(path, raw, &s)
	s.Weight = c.count(join(path, "weight"), raw.Weight, s.Weight, 0, entry.MaxWeight)
	if s.Weight > 1 && s.WeighBy == 0 && !e.Steer.Weighs() && !c.bad(join(parent(parent(path)), "steer")) {
		c.add(join(path, "weight"), fmt.Sprintf("steer = %s asks for no weights but 0 and 1", quote(string(e.Steer))), `remove it, or write steer = "weighted"`)
	}
	s.Max = c.count(join(path, "max"), raw.Max, 0, 0, maxConnections)
	if raw.Resume != nil {
		s.Resume = c.count(join(path, "resume"), raw.Resume, 0, 1, maxConnections)
	}
	switch {
	case raw.Resume == nil:
	case raw.Max == nil || s.Max == 0 && !c.bad(join(path, "max")):
		c.add(join(path, "resume"), "there is no max that it would be of", "add max, or remove it")
	case s.Resume > s.Max && !c.bad(join(path, "max")):
		c.add(join(path, "resume"), fmt.Sprintf("%d is more than max, %d", s.Resume, s.Max), "make it that or less, or remove it")
	}
	s.OnFailure = known(c, join(path, "on_failure"), raw.OnFailure, "", []entry.Policy{entry.Reset, entry.Keep}, "move")
	if s.Doubted = or(raw.Doubted, false); s.Doubted && raw.Check == nil {
		c.add(join(path, "doubted"), "no check says whether it is there", "name one, or remove it")
	}
	return s
}

// weighs reads which check says what the server weighs, or by how much more.
func (c *checker) weighs(path string, raw *rawServer, s *entry.Server) {
	weigh, by := join(path, "weigh"), join(path, "weigh_by")
	if raw.Weigh == nil {
		if raw.WeighBy != nil {
			c.add(by, "there is no weigh that it would be of", "name a check of kind \"file\", or remove it")
		}
		return
	}
	s.Weigh = *raw.Weigh
	if !c.hasCheck(s.Weigh) {
		c.add(weigh, fmt.Sprintf("there is no check %s", quote(s.Weigh)), suggest(s.Weigh, c.checkNames(), "add a [[check]] of this name"))
		return
	}
	k := c.config.Check(s.Weigh)
	switch {
	case k == nil:
	case k.Kind == CheckFile && k.Value:
		if s.WeighBy = c.count(by, raw.WeighBy, 1, -entry.MaxWeight, entry.MaxWeight); s.WeighBy == 0 {
			c.add(by, "0 times anything is nothing", "use another number, or remove weigh")
		}
	case k.Kind != CheckScript || !k.Value:
		c.add(weigh, fmt.Sprintf("check %s says no weight", quote(s.Weigh)), `name one of kind "script" or "file" with value = true`)
	case raw.WeighBy != nil:
		c.add(by, fmt.Sprintf("check %s says all of the weight, for it is of kind \"script\"", quote(s.Weigh)), "remove it, or name a check of kind \"file\"")
	}
}

// serverAddress reads a server's address, with the port to call or without one.
func (c *checker) serverAddress(path, v string, e *Entry) netip.AddrPort {
	const like = "10.0.0.21:8443"
	var ap netip.AddrPort
	if a, err := netip.ParseAddr(v); err == nil {
		ap = netip.AddrPortFrom(a, 0)
	} else if p, ok := c.addrPort(path, v, like); ok {
		ap = p
	} else {
		return ap
	}
	if !c.translatable(path, ap.Addr()) {
		return netip.AddrPort{}
	}
	if e.Match.Address.IsValid() {
		c.alike(path, ap.Addr(), e.Match.Address)
	}
	return ap
}

// likeServers refuses servers of which only some have a port, or the family of some.
func (c *checker) likeServers(path string, e *Entry) {
	if len(e.Servers) == 0 || !e.Servers[0].Address.IsValid() {
		return
	}
	first := e.Servers[0].Address
	look := func(path string, a netip.AddrPort) {
		if !a.IsValid() {
			return
		}
		if e.Direct && a.Port() != 0 {
			c.add(path, fmt.Sprintf("%s has a port, and forward = %s leaves packets as they are: a server is called at the port that the client called", a, quote(e.Forward())), "write "+quote(a.Addr().String()))
			return
		}
		if !e.Direct && (a.Port() == 0) != (first.Port() == 0) {
			c.add(path, fmt.Sprintf("%s and %s: one has a port, one has none", entry.AddressText(a), entry.AddressText(first)),
				"write a port with all servers, or with none: then they are called at the port that the client called")
		}
		c.alike(path, a.Addr(), first.Addr())
	}
	for i, s := range e.Servers {
		look(join(at(join(path, "servers"), i), "address"), s.Address)
	}
	look(join(path, "spare"), e.Spare)
	if e.Spare.IsValid() && slices.ContainsFunc(e.Servers, func(s entry.Server) bool { return s.Address == e.Spare }) {
		c.add(join(path, "spare"), entry.AddressText(e.Spare)+" is one of the servers", "name another, or leave it out")
	}
	if !e.Match.Address.IsValid() && e.Router != "" && !c.hasFamily(e.Router, familyOf(first.Addr())) {
		c.add(join(path, "router"), fmt.Sprintf("router %s has no IPv%d address, its servers have", quote(e.Router), familyOf(first.Addr())), "name a router of their family")
	}
}

// between reads a duration; 0 if it is not there.
func (c *checker) between(path string, v *string, least, most time.Duration, like string) time.Duration {
	d := c.duration(path, v, like)
	switch {
	case d == nil:
		return 0
	case *d < least || *d > most:
		c.add(path, *v+" is out of range", fmt.Sprintf("use %v to %v, or leave it out", plain(least), plain(most)))
		return 0
	}
	return *d
}

// persistPrefix reads by what prefix clients are remembered.
func (c *checker) persistPrefix(path string, raw *rawEntry, e *Entry) {
	if raw.Prefix == nil {
		return
	}
	most := 32
	if e.Six() {
		most = 128
	}
	e.PersistPrefix = c.count(join(path, "persist_prefix"), raw.Prefix, 0, 1, most)
	if raw.Persist == nil {
		c.add(join(path, "persist_prefix"), "there is no persist that it would be of", "add persist, or remove it")
	}
}

func (c *checker) entryQuorum(path string, raw *rawEntry, e *Entry) {
	total := 0
	for _, s := range e.Servers {
		total += s.Weight
	}
	e.Quorum = c.count(join(path, "quorum"), raw.Quorum, 0, 0, entry.MaxServers*entry.MaxWeight)
	e.Hysteresis = c.count(join(path, "hysteresis"), raw.Hysteresis, 0, 0, entry.MaxServers*entry.MaxWeight)
	switch {
	case raw.Hysteresis != nil && raw.Quorum == nil:
		c.add(join(path, "hysteresis"), "there is no quorum that it would be of", "add quorum, or remove it")
	case e.Quorum > 0 && e.Hysteresis >= e.Quorum:
		c.add(join(path, "hysteresis"), fmt.Sprintf("%d takes %d to nothing: it would never be lost", e.Hysteresis, e.Quorum), "make it less than quorum")
	case e.Quorum > 0 && e.Quorum+e.Hysteresis > total:
		c.add(join(path, "quorum"), fmt.Sprintf("all servers together weigh %d, so that %d can never be reached", total, e.Quorum+e.Hysteresis), "lower it, or hysteresis")
	}
}

// overlappingEntries refuses two rules for one packet.
func (c *checker) overlappingEntries(m *Mappings) {
	pool := nat.DefaultPorts()
	for i := range m.Entries {
		e, key := &m.Entries[i], "address"
		if !e.Match.Address.IsValid() {
			key = "fwmark"
		}
		path := join(at("nat.entry", i), key)
		if !e.Match.Address.IsValid() && e.Match.Mark == 0 {
			continue
		}
		for j := range m.Entries[:i] {
			if m.Entries[j].Match.Overlaps(e.Match) {
				c.add(path, fmt.Sprintf("%v is also offered to the entry point in line %d", e.Match, c.line(at("nat.entry", j))), "make them disjoint")
			}
		}
		for j, f := range m.Forwards {
			last := max(f.Address.Port(), f.Last)
			if f.Address.IsValid() && e.Match.Address == f.Address.Addr() && e.Match.Proto.String() == string(f.Proto) && e.Match.Ports.First <= last && f.Address.Port() <= e.Match.Ports.Last {
				c.add(path, fmt.Sprintf("%s/%s is forwarded in line %d already", f.Address, f.Proto, c.line(join(at("nat.forward", j), "address"))), "use another address or port")
			}
		}
		for _, s := range m.Sources {
			if e.Match.Address.IsValid() && slices.Contains(s.addresses(), e.Match.Address) && e.Match.Ports.Last >= pool.First {
				c.add(path, fmt.Sprintf("port %d is among those (%s) that source translation uses on %s", e.Match.Ports.Last, pool, e.Match.Address),
					fmt.Sprintf("use a port below %d, or another address", pool.First))
			}
		}
	}
}

// entriesNotOurs refuses servers that are one of the gateways' own addresses.
func (c *checker) entriesNotOurs(entries []Entry) {
	for i, e := range entries {
		refuse := func(path string, a netip.AddrPort) {
			if h, ok := c.holders[a.Addr()]; ok && a.IsValid() {
				c.add(path, fmt.Sprintf("%s is an address of the gateway itself, with router %s (line %d)", a.Addr(), quote(h.router), c.line(h.path)),
					"name a server behind the gateway")
			}
		}
		for j, s := range e.Servers {
			refuse(join(at(join(at("nat.entry", i), "servers"), j), "address"), s.Address)
		}
		refuse(join(at("nat.entry", i), "spare"), e.Spare)
	}
}

// checkSteering refuses what two nodes that see the same packets would not do alike.
func (c *checker) checkSteering() {
	if c.config.Mappings == nil || c.config.Sessions == nil || !c.config.Sessions.Knobs.Mirror {
		return
	}
	for i, e := range c.config.Mappings.Entries {
		path := at("nat.entry", i)
		if e.Steer != entry.Primary && !e.Steer.ByClient() {
			c.add(join(path, "steer"), `with sessions.mode "active" both nodes steer each packet, and must do the same without asking`,
				`use "primary", "source-hash" or "consistent-hash"`)
		}
		if e.Direct {
			c.add(join(path, "forward"), `with sessions.mode "active" both nodes see each packet, and both would hand it to the server`, `use another mode, or forward = "nat"`)
		}
		if e.OnFailure == entry.Move {
			c.add(join(path, "on_failure"), `with sessions.mode "active" the other node would have to take part in a move, and does not`, `use another mode, or on_failure = "reset"`)
		}
		if e.Persist > 0 {
			c.add(join(path, "persist"), `with sessions.mode "active" each node would remember what only it has seen`, `remove it, and steer by "source-hash" or "consistent-hash"`)
		}
	}
}

// askEntries lets the package of entry points look at the whole.
func (c *checker) askEntries() {
	if c.config.Mappings == nil {
		return
	}
	for _, p := range entry.Check(c.config.Entries()) {
		i := slices.IndexFunc(c.config.Mappings.Entries, func(e Entry) bool { return e.Name == p.Entry })
		what, fix, ok := strings.Cut(p.Reason, "; ")
		if !ok {
			fix = "change it"
		}
		c.add(join(at("nat.entry", i), p.Key), what, fix)
	}
}
