package doctor

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// traffic is a packet whose way through the packet filter is asked for: the first of its flow.
type traffic struct {
	what     string
	in, out  string // interfaces; empty: none
	src, dst netip.Addr
	protocol uint8
	dport    uint16
}

func (p *traffic) family() uint8 {
	if p.dst.Is4() {
		return unix.NFPROTO_IPV4
	}
	return unix.NFPROTO_IPV6
}

// ruleset is what nftables has, as far as it is needed here.
type ruleset struct {
	chains []*nftables.Chain
	rules  map[*nftables.Chain][]*nftables.Rule
	sets   map[string][]nftables.SetElement // by family, table and name
	ranges map[string]bool                  // of them, those with intervals
}

// readRules reads all tables but ours.
func readRules() (*ruleset, error) {
	c, err := nftables.New()
	if err != nil {
		return nil, err
	}
	chains, err := c.ListChains()
	if err != nil {
		return nil, err
	}
	rs := &ruleset{rules: map[*nftables.Chain][]*nftables.Rule{}, sets: map[string][]nftables.SetElement{}, ranges: map[string]bool{}}
	read := map[string]bool{}
	for _, ch := range chains {
		if slices.Contains([]string{"understudy", "understudy_entries", "understudy_moves"}, ch.Table.Name) {
			continue
		}
		rules, err := c.GetRules(ch.Table, ch)
		if err != nil {
			return nil, err
		}
		rs.chains = append(rs.chains, ch)
		rs.rules[ch] = rules
		if key := setKey(ch.Table, ""); !read[key] {
			read[key] = true
			sets, err := c.GetSets(ch.Table)
			if err != nil {
				return nil, err
			}
			for _, s := range sets {
				elements, err := c.GetSetElements(s)
				if err != nil {
					return nil, err
				}
				rs.sets[setKey(ch.Table, s.Name)] = elements
				rs.ranges[setKey(ch.Table, s.Name)] = s.Interval
			}
		}
	}
	return rs, nil
}

func setKey(t *nftables.Table, name string) string {
	return fmt.Sprintf("%d %s %s", t.Family, t.Name, name)
}

// answer is what a packet filter does with a packet.
type answer struct {
	drop   bool
	sure   bool   // whatever the rules that could not be judged say
	by     string // the rule or policy that decides
	doubts []string
}

// judge sends a packet through the chains of a hook.
func (rs *ruleset) judge(p *traffic, hook *nftables.ChainHook, netdev bool) answer {
	var base []*nftables.Chain
	for _, ch := range rs.chains {
		if ch.Hooknum == nil || *ch.Hooknum != *hook || ch.Type != nftables.ChainTypeFilter || netdev != (ch.Table.Family == nftables.TableFamilyNetdev) {
			continue
		}
		if netdev && ch.Device != p.in && ch.Device != p.out {
			continue
		}
		f := ch.Table.Family
		if netdev || f == nftables.TableFamilyINet || f == nftables.TableFamily(p.family()) {
			base = append(base, ch)
		}
	}
	slices.SortStableFunc(base, func(a, b *nftables.Chain) int { return int(priority(a)) - int(priority(b)) })
	out := answer{sure: true}
	for _, ch := range base {
		v, by := rs.walk(p, ch, &out, 0)
		if v == continues && ch.Policy != nil && *ch.Policy == nftables.ChainPolicyDrop {
			v, by = drops, where(ch)+": policy drop"
		}
		if v == drops {
			out.drop, out.by = true, by
			break
		}
	}
	out.sure = len(out.doubts) == 0
	return out
}

func priority(c *nftables.Chain) nftables.ChainPriority {
	if c.Priority == nil {
		return 0
	}
	return *c.Priority
}

