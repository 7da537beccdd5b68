package keepalived

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of [[nat.entry]].
const (
	mostServers = 64
	mostWeight  = 1000
	mostQuorum  = 1 << 15

	mostConnections = 1 << 30

	leastKept = time.Second
	mostKept  = 7 * 24 * time.Hour
)

// defaultPersistence is that of persistence_timeout without a number.
const defaultPersistence = 360 * time.Second

// service is what a virtual_server, or a line of its group, is called by.
type service struct {
	address     netip.Addr // invalid: by mark
	first, last uint16
	mark        uint32
	at          Place
	name        string
}

// servers makes [[nat.entry]] of each virtual_server.
func (c *converter) servers() {
	if len(c.file.VirtualServers) == 0 {
		return
	}
	nat := newTable(Origin{c.file.VirtualServers[0].At, "virtual_server"})
	seen := map[string]bool{}
	for _, v := range c.file.VirtualServers {
		key := v.title()
		if seen[key] {
			c.say(v.At, Fault, "Virtual server %s is there twice - ignoring", key)
			continue
		}
		seen[key] = true
		for _, s := range c.services(v) {
			c.entry(nat, v, s)
		}
	}
	if len(nat.keys) > 0 {
		c.doc.set("nat", nat, nat.Origin)
	}
}

// title is how keepalived calls a virtual server.
func (v *VirtualServer) title() string {
	switch {
	case v.Group != "":
		return "group " + v.Group
	case v.Address.IsValid():
		return fmt.Sprintf("[%v]:%d/%s", v.Address.Addr(), v.Address.Port(), strings.ToLower(optionOf(v.Options, "protocol").arg(0)))
	}
	return fmt.Sprintf("FWM %d", v.Mark)
}

// optionOf is the first of the keywords that is there.
func optionOf(list []Option, words ...string) Option {
	for _, o := range list {
		if slices.Contains(words, o.Word) {
			return o
		}
	}
	return Option{}
}

func (o Option) set() bool { return o.Word != "" }

func (o Option) arg(i int) string {
	if i < len(o.Args) {
		return o.Args[i]
	}
	return ""
}

// on tells whether a keyword is there and is not said to be off.
func (o Option) on() bool {
	v := strings.ToLower(o.arg(0))
	return o.set() && v != "off" && v != "false" && v != "no"
}

func (o Option) origin() Origin { return Origin{o.At, o.Word} }

// groupOf begins the key of the virtual_server_group that an entry point is a line of.
const groupOf = "virtual_server_group of "

// services are what a virtual server is called by: of a group several.
func (c *converter) services(v *VirtualServer) (list []service) {
	switch {
	case v.Group != "":
		i := slices.IndexFunc(c.file.ServerGroups, func(g *ServerGroup) bool { return g.Name == v.Group })
		if i < 0 {
			c.say(v.At, Fault, "Virtual server group %s specified but not configured - ignoring virtual server", v.Group)
			return nil
		}
		for _, l := range c.file.ServerGroups[i].Lines {
			list = append(list, c.groupLine(v.Group, l)...)
		}
	case v.Address.IsValid():
		s := service{address: v.Address.Addr(), first: v.Address.Port(), last: v.Address.Port(), at: v.At}
		s.name = fmt.Sprintf("vs-%v-%d", s.address, s.first)
		list = append(list, s)
	case v.Mark != 0:
		list = append(list, service{mark: v.Mark, at: v.At, name: fmt.Sprintf("vs-fwmark-%d", v.Mark)})
	}
	for i := range list {
		if list[i].first == 0 && list[i].mark == 0 {
			list[i].first, list[i].last = 1, 65535
		}
	}
	return list
}

// groupLine reads "ADDRESS[-LAST] PORT" or "fwmark N".
func (c *converter) groupLine(group string, l Option) (list []service) {
	wrong := func(what string) {
		c.say(l.At, Fault, "virtual_server_group %s: %s %s: %s - ignoring", group, l.Word, strings.Join(l.Args, " "), what)
	}
	if l.Word == "fwmark" {
		mark, err := strconv.ParseUint(l.arg(0), 0, 32)
		if err != nil || mark == 0 {
			wrong("that is no firewall mark")
			return nil
		}
		return []service{{mark: uint32(mark), at: l.At, name: fmt.Sprintf("%s-fwmark-%d", group, mark)}}
	}
	text, last, ranged := strings.Cut(l.Word, "-")
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		wrong("that is no address")
		return nil
	}
	port := uint64(0)
	if l.arg(0) != "" {
		if port, err = strconv.ParseUint(l.arg(0), 10, 16); err != nil {
			wrong("that is no port")
			return nil
		}
	}
	count := 1
	if ranged {
		if count, err = rangeLength(a, last); err != nil {
			wrong(err.Error())
			return nil
		}
	}
	for range count {
		list = append(list, service{address: a, first: uint16(port), last: uint16(port), at: l.At, name: fmt.Sprintf("%s-%v-%d", group, a, port)})
		a = a.Next()
	}
	return list
}

