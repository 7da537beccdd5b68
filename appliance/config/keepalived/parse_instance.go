package keepalived

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

func (p *parser) instance(block *Node) *Instance {
	in := &Instance{Name: block.arg(0), At: block.At}
	for _, n := range block.Children {
		p.instanceLine(in, n)
	}
	return in
}

func (p *parser) instanceLine(in *Instance, n *Node) {
	switch n.Word {
	case "state":
		switch n.arg(0) {
		case "MASTER":
			in.Master = of(true, n.At)
		case "BACKUP":
			if in.Master.V {
				p.say(n.At, Fault, "(%s) state previously set as MASTER - ignoring BACKUP", in.Name)
			} else {
				in.Standby = of(true, n.At)
			}
		default:
			p.say(n.At, Fault, "(%s) unknown state '%s', defaulting to BACKUP", in.Name, n.arg(0))
		}
	case "interface":
		set(p, n, &in.Interface, n.arg(0))
	case "virtual_router_id":
		if v, err := strconv.Atoi(n.arg(0)); err != nil || v < 1 || v > 255 {
			p.say(n.At, Fault, "(%s): VRID '%s' not valid - must be between 1 & 255", in.Name, n.arg(0))
		} else {
			in.VRID = of(uint8(v), n.At)
		}
	case "priority":
		v, err := strconv.Atoi(n.arg(0))
		if err != nil || v < 1 || v > 255 {
			p.say(n.At, Fault, "(%s) Priority not valid! must be between 1 & 255. Using default 100", in.Name)
			v = 100
		}
		in.Priority = of(uint8(v), n.At)
	case "advert_int":
		if d, ok := p.seconds(n, 10*time.Millisecond, 255*time.Second); ok {
			in.Interval = of(d, n.At)
		}
	case "version":
		if v, ok := p.number(n, 2, 3); ok {
			in.Version = of(uint8(v), n.At)
		}
	case "strict_mode":
		in.Strict = p.boolean(n)
	case "virtual_ipaddress":
		in.Addresses = append(in.Addresses, p.addresses(in.Name, n)...)
	case "virtual_ipaddress_excluded":
		in.Excluded = append(in.Excluded, p.addresses(in.Name, n)...)
	case "no_virtual_ipaddress":
		in.None = of(true, n.At)
	case "virtual_routes":
		in.Routes = append(in.Routes, n.Children...)
	case "virtual_rules":
		in.Rules = append(in.Rules, n.Children...)
	case "nopreempt":
		in.NoPreempt = of(true, n.At)
	case "preempt":
		in.NoPreempt = of(false, n.At)
	case "preempt_delay":
		if d, ok := p.seconds(n, 0, 1000*time.Second); ok {
			in.PreemptDelay = of(d, n.At)
		}
	case "authentication":
		p.authentication(in, n)
	case "unicast_src_ip":
		in.Source = p.addr(in, n)
	case "mcast_src_ip":
		in.SourceMcast = p.addr(in, n)
	case "unicast_peer":
		in.Unicast = true
		for _, c := range n.Children {
			p.peer(in, c)
		}
	case "unicast_ttl":
		if v, err := strconv.Atoi(n.arg(0)); err != nil || v < 0 || v > 255 {
			p.say(n.At, Fault, "(%s): TTL '%s' not valid - must be between 0 & 255", in.Name, n.arg(0))
		} else {
			in.TTL = of(v, n.At)
		}
	case "old_unicast_checksum":
		if v := n.arg(0); v != "" && v != "never" {
			p.say(n.At, Fault, "(%s) Unknown old_unicast_chksum mode %s - ignoring", in.Name, v)
		} else {
			in.OldChecksum = of(v, n.At)
		}
	case "unicast_fault_no_peer":
		in.PeersNeeded = of(true, n.At)
	case "dont_track_primary":
		in.Untracked = of(true, n.At)
	case "v3_checksum_as_v2":
		in.ChecksumV2 = p.boolean(n)
	case "accept":
		in.Accept = of(true, n.At)
	case "no_accept":
		in.Accept = of(false, n.At)
	case "use_vmac_addr":
		in.VMACAddr = of(true, n.At)
	case "use_vmac":
		in.VMAC = of(true, n.At)
		if len(n.Args) > 0 {
			p.say(n.At, Warning, "use_vmac: not carried over: %s; the device is named by its VRID and interface, and has the MAC of RFC 9568", strings.Join(n.Args, " "))
		}
	case "track_interface", "track_script", "track_file", "track_process":
		in.Track = append(in.Track, p.tracked(n, "("+in.Name+")")...)
	case "notify", "notify_master", "notify_backup", "notify_fault", "notify_stop", "notify_deleted", "notify_master_rx_lower_pri":
		in.Notify = p.notified(in.Notify, n, "("+in.Name+")")
	case "notify_priority_changes":
		in.TellPriority = p.boolean(n)
	case "mcast_dst_ip":
		in.Group = p.multicast(n, strings.Contains(n.arg(0), ":"))
	case "vmac_xmit_base":
		in.BaseMAC = p.boolean(n)
	case "garp_lower_prio_repeat":
		in.LowerRepeat = of(n.arg(0) != "0", n.At)
	case "garp_lower_prio_delay":
		in.LowerDelay = of(n.arg(0) != "0", n.At)
	case "higher_prio_send_advert":
		in.HigherSends = p.boolean(n)
	case "smtp_alert":
		in.Alert = p.boolean(n)
	default:
		p.pace(&in.Pace, n, n.Word)
		p.wire(&in.Wire, n, n.Word)
	}
}