func where(c *nftables.Chain) string {
	family := map[nftables.TableFamily]string{nftables.TableFamilyINet: "inet", nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6", nftables.TableFamilyNetdev: "netdev"}[c.Table.Family]
	return fmt.Sprintf("nft %s %s %s", family, c.Table.Name, c.Name)
}

// verdicts of a rule.
type verdict uint8

const (
	continues verdict = iota
	accepts
	drops
	returns
)

// walk goes through a chain. Rules that cannot be judged become doubts, if their verdict
// could matter.
func (rs *ruleset) walk(p *traffic, ch *nftables.Chain, out *answer, depth int) (verdict, string) {
	if depth > 16 {
		return continues, ""
	}
	for i, r := range rs.rules[ch] {
		match, v, jump := rs.rule(p, ch, r)
		name := fmt.Sprintf("%s, rule %d", where(ch), i+1)
		if match == no {
			continue
		}
		if jump != "" {
			for _, to := range rs.chains {
				if to.Table.Name == ch.Table.Name && to.Table.Family == ch.Table.Family && to.Name == jump {
					inner, by := rs.walk(p, to, out, depth+1)
					if match == maybe && inner != continues && inner != returns {
						out.doubts = append(out.doubts, name+": depends on what cannot be judged from here")
						inner = continues
					}
					if inner == accepts || inner == drops {
						return inner, by
					}
				}
			}
			if v == returns { // a goto
				return continues, ""
			}
			continue
		}
		if v == continues {
			continue
		}
		if match == maybe {
			out.doubts = append(out.doubts, name+": depends on what cannot be judged from here")
			continue
		}
		if v == returns {
			return continues, ""
		}
		return v, name
	}
	return continues, ""
}

// matches of a rule.
type match uint8

const (
	no match = iota
	maybe
	yes
)

// rule tells whether a rule is for a packet, and what it does with it.
func (rs *ruleset) rule(p *traffic, ch *nftables.Chain, r *nftables.Rule) (m match, v verdict, jump string) {
	m = yes
	regs := map[uint32][]byte{} // nil: not known
	doubt := func() { m = maybe }
	for _, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Meta:
			regs[e.Register] = p.meta(e.Key)
		case *expr.Payload:
			if e.OperationType == expr.PayloadLoad {
				regs[e.DestRegister] = p.payload(e.Base, e.Offset, e.Len)
			}
		case *expr.Ct:
			regs[e.Register] = nil
			if e.Key == expr.CtKeySTATE {
				regs[e.Register] = binary.NativeEndian.AppendUint32(nil, expr.CtStateBitNEW)
			}
		case *expr.Bitwise:
			src := regs[e.SourceRegister]
			if src == nil || len(src) < len(e.Mask) || len(e.Mask) == 0 {
				regs[e.DestRegister] = nil
				break
			}
			b := make([]byte, len(e.Mask))
			for i := range b {
				b[i] = src[i]&e.Mask[i] ^ e.Xor[i]
			}
			regs[e.DestRegister] = b
		case *expr.Cmp:
			src := regs[e.Register]
			if src == nil || len(src) < len(e.Data) {
				doubt()
				break
			}
			c := bytes.Compare(src[:len(e.Data)], e.Data)
			if ok := map[expr.CmpOp]bool{expr.CmpOpEq: c == 0, expr.CmpOpNeq: c != 0, expr.CmpOpLt: c < 0, expr.CmpOpLte: c <= 0, expr.CmpOpGt: c > 0, expr.CmpOpGte: c >= 0}[e.Op]; !ok {
				return no, v, ""
			}
		case *expr.Range:
			src := regs[e.Register]
			if src == nil || len(src) < len(e.FromData) {
				doubt()
				break
			}
			src = src[:len(e.FromData)]
			in := bytes.Compare(src, e.FromData) >= 0 && bytes.Compare(src, e.ToData) <= 0
			if in != (e.Op == expr.CmpOpEq) {
				return no, v, ""
			}
		case *expr.Lookup:
			in, known := rs.contains(ch.Table, e, regs[e.SourceRegister])
			switch {
			case !known || e.IsDestRegSet: // a verdict map: what it says is not followed
				doubt()
				if e.IsDestRegSet && e.DestRegister == 0 && (in || !known) {
					return maybe, drops, ""
				}
			case in == e.Invert:
				return no, v, ""
			}
		case *expr.Verdict:
			switch e.Kind {
			case expr.VerdictAccept:
				v = accepts
			case expr.VerdictDrop:
				v = drops
			case expr.VerdictReturn:
				v = returns
			case expr.VerdictJump:
				jump = e.Chain
			case expr.VerdictGoto:
				jump, v = e.Chain, returns
			}
		case *expr.Reject:
			v = drops
		case *expr.Queue:
			return maybe, drops, ""
		case *expr.Counter, *expr.Log, *expr.Notrack, *expr.Objref:
		case *expr.Target:
			switch e.Name {
			case "REJECT":
				v = drops
			case "LOG", "MARK", "CONNMARK", "NFLOG":
			default:
				doubt()
			}
		case *expr.Match:
			if e.Name != "comment" {
				doubt()
			}
		default: // a limit, a set that learns, whatever comes
			doubt()
		}
	}
	return m, v, jump
}