// rangeLength is how many addresses there are from a to the one whose last part is last.
func rangeLength(a netip.Addr, last string) (int, error) {
	base, octet := 10, int(a.AsSlice()[len(a.AsSlice())-1])
	if a.Is6() {
		b := a.As16()
		base, octet = 16, int(b[14])<<8|int(b[15])
	}
	n, err := strconv.ParseUint(last, base, 16)
	if err != nil || int(n) < octet || a.Is4() && n > 255 {
		return 0, fmt.Errorf("%s is no end of a range", last)
	}
	return int(n) - octet + 1, nil
}

// entry makes one [[nat.entry]]; none, with a message, if it cannot be.
func (c *converter) entry(nat *Table, v *VirtualServer, s service) {
	o := Origin{s.at, "virtual_server " + v.title()}
	refuse := func(at Place, l Level, format string, args ...any) {
		c.say(at, l, "virtual_server %s: not carried over: %s", v.title(), fmt.Sprintf(format, args...))
	}
	router, ok := c.routerOf(s, v)
	if !ok {
		if s.mark == 0 {
			refuse(s.at, Warning, "no instance has the address %v, so that it would not move; add it to virtual_ipaddress or virtual_ipaddress_excluded", s.address)
		} else {
			refuse(s.at, Warning, "there is no instance that it could move with")
		}
		return
	}
	steer, ok := c.steer(v, refuse)
	by, takes := c.kind(v, refuse)
	if !ok || !takes {
		return
	}
	t := newTable(o)
	name := c.unique("entry", asName(s.name))
	t.set("name", name, o)
	if v.Group != "" {
		c.given[groupOf+name] = v.Group
	}
	switch {
	case s.mark != 0:
		t.set("fwmark", "0x"+strconv.FormatUint(uint64(s.mark), 16), o)
	default:
		text := netip.AddrPortFrom(s.address, s.first).String()
		if s.last != s.first {
			text += "-" + strconv.Itoa(int(s.last))
		}
		protocol := optionOf(v.Options, "protocol")
		t.set("address", text+"/"+protocolOf(protocol), origin(Of[string]{Set: protocol.set(), At: protocol.At}, "protocol", o))
	}
	t.set("router", router, o)
	algorithm := optionOf(v.Options, "lb_algo", "lvs_sched")
	t.set("steer", steer.name, Origin{cmp.Or(algorithm.At, v.At), cmp.Or(algorithm.Word, "lvs_sched wlc, as nothing else is said")})
	c.byPort(t, v, steer)
	if method := optionOf(v.Options, "lb_kind", "lvs_method"); by.handed() {
		from := Origin{cmp.Or(method.At, v.At), cmp.Or(method.Word, "lvs_method")}
		t.set("forward", by.forward, from)
		if by.tunnel != methods["TUN"].tunnel && by.tunnel != "" {
			t.set("tunnel", by.tunnel, from)
		}
	}
	total := c.realServers(t, v, s, steer, by)
	if total < 0 {
		refuse(s.at, Warning, "it has no server")
		return
	}
	c.spare(t, v, s, by)
	c.persistence(t, v, s)
	c.quorum(t, v, total)
	c.alertOption(t, v.Options, "entries")
	list, _ := nat.values["entry"].([]*Table)
	nat.set("entry", append(list, t), nat.Origin)
}

// routerOf is the instance that has the address; what comes by a mark moves with the
// first one of the servers' family.
func (c *converter) routerOf(s service, v *VirtualServer) (string, bool) {
	six := s.address.Is6()
	if s.mark != 0 && len(v.Servers) > 0 {
		six = v.Servers[0].Address.Addr().Is6()
	}
	for _, in := range c.file.Instances {
		name, made := c.given["vrrp_instance "+in.Name]
		if !made {
			continue
		}
		for _, a := range slices.Concat(in.Addresses, in.Excluded) {
			if s.mark != 0 && a.Prefix.Addr().Is6() == six || a.Prefix.Addr() == s.address {
				if s.mark != 0 && len(c.file.Instances) > 1 {
					c.say(s.at, Note, "virtual_server %s is taken to move with %s", v.title(), in.Name)
				}
				return name, true
			}
		}
	}
	return "", false
}