// addresses reads "ADDR[/LEN] [dev IF] …", a line each.
func (p *parser) addresses(whose string, block *Node) (list []Address) {
	for _, n := range block.Children {
		if n.Word == "" {
			continue
		}
		prefix, err := address(n.Word)
		if err != nil {
			p.say(n.At, Fault, "VRRP parsed invalid IP %s. skipping IP...", n.Word)
			continue
		}
		a := Address{Prefix: prefix, At: n.At}
		for i := 0; i < len(n.Args); i++ {
			word, value := n.Args[i], n.arg(i+1)
			switch word {
			case "dev":
				a.Dev = value
				i++
			case "brd", "broadcast", "scope", "label", "peer", "preferred_lft":
				i++
				if more := p.attribute(whose, n, prefix, word, value); more != "" {
					a.As += " " + more
				}
			case "track_group":
				if i++; whose == static.name {
					a.Group = value
				} else {
					p.say(n.At, Fault, "Unknown configuration entry '%s' for ip address - ignoring", word)
				}
			case "-nodad", "no_track":
				// The address is there at once, and put back if somebody deletes it.
			case "home", "noprefixroute":
				a.As += " " + word
			case "autojoin":
				if !prefix.Addr().IsMulticast() {
					p.say(n.At, Warning, "(%s) %s: autojoin is for multicast groups, and keepalived does not get an address with it into the kernel; it is there without", whose, n.Word)
					continue
				}
				a.As += " autojoin"
			case "mngtmpaddr":
				if !prefix.Addr().Is6() || prefix.Bits() != 64 {
					p.say(n.At, Warning, "(%s) %s: mngtmpaddr is for networks of /64, and keepalived does not get an address with it into the kernel; it is there without", whose, n.Word)
					continue
				}
				a.As += " mngtmpaddr"
			case "use_vmac":
				if whose == static.name {
					p.say(n.At, Fault, "Unknown configuration entry '%s' for ip address - ignoring", word)
				} else {
					a.Virtual = true
				}
			default:
				p.say(n.At, Fault, "Unknown configuration entry '%s' for ip address - ignoring", word)
			}
		}
		list = append(list, a)
	}
	return list
}

func (p *parser) authentication(in *Instance, block *Node) {
	for _, n := range block.Children {
		switch n.Word {
		case "auth_type":
			switch n.arg(0) {
			case "PASS", "SIMPLE", "AH":
				in.AuthType = of(n.arg(0), n.At)
			default:
				p.say(n.At, Fault, "(%s) unknown authentication type '%s'", in.Name, n.arg(0))
			}
		case "auth_pass":
			v := n.arg(0)
			if len(v) > 8 {
				p.say(n.At, Fault, "Truncating auth_pass to 8 characters")
				v = v[:8]
			}
			if v == "" {
				p.say(n.At, Fault, "auth_pass is missing its parameter")
			} else {
				in.AuthPass = of(v, n.At)
			}
		}
	}
}