// meta is what is known of a packet beside its bytes; nil: not known.
func (p *traffic) meta(k expr.MetaKey) []byte {
	name := func(s string) []byte { return append([]byte(s), make([]byte, unix.IFNAMSIZ-len(s))...) }
	switch k {
	case expr.MetaKeyNFPROTO:
		return []byte{p.family()}
	case expr.MetaKeyL4PROTO:
		return []byte{p.protocol}
	case expr.MetaKeyIIFNAME:
		return name(p.in)
	case expr.MetaKeyOIFNAME:
		return name(p.out)
	case expr.MetaKeyPROTOCOL:
		if p.dst.Is4() {
			return []byte{0x08, 0x00}
		}
		return []byte{0x86, 0xdd}
	case expr.MetaKeyIIF, expr.MetaKeyOIF:
		i := p.in
		if k == expr.MetaKeyOIF {
			i = p.out
		}
		return binary.NativeEndian.AppendUint32(nil, uint32(indexOf(i)))
	}
	return nil
}

// payload are bytes of the packet; nil: not known.
func (p *traffic) payload(base expr.PayloadBase, offset, n uint32) []byte {
	b := make([]byte, 40)
	known := make([]bool, 40)
	put := func(at int, v []byte) {
		for i := range v {
			b[at+i], known[at+i] = v[i], true
		}
	}
	switch {
	case base == expr.PayloadBaseTransportHeader:
		put(2, binary.BigEndian.AppendUint16(nil, p.dport))
		if p.dport == 0 {
			return nil
		}
	case base != expr.PayloadBaseNetworkHeader:
		return nil
	case p.dst.Is4():
		put(9, []byte{p.protocol})
		if p.src.Is4() {
			put(12, p.src.AsSlice())
		}
		put(16, p.dst.AsSlice())
		if p.protocol == protocolVRRP || p.protocol == protocolAH {
			put(8, []byte{255})
		}
	default:
		put(6, []byte{p.protocol})
		if p.src.Is6() {
			put(8, p.src.AsSlice())
		}
		put(24, p.dst.AsSlice())
		if p.protocol == protocolVRRP || p.protocol == protocolAH {
			put(7, []byte{255})
		}
	}
	if int(offset+n) > len(b) || slices.Contains(known[offset:offset+n], false) {
		return nil
	}
	return b[offset : offset+n]
}

// contains looks a value up in a set.
func (rs *ruleset) contains(t *nftables.Table, l *expr.Lookup, v []byte) (in, known bool) {
	key := setKey(t, l.SetName)
	elements, ok := rs.sets[key]
	if !ok || v == nil {
		return false, false
	}
	if !rs.ranges[key] {
		return slices.ContainsFunc(elements, func(e nftables.SetElement) bool {
			return len(e.Key) <= len(v) && bytes.Equal(e.Key, v[:len(e.Key)])
		}), true
	}
	// The bounds of intervals, in no order: the nearest one at or below decides.
	var best *nftables.SetElement
	for i := range elements {
		e := &elements[i]
		if len(e.Key) > len(v) || bytes.Compare(e.Key, v[:len(e.Key)]) > 0 {
			continue
		}
		if c := 0; best != nil {
			if c = bytes.Compare(e.Key, best.Key); c < 0 || c == 0 && e.IntervalEnd {
				continue
			}
		}
		best = e
	}
	return best != nil && !best.IntervalEnd, true
}