// protocolOf is UDP if nothing is said, as keepalived has it.
func protocolOf(o Option) string {
	switch p := strings.ToLower(o.arg(0)); p {
	case "tcp", "sctp":
		return p
	}
	return "udp"
}

// unique is a name that nothing else of the kind has.
func (c *converter) unique(scope, name string) string {
	n := name
	for i := 2; c.taken[scope+" "+n]; i++ {
		n = fmt.Sprintf("%.56s-%d", name, i)
	}
	c.taken[scope+" "+n] = true
	return n
}

func addressText(a netip.AddrPort) string {
	if a.Port() == 0 {
		return a.Addr().String()
	}
	return a.String()
}

// entryNotify says which program is told: of all lines of a group once.
func (c *converter) entryNotify(t *Table, options []Option, word string, on []string, server string, v *VirtualServer) {
	o := optionOf(options, word)
	if !o.set() {
		return
	}
	if v.Group != "" {
		key := fmt.Sprintf("%s %s %s %v", word, v.Group, server, v.At)
		if c.taken[key] {
			return
		}
		c.taken[key] = true
	}
	p := &parser{world: c.world, file: c.file}
	argv, user, ok := p.command(&Node{Word: o.Word, Args: o.Args, At: o.At}, word)
	for _, m := range p.list {
		c.say(m.Place, m.Level, "%s", m.Text)
	}
	if !ok {
		return
	}
	// One that is told of both has one list of them.
	if list, _ := t.values["notify"].([]*Table); len(list) > 0 {
		for _, n := range list {
			have, _ := n.values["command"].([]Item)
			of, _ := n.values["server"].(string)
			who, _ := n.values["user"].(string)
			if of == server && who == user && slices.EqualFunc(have, argv, func(i Item, s string) bool { return i.Text == s }) {
				for _, e := range on {
					n.add("on", e, o.origin())
				}
				return
			}
		}
	}
	n := t.table("notify", o.origin())
	for _, a := range argv {
		n.add("command", a, o.origin())
	}
	for _, e := range on {
		n.add("on", e, o.origin())
	}
	if server != "" {
		n.set("server", server, o.origin())
	}
	n.set("timeout", patience, o.origin())
	if user != "" {
		n.set("user", user, o.origin())
	}
}

// spare is the sorry_server.
func (c *converter) spare(t *Table, v *VirtualServer, s service, by forwarding) {
	o := optionOf(v.Options, "sorry_server")
	if !o.set() {
		return
	}
	a, err := netip.ParseAddr(o.arg(0))
	if err != nil || s.mark == 0 && a.Is6() != s.address.Is6() {
		c.say(o.At, Fault, "sorry_server: '%s' is no address of a server - ignoring", o.arg(0))
		return
	}
	port := uint64(0)
	if o.arg(1) != "" {
		if port, err = strconv.ParseUint(o.arg(1), 10, 16); err != nil {
			c.say(o.At, Fault, "sorry_server: '%s' is not a port - ignoring", o.arg(1))
		}
	}
	servers, _ := t.values["servers"].([]*Table)
	first, _ := servers[0].values["address"].(string)
	_, err = netip.ParseAddrPort(first)
	called := err != nil // servers are called at the port that was called
	switch {
	case called && port != 0:
		if uint16(port) != s.first {
			c.say(o.At, Warning, "sorry_server: not carried over: its port; it is called at the port that the client called")
		}
		port = 0
	case !called && port == 0 && s.first == s.last:
		port = uint64(s.first)
	case !called && port == 0:
		c.say(o.At, Warning, "sorry_server: not carried over: it has no port, and the servers have one")
		return
	}
	text := addressText(netip.AddrPortFrom(a, uint16(port)))
	if slices.ContainsFunc(servers, func(t *Table) bool { return t.values["address"] == text }) {
		c.say(o.At, Warning, "sorry_server: not carried over: %s is one of the servers", text)
		return
	}
	if m := optionOf(v.Options, "sorry_server_lvs_method"); m.set() {
		if is := c.method(m, by); is != by {
			c.say(m.At, Warning, "sorry_server: not carried over: it would get packets by %v, and the servers do not", is)
			return
		}
	}
	t.set("spare", text, o.origin())
}

