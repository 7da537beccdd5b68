package nft

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	mdlayher "github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"understudy/nat"
)

// copiesTable holds the chains that hang on devices. It is made anew when anything is
// not as it should be, in one transaction, so that it is never without effect.
func copiesTable() *nftables.Table {
	return &nftables.Table{Name: Table, Family: nftables.TableFamilyNetdev}
}

// deviceHook is a chain on a device, and its rules.
type deviceHook struct {
	name     string
	device   string
	hook     *nftables.ChainHook
	priority nftables.ChainPriority
	rules    []rule
}

const (
	prefixCopy = "copy_" // and the device
	prefixStop = "stop_"
	chainSend  = "send"
	chainTake  = "take"

	counterCopied = "copied"
	counterTaken  = "taken"
	counterKept   = "kept_in"

	priorityCopy nftables.ChainPriority = 100 // what an operator's ingress filter drops is not copied
)

// deviceHooks returns the chains for the devices that are there. rules name the number
// of the link, so a link that was made anew has other rules.
func deviceHooks(m *nat.Mirror, links links) []deviceHook {
	to, there := links[m.Link]
	if !there {
		return nil // nothing comes in by it
	}
	hooks := []deviceHook{
		{chainTake, m.Link, nftables.ChainHookIngress, priorityCopy, takeRules()},
		{chainSend, m.Link, nftables.ChainHookEgress, priorityCopy, sendRules()},
	}
	for _, name := range m.Data {
		if _, ok := links[name]; ok {
			hooks = append(hooks,
				deviceHook{prefixStop + name, name, nftables.ChainHookEgress, -priorityCopy, stopRules()},
				deviceHook{prefixCopy + name, name, nftables.ChainHookIngress, priorityCopy, copyRules(to)})
		}
	}
	return hooks
}

// copyRules copy what a gateway is to forward: what is for its MAC, and to one of the
// addresses that move, or to no address of the node itself.
func copyRules(to int) (out []rule) {
	out = append(out, say("for somebody else, or for many", do(metaKey(expr.MetaKeyPKTTYPE, 0), differ(0, unix.PACKET_HOST), accept())))
	copied := do(count(counterCopied),
		&expr.Immediate{Register: word(0), Data: binaryutil.NativeEndian.PutUint32(uint32(to))},
		&expr.Dup{RegDev: word(0), IsRegDevSet: true}, accept())
	for _, f := range []struct {
		ethertype uint16
		family    family
	}{{unix.ETH_P_IP, family{}}, {unix.ETH_P_IPV6, family{six: true, suffix: "6"}}} {
		kind := ethertype(f.ethertype)
		out = append(out,
			say(fmt.Sprintf("copy to interface %d: to an address that moves", to), kind, do(f.family.daddr(0), within(f.family.addresses())), copied),
			say(fmt.Sprintf("copy to interface %d: to be forwarded", to), kind, do(
				&expr.Fib{Register: word(0), FlagDADDR: true, ResultADDRTYPE: true},
				equal(0, binaryutil.NativeEndian.PutUint32(unix.RTN_UNICAST)...)), copied))
	}
	return out
}

// sendRules address copies to everybody on the link: they name a MAC of this node,
// which a switch would look for elsewhere and a card would not take.
func sendRules() []rule {
	return []rule{say("to whoever is on the link", do(
		&expr.Immediate{Register: word(0), Data: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
		&expr.Payload{OperationType: expr.PayloadWrite, SourceRegister: word(0), Base: expr.PayloadBaseLLHeader, Offset: 0, Len: 6}))}
}

// takeRules let in what can be forwarded, as if it had been sent to this node. A packet
// on its last hop the other node has answered.
func takeRules() (out []rule) {
	for _, f := range []struct {
		ethertype uint16
		ttl       uint32 // where it is, from the network header
	}{{unix.ETH_P_IP, 8}, {unix.ETH_P_IPV6, 7}} {
		kind := ethertype(f.ethertype)
		out = append(out,
			say("on its last hop", kind, do(network(f.ttl, 1, 0), &expr.Cmp{Op: expr.CmpOpLte, Register: word(0), Data: []byte{1}}, drop())),
			say("take it as ours", kind, do(
				&expr.Immediate{Register: word(0), Data: []byte{unix.PACKET_HOST}},
				&expr.Meta{Key: expr.MetaKeyPKTTYPE, SourceRegister: true, Register: word(0)},
				count(counterTaken), accept())))
	}
	return append(out, say("nothing else", do(drop())))
}

func stopRules() []rule {
	return []rule{say("came in as a copy", do(metaKey(expr.MetaKeyMARK, 0),
		equal(0, binaryutil.NativeEndian.PutUint32(copyMark)...), count(counterKept), drop()))}
}

func ethertype(t uint16) []expr.Any {
	return do(metaKey(expr.MetaKeyPROTOCOL, 0), equal(0, bigEndian(t)...))
}

// applyCopies makes the table for devices what the plan says, and tells whether it had
// to. Nil m: there is none.
func (a *Applier) applyCopies(plan nat.Plan, links links) (changed bool, err error) {
	c, err := a.link.conn()
	if err != nil {
		return false, err
	}
	tables, err := c.ListTablesOfFamily(nftables.TableFamilyNetdev)
	if errors.Is(err, unix.EOPNOTSUPP) && plan.Mirror == nil {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read tables of devices: %w", err)
	}
	exists := slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == Table && t.Flags == 0 })
	var hooks []deviceHook
	if plan.Mirror != nil {
		hooks = deviceHooks(plan.Mirror, links)
	}
	if len(hooks) == 0 && !exists {
		return false, nil
	}
	if exists && len(hooks) > 0 {
		same, err := sameHooks(c, a.link.nl, copiesTable(), hooks, copiesSets(plan))
		if same || err != nil {
			return false, err
		}
	}
	t := &transaction{c: c, table: copiesTable()}
	t.addTable()
	t.deleteTable()
	if len(hooks) > 0 {
		t.addTable()
		for _, n := range []string{counterCopied, counterTaken, counterKept} {
			t.addCounter(n)
		}
		if err := t.addHooks(hooks, copiesSets(plan)); err != nil {
			return false, err
		}
	}
	return true, a.link.commit(t)
}

