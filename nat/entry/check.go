package entry

import (
	"fmt"
	"net/netip"

	"understudy/nat"
)

// Problem is one mistake in a [Config].
type Problem struct {
	Entry  string // its name
	Key    string // the field that is wrong, as the file spells it
	Reason string // what is wrong, and behind a semicolon the fix
}

func (p Problem) Error() string { return "entry " + p.Entry + ": " + p.Key + ": " + p.Reason }

// Check returns everything that is wrong with the entry points: what [New] and whoever
// applies them take for granted.
func Check(all []Config) (out []Problem) {
	for i := range all {
		out = append(out, check(&all[i])...)
		for j := range all[:i] {
			if all[j].Name == all[i].Name {
				out = append(out, Problem{all[i].Name, "name", "used twice; rename one"})
			}
			if all[j].Match.Overlaps(all[i].Match) {
				out = append(out, Problem{all[i].Name, "address", fmt.Sprintf("%v is also that of %s; make them disjoint", all[i].Match, all[j].Name)})
			}
		}
	}
	return out
}

func check(c *Config) (out []Problem) {
	add := func(key, format string, args ...any) {
		out = append(out, Problem{c.Name, key, fmt.Sprintf(format, args...)})
	}
	if m := c.Match; m.Address.IsValid() {
		switch m.Proto {
		case nat.TCP, nat.UDP, nat.SCTP:
		default:
			add("address", "protocol %v; want tcp, udp or sctp", m.Proto)
		}
		if m.Ports.First == 0 || m.Ports.First > m.Ports.Last {
			add("address", "%v is no range of ports; want 1 to 65535", m.Ports)
		}
	} else if m.Mark == 0 {
		add("fwmark", "0 is what every packet has; use another mark")
	}
	if len(c.Servers) == 0 || len(c.Servers) > MaxServers {
		add("servers", "there are %d; want 1 to %d", len(c.Servers), MaxServers)
		return out
	}
	seen := map[netip.AddrPort]bool{}
	like := c.Servers[0].Address
	total := 0
	alike := func(key string, a netip.AddrPort) {
		switch {
		case !a.IsValid() || a.Addr().Is4In6():
			add(key, "%v is no address; want ADDRESS:PORT", a)
		case a.Addr().Is6() != c.Six():
			add(key, "%v is of another family than %v; map each family to itself", a, c.Match)
		case (a.Port() == 0) != (like.Port() == 0):
			add(key, "%v and %v: one has a port, one has none; write it with all servers, or with none", AddressText(a), AddressText(like))
		}
	}
	for _, s := range c.Servers {
		alike("servers", s.Address)
		if seen[s.Address] {
			add("servers", "%v is there twice; remove one", s.Address)
		}
		seen[s.Address] = true
		if s.Weight < 0 || s.Weight > MaxWeight {
			add("servers", "weight %d; want 0 to %d", s.Weight, MaxWeight)
		}
		if s.WeighBy < -MaxWeight || s.WeighBy > MaxWeight {
			add("servers", "weighed by %d; want -%d to %d", s.WeighBy, MaxWeight, MaxWeight)
		}
		if s.Max < 0 {
			add("servers", "%d connections; want 0, which is any number, or more", s.Max)
		}
		if s.Resume < 0 || s.Resume > s.Max {
			add("servers", "resumes below %d connections; want 0 to max, %d", s.Resume, s.Max)
		}
		total += s.Weight
	}
	if c.Direct && like.Port() != 0 {
		add("servers", "%v: forward = %q leaves packets as they are, so a server is called at the port that the client called; write %v", like, c.Forward(), like.Addr())
	}
	if c.Tunnel != (Tunnel{}) && !c.Direct {
		add("tunnel", "packets that are translated need none; remove it")
	}
	if c.ByPort && !c.Steer.ByClient() {
		add("by_port", "steer = %q does not go by the client; use %q or %q", string(c.Steer), string(SourceHash), string(ConsistentHash))
	}
	if c.OnFailure == Move {
		const instead = `write on_failure = "reset"`
		switch {
		case !c.Match.Address.IsValid():
			add("on_failure", "move goes by the address that the client called, and a mark does not tell it; "+instead)
		case c.Match.Proto != nat.TCP:
			add("on_failure", "move is for connections of TCP; "+instead)
		case c.Direct:
			add("on_failure", "move has the gateway translate, and with forward = %q it does not see what servers say; "+instead, c.Forward())
		case like.Port() == 0:
			add("on_failure", "move tells servers by address and port, and they have no port; write it with all of them")
		}
	}
	if bits := like.Addr().BitLen(); c.PersistPrefix != 0 {
		switch {
		case c.Persist == 0:
			add("persist_prefix", "there is no persist that it would be of; add it, or remove this")
		case c.PersistPrefix < 0 || c.PersistPrefix > bits:
			add("persist_prefix", "%d is no length of a prefix; want 1 to %d", c.PersistPrefix, bits)
		}
	}
	if c.Spare.IsValid() {
		alike("spare", c.Spare)
		if seen[c.Spare] {
			add("spare", "%v is a server already; name another", c.Spare)
		}
	}
	switch {
	case c.Quorum < 0 || c.Hysteresis < 0:
		add("quorum", "is less than nothing; want 0 or more")
	case c.Quorum+c.Hysteresis > total && c.Quorum > 0:
		add("quorum", "all servers together weigh %d, and %d is needed: it could never be reached; lower it", total, c.Quorum+c.Hysteresis)
	}
	return out
}

// MaxWeight is the most that a server can weigh.
const MaxWeight = 1000