func (p *parser) addr(in *Instance, n *Node) Of[netip.Addr] {
	a, err := netip.ParseAddr(n.arg(0))
	if err != nil || a.Is4In6() {
		p.say(n.At, Fault, "(%s) Malformed %s address '%s'", in.Name, n.Word, n.arg(0))
		return Of[netip.Addr]{}
	}
	return of(a.WithZone(""), n.At)
}

// peer reads "ADDR [min_ttl N] [max_ttl N]". Several addresses may share a line.
func (p *parser) peer(in *Instance, n *Node) {
	list := n.all()
	for i := 0; i < len(list); i++ {
		switch list[i] {
		case "":
		case "min_ttl", "max_ttl":
			p.peerTTL(in, n, list[i:])
			i++
		default:
			a, err := netip.ParseAddr(list[i])
			if err != nil || a.Is4In6() {
				p.say(n.At, Fault, "(%s) unicast peer address '%s' is not valid - ignoring", in.Name, list[i])
				continue
			}
			in.Peers = append(in.Peers, of(a.WithZone(""), n.At))
		}
	}
	for _, a := range in.Peers {
		if ttl, ok := in.PeerTTLs[a.V]; ok && a.At == n.At && ttl.Least > ttl.Most {
			p.say(n.At, Fault, "(%s) min_ttl %d > max_ttl %d - all packets will be discarded", in.Name, ttl.Least, ttl.Most)
			delete(in.PeerTTLs, a.V)
		}
	}
}

// peerTTL reads min_ttl or max_ttl, and its value, of the peer before it.
func (p *parser) peerTTL(in *Instance, n *Node, list []string) {
	if len(list) < 2 {
		p.say(n.At, Fault, "(%s) %s is missing a value", in.Name, list[0])
		return
	}
	v, ok := p.number(&Node{Word: list[0], Args: list[1:2], At: n.At}, 0, 255)
	if !ok || len(in.Peers) == 0 {
		return
	}
	a := in.Peers[len(in.Peers)-1].V
	ttl, there := in.PeerTTLs[a]
	if !there {
		ttl.Most = 255
	}
	if in.PeerTTLs == nil {
		in.PeerTTLs = map[netip.Addr]TTLs{}
	}
	if list[0] == "min_ttl" {
		ttl.Least = v
	} else {
		ttl.Most = v
	}
	in.PeerTTLs[a] = ttl
}

// tracked reads the lines of a track_ block: "NAME [weight N [reverse|noreverse]]".
func (p *parser) tracked(block *Node, whose string) (list []Tracked) {
	kind := strings.TrimPrefix(block.Word, "track_")
	for _, n := range block.Children {
		if n.Word == "" {
			continue
		}
		t := Tracked{Kind: kind, Name: n.Word, At: n.At}
		for i := 0; i < len(n.Args); i++ {
			switch n.Args[i] {
			case "weight":
				i++
				w, err := strconv.Atoi(n.arg(i))
				most := 253
				switch kind {
				case "file":
					most = 1<<31 - 1
				case "process":
					most = 254
				}
				if err != nil || w < -most || w > most {
					p.say(n.At, Fault, "%s weight '%s' for %s %s must be in [-%d..%d] - ignoring", whose, n.arg(i), kind, n.Word, most, most)
					continue
				}
				t.Weight = of(w, n.At)
			case "reverse":
				t.Reverse = true
			case "noreverse":
				t.NoRevers = true
			default:
				p.say(n.At, Fault, "%s unknown track_%s option %s - ignoring", whose, kind, n.Args[i])
			}
		}
		list = append(list, t)
	}
	return list
}

// notified reads a notify keyword; of one kind the first counts.
func (p *parser) notified(list []Notified, n *Node, whose string) []Notified {
	state := strings.TrimPrefix(strings.TrimPrefix(n.Word, "notify"), "_")
	for _, o := range list {
		if o.State == state {
			p.say(n.At, Fault, "%s %s script already specified - ignoring %s", whose, n.Word, n.arg(0))
			return list
		}
	}
	argv, user, ok := p.command(n, whose+" "+n.Word)
	if !ok {
		return list
	}
	return append(list, Notified{State: state, Command: argv, User: user, At: n.At})
}
