package keepalived

import (
	"cmp"
	"net/netip"
	"strconv"
	"strings"
)

// sessionPort is where nodes listen for each other: not that of conntrackd, whose
// peer may still be running while the nodes are changed one by one.
const sessionPort = 7788

func (k *Conntrackd) origin() Origin { return Origin{k.At, cmp.Or(k.Word, "Sync")} }

// pair finds the addresses of this node and the other on the first link that has
// both.
func (c *converter) pair() (own, peer netip.Addr) {
	k := c.options.Conntrackd
	if k == nil {
		return own, peer
	}
	for _, l := range k.Links {
		p := l.Peer.V
		if !p.IsValid() {
			p = c.options.Peer
		}
		if l.Own.V.IsValid() && p.IsValid() {
			return l.Own.V, p
		}
	}
	return own, peer
}

// sessionPair tells whether there is enough to make sessions of.
func (c *converter) sessionPair() bool {
	own, _ := c.pair()
	return own.IsValid()
}

// flowNames are the protocols that sessions.class has a name for.
var flowNames = map[string]string{"tcp": "tcp", "udp": "udp", "icmp": "icmp", "ipv6-icmp": "icmp", "icmpv6": "icmp", "sctp": "sctp",
	"gre": "gre", "dccp": "dccp", "udplite": "udplite", "esp": "esp", "ipip": "ipip"}

// sessions makes [sessions] of what conntrackd was told.
func (c *converter) sessions() {
	k := c.options.Conntrackd
	if k == nil {
		return
	}
	if !c.sessionPair() {
		c.say(k.At, Warning, "%s: not carried over: the address of the other node is in no file (it is found by multicast); say it, with `understudy import --peer ADDRESS`", k.origin().Word)
		return
	}
	o := k.origin()
	t := newTable(o)
	var listen, peers []Item
	for _, l := range k.Links {
		p := l.Peer.V
		if !p.IsValid() && len(listen) == 0 {
			p = c.options.Peer
		}
		lo := Origin{l.At, l.Kind}
		if !l.Own.V.IsValid() || !p.IsValid() {
			c.say(l.At, Warning, "%s: not carried over: it does not say both addresses of the link", l.Kind)
			continue
		}
		listen = append(listen, Item{netip.AddrPortFrom(l.Own.V, sessionPort).String(), lo})
		peers = append(peers, Item{netip.AddrPortFrom(p, sessionPort).String(), lo})
	}
	for _, i := range listen {
		t.add("listen", i.Text, i.From)
	}
	peer := t.table("peers", peers[0].From)
	_, other := c.pair()
	peer.set("name", other.String(), peers[0].From)
	for _, i := range peers {
		peer.add("address", i.Text, i.From)
	}
	secret := c.options.SecretFile
	if secret == "" {
		secret = defaultSecret
		c.say(k.At, Warning, "what synchronised connections trusts its network; sessions need a secret: understudy keygen > %s, mode 0600, the same file on both nodes", secret)
	}
	t.set("secret_file", secret, Origin{Word: "made by understudy keygen"})
	if k.Mode.Set && k.Mode.V != "FTFW" {
		c.say(k.Mode.At, Note, "Mode %s: nothing to carry over: what is lost on the way is sent again", k.Mode.V)
	}
	c.flows(t)
	c.doc.set("sessions", t, o)
}

// flows makes classes of what is filtered by protocol.
func (c *converter) flows(t *Table) {
	seen := map[string]bool{}
	only := Place{}
	for _, r := range c.options.Conntrackd.Flows {
		o := Origin{r.At, "Protocol"}
		for _, p := range r.Protocols {
			name := flowNames[p.V]
			if n, err := strconv.Atoi(p.V); err == nil && n > 0 && n < 256 {
				name = p.V
			}
			switch {
			case name == "":
				c.say(p.At, Warning, "Protocol %s: not carried over: it is not known by that name", strings.ToUpper(p.V))
			case seen[name]:
			default:
				seen[name] = true
				class := t.table("class", o)
				class.set("protocol", name, Origin{p.At, p.V})
				if r.Ignore {
					class.set("replicate", false, Origin{p.At, p.V})
				}
			}
		}
		if !r.Ignore && len(r.Protocols) > 0 {
			only = r.At
		}
	}
	if only.Line != 0 {
		rest := t.table("class", Origin{only, "Protocol Accept: no other"})
		rest.set("replicate", false, Origin{only, "Protocol Accept"})
	}
}