func (c *converter) persistence(t *Table, v *VirtualServer, s service) {
	o := optionOf(v.Options, "persistence_timeout")
	prefix, of := c.granularity(v, s)
	switch {
	case !o.set() && !of.set():
		return
	case of.set() && prefix > 0:
		defer func() {
			if t.values["persist"] != nil {
				t.set("persist_prefix", prefix, of.origin())
			}
		}()
	}
	d := defaultPersistence
	if !o.set() {
		o = of // it asks for it as well
	} else if o.arg(0) != "" {
		n, err := strconv.Atoi(o.arg(0))
		if err != nil || n < 1 || n > 1<<31-1 {
			c.say(o.At, Fault, "persistence_timeout '%s' - must be between 1 and %d", o.arg(0), 1<<31-1)
			return
		}
		d = time.Duration(min(n, 1<<30)) * time.Second
	}
	if d > mostKept {
		c.say(o.At, Warning, "persistence_timeout: %v is cut to %v", d, mostKept)
	}
	t.set("persist", duration(min(max(d, leastKept), mostKept)), o.origin())
}

// granularity is the length of the prefix by which clients count as one, and the keyword
// that says so; 0: each by itself.
func (c *converter) granularity(v *VirtualServer, s service) (prefix int, o Option) {
	o = optionOf(v.Options, "persistence_granularity")
	if !o.set() {
		return 0, o
	}
	six := s.address.Is6()
	if s.mark != 0 {
		six = v.Servers[0].Address.Addr().Is6()
	}
	if six {
		n, err := strconv.Atoi(o.arg(0))
		if err != nil || n < 1 || n > 128 {
			c.say(o.At, Fault, "Invalid IPv6 persistence_granularity specified - %s", o.arg(0))
			return 0, Option{}
		}
		return n % 128, o
	}
	mask, err := netip.ParseAddr(o.arg(0))
	if n, notNumber := strconv.ParseUint(o.arg(0), 10, 32); notNumber == nil {
		// As inet_aton(3) has it: all of the mask.
		mask, err = netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(n)))), nil
	}
	if err != nil || !mask.Is4() {
		c.say(o.At, Fault, "Invalid IPv4 persistence_granularity specified - %s", o.arg(0))
		return 0, Option{}
	}
	prefix, bits := net.IPMask(mask.AsSlice()).Size()
	if bits == 0 || prefix == 0 {
		c.say(o.At, Warning, "persistence_granularity %s: not carried over: it is the mask of no prefix; each client counts by itself", o.arg(0))
	}
	return prefix % 32, o
}

// quorum sets what counts as enough servers. total is what they all weigh.
func (c *converter) quorum(t *Table, v *VirtualServer, total int) {
	read := func(word string, def int) (int, Option) {
		o := optionOf(v.Options, word)
		if !o.set() {
			return def, o
		}
		n, err := strconv.Atoi(o.arg(0))
		if err != nil || n < 0 || n > mostQuorum {
			c.say(o.At, Fault, "%s '%s' - must be between 0 and %d", word, o.arg(0), mostQuorum)
			return def, Option{}
		}
		return n, o
	}
	quorum, qo := read("quorum", 1)
	hysteresis, ho := read("hysteresis", 0)
	if hysteresis >= quorum {
		c.say(ho.At, Fault, "Virtual server %s: hysteresis %d must be less than the quorum %d - setting to %d", v.title(), hysteresis, quorum, max(quorum-1, 0))
		hysteresis = max(quorum-1, 0)
	}
	if quorum+hysteresis > total && qo.set() {
		c.say(qo.At, Warning, "Virtual server %s: all servers weigh %d: the quorum is cut to that", v.title(), total)
		quorum = min(quorum, total)
		hysteresis = max(0, min(hysteresis, total-quorum))
	}
	if qo.set() && quorum > 0 {
		t.set("quorum", quorum, qo.origin())
		if hysteresis > 0 {
			t.set("hysteresis", hysteresis, ho.origin())
		}
	}
	omega := optionOf(v.Options, "omega").on()
	c.entryNotify(t, v.Options, "quorum_up", []string{"up"}, "", v)
	c.entryNotify(t, v.Options, "quorum_down", ends([]string{"down"}, omega), "", v)
}
