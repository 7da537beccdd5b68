package session

import (
	"strconv"
	"time"
)

// Class says what becomes of the flows of a kind. Which kind is told by what was
// called: the protocol and the port of the original destination.
type Class struct {
	Proto uint8   // IP protocol number; 0: any. 1 stands for ICMPv6 too
	Ports []Ports // empty: any
	// Never: such flows are not replicated.
	Never bool
	// MinAge is how old a flow must be to be replicated: most are over before,
	// and cost nothing then.
	MinAge time.Duration
}

// String names the kind: "tcp 443,8000-8010".
func (c *Class) String() string {
	s := ProtocolName(c.Proto)
	if c.Proto == 0 {
		s = "any"
	}
	for i, p := range c.Ports {
		s += string(" ,"[min(i, 1)]) + strconv.Itoa(int(p.First))
		if p.Last != p.First {
			s += "-" + strconv.Itoa(int(p.Last))
		}
	}
	return s
}

// ProtocolName is the name of an IP protocol, or its number.
func ProtocolName(proto uint8) string {
	switch proto {
	case protoICMP:
		return "icmp"
	case protoTCP:
		return "tcp"
	case protoUDP:
		return "udp"
	case protoDCCP:
		return "dccp"
	case protoGRE:
		return "gre"
	case protoICMPv6:
		return "icmpv6"
	case protoSCTP:
		return "sctp"
	case protoUDPLite:
		return "udplite"
	}
	return strconv.Itoa(int(proto))
}

// Ports is a closed range of ports.
type Ports struct{ First, Last uint16 }

// Policy lists classes; the first that matches a flow counts. What no class
// matches is replicated at once.
type Policy []Class

// ClassOf returns the place of the flow's class, -1 if it is in none.
func (p Policy) ClassOf(k *Key) int {
	for i := range p {
		if p[i].matches(k) {
			return i
		}
	}
	return -1
}

func (c *Class) matches(k *Key) bool {
	if c.Proto != 0 && c.Proto != k.Proto && (c.Proto != protoICMP || k.Proto != protoICMPv6) {
		return false
	}
	if len(c.Ports) == 0 {
		return true
	}
	if !hasPorts(k.Proto) {
		return false
	}
	for _, p := range c.Ports {
		if p.First <= k.DstPort && k.DstPort <= p.Last {
			return true
		}
	}
	return false
}

// hasPorts tells whether the protocol's ports say which service was called.
func hasPorts(proto uint8) bool {
	switch proto {
	case protoTCP, protoUDP, protoDCCP, protoSCTP, protoUDPLite:
		return true
	}
	return false
}