// copiesCounters are those of the table for devices, none without it.
func (a *Applier) copiesCounters(c *nftables.Conn) (map[string]expr.Counter, error) {
	v, err := readCounters(c, copiesTable())
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	return v, err
}

// addHooks queues chains on devices, and the sets that their rules look in.
func (t *transaction) addHooks(hooks []deviceHook, sets []set) error {
	for _, s := range sets {
		if err := t.addSet(s.Set); err != nil {
			return err
		}
		if err := t.addElements(s.Set, s.elements); err != nil {
			return err
		}
	}
	for _, h := range hooks {
		t.step("add chain %s on %s", h.name, h.device)
		policy := nftables.ChainPolicyAccept
		t.c.AddChain(&nftables.Chain{Name: h.name, Table: t.table, Type: nftables.ChainTypeFilter, Hooknum: h.hook, Priority: &h.priority, Policy: &policy, Device: h.device})
		t.addRules(h.name, h.rules)
	}
	return nil
}

// copiesSets are the addresses that move, once more: a table sees its own sets only.
func copiesSets(plan nat.Plan) (out []set) {
	for _, k := range kinds() {
		if k.all == setAddressesLocal {
			continue // nobody forwards to them
		}
		s := k.set(k.all)
		s.Table = copiesTable()
		out = append(out, set{s, k.known(plan.Gates)})
	}
	return out
}

// sameHooks compares what is there by what the rules say of themselves, and the sets.
func sameHooks(c *nftables.Conn, nl *mdlayher.Conn, table *nftables.Table, want []deviceHook, sets []set) (bool, error) {
	have, err := c.ListChainsOfTableFamily(nftables.TableFamilyNetdev)
	if err != nil {
		return false, fmt.Errorf("read chains of devices: %w", err)
	}
	have = slices.DeleteFunc(have, func(ch *nftables.Chain) bool { return ch.Table.Name != table.Name })
	if len(have) != len(want) {
		return false, nil
	}
	for _, h := range want {
		i := slices.IndexFunc(have, func(ch *nftables.Chain) bool { return ch.Name == h.name })
		if i < 0 || have[i].Hooknum == nil || *have[i].Hooknum != *h.hook || *have[i].Priority != h.priority {
			return false, nil
		}
		words, err := readWords(nl, table, h.name)
		if err != nil {
			return false, err
		}
		if !slices.EqualFunc(words, h.rules, func(have string, w rule) bool { return have == string(comment(w.comment)) }) {
			return false, nil
		}
	}
	for _, s := range sets {
		elements, err := c.GetSetElements(s.Set)
		if errors.Is(err, unix.ENOENT) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("read set %s: %w", s.Name, err)
		}
		byID := make(map[string]element, len(elements))
		for _, k := range elements {
			e := fromKernel(k)
			byID[e.id()] = e
		}
		if remove, add := compare(byID, s.elements); len(remove)+len(add) > 0 {
			return false, nil
		}
	}
	return true, nil
}

// links finds out the numbers of the interfaces that the plan names.
func (a *Applier) links(m *nat.Mirror) (links, error) {
	if m == nil {
		return nil, nil
	}
	ns := netns.None()
	if a.link.netns != 0 {
		ns = netns.NsHandle(a.link.netns)
	}
	h, err := netlink.NewHandleAt(ns)
	if err != nil {
		return nil, fmt.Errorf("interfaces: %w", err)
	}
	defer h.Close()
	out := links{}
	for _, name := range append([]string{m.Link}, m.Data...) {
		l, err := h.LinkByName(name)
		var none netlink.LinkNotFoundError
		if errors.As(err, &none) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("interface %s: %w", name, err)
		}
		out[name] = l.Attrs().Index
	}
	return out, nil
}
