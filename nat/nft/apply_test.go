package nft

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	mdlayher "github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"understudy/nat"
)

func (l *lab) unchanged(when string, r Report) {
	l.t.Helper()
	if !reflect.DeepEqual(r, Report{}) {
		l.t.Errorf("%s: want nothing to do, did %+v", when, r)
	}
}

func TestApplyTwiceDoesNothing(t *testing.T) {
	l := newLab(t)
	if r := l.apply(config()); r.Added == 0 || len(r.Chains) == 0 || r.Rebuilt || !r.NewGate {
		t.Errorf("new table: did %+v", r)
	}
	l.unchanged("same plan", l.apply(config()))
	other := l.applier()
	r, err := other.Apply(plan(t, config()))
	l.must(err)
	l.unchanged("same plan, new process", r)
}

func TestApplyWithoutMappings(t *testing.T) {
	l := newLab(t)
	c := config()
	c.Sources, c.Forwards = nil, nil
	l.apply(c)
	if s := l.state(); len(s.chains) != 1 || s.chains[chainGate] == nil {
		t.Errorf("want the gate alone, got %v", s.chains)
	}
	l.apply(config())
	if s := l.state(); s.chains[chainPool] == nil {
		t.Error("the first mapping: want a leak guard")
	}
	l.apply(c)
	if s := l.state(); len(s.chains) != 1 || len(s.sets) != 8 || len(s.counters) != 1 {
		t.Errorf("the last mapping gone: want the gate alone, got %d chains, %d sets, %d counters", len(s.chains), len(s.sets), len(s.counters))
	}
}

// Where the chains hang decides what they can do; the kernel's own words for it.
func TestPlaceOfTheChains(t *testing.T) {
	l := newLab(t)
	l.apply(config())
	got := map[string]string{}
	for name, ch := range l.state().chains {
		got[name] = "jumped to"
		if ch.Hooknum != nil {
			got[name] = fmt.Sprintf("%s hook %d priority %d", ch.Type, *ch.Hooknum, *ch.Priority)
		}
	}
	want := map[string]string{ // hooks: 0 prerouting, 1 input, 2 forward, 4 postrouting
		"gate":          "filter hook 0 priority -300",
		"stray":         "filter hook 0 priority -110",
		"forwards":      "nat hook 0 priority -100",
		"pool_guard":    "filter hook 1 priority -10",
		"forward_guard": "filter hook 2 priority -10",
		"sources":       "nat hook 4 priority 100",
		"inside_guard":  "filter hook 4 priority 110",
		"unknown":       "jumped to",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("chains (-want +got):\n%s", diff)
	}
}

func TestReloadTouchesOnlyWhatChanged(t *testing.T) {
	l := active(t)
	l.client.send(stray())
	for _, row := range []struct {
		name   string
		change func(*nat.Config)
		want   Report
	}{
		// A forward is an element of the map and of the set.
		{"a forward more", func(c *nat.Config) {
			c.Forwards = append(c.Forwards, nat.Forward{Address: vip, Proto: nat.TCP, Port: 80, To: netip.AddrPortFrom(inside, 80)})
		}, Report{Added: 2}},
		{"another server", func(c *nat.Config) { c.Forwards[0].To = netip.AddrPortFrom(inside, 8444) }, Report{Added: 1, Removed: 1}},
		// A network is in the map of its pool, the map of all, and the set.
		{"a network more", func(c *nat.Config) {
			c.Sources = append(c.Sources, nat.Source{From: netip.MustParsePrefix("10.0.1.0/24"), Out: "wan0", To: vip})
		}, Report{Added: 3}},
		{"a network twice as large", func(c *nat.Config) { c.Sources[0].From = netip.MustParsePrefix("10.0.0.0/23") }, Report{Added: 3, Removed: 3}},
		{"another pool", func(c *nat.Config) { c.Sources[0].Ports = nat.Ports{First: 20000, Last: 29999} },
			// The set of the old pool goes, and for that all rules; three other elements stay.
			Report{Rebuilt: true, Added: 2, Removed: 1, Chains: []string{chainStray, chainDNAT, chainPool, chainForward, chainSNAT, chainInside, chainUnknown}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			l.apply(config())
			before := l.counters()
			c := config()
			row.change(&c)
			if diff := cmp.Diff(row.want, l.apply(c)); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
			if after := l.counters(); after != before || after.Untranslated == 0 {
				t.Errorf("counters: want %+v to stay, got %+v", before, after)
			}
		})
	}
}

func TestReloadKeepsEstablishedFlows(t *testing.T) {
	l := active(t)
	out, in := l.server.listen("203.0.113.254:80"), l.client.listen("10.0.0.10:8443")
	a, b := connect(t, l.client, netip.AddrPortFrom(outside, 80), out)
	x, y := connect(t, l.server, netip.AddrPortFrom(vip, 443), in)
	c := config()
	c.Sources[0].Ports = nat.Ports{First: 50000, Last: 50999} // another map, other rules
	c.Forwards[0].To = netip.AddrPortFrom(inside, 9999)
	l.apply(c)
	talk(t, a, b)
	talk(t, x, y)
	c.Forwards = nil
	l.apply(c)
	talk(t, x, y)
	_, d := connect(t, l.client, netip.AddrPortFrom(outside, 80), out)
	if p := peerOf(d).Port(); !c.Sources[0].Ports.Contains(p) {
		t.Errorf("a new flow: want a port of %v, got %d", c.Sources[0].Ports, p)
	}
}

// The gate is state, not configuration: a reload, a restart and a rebuild keep it.
func TestApplyKeepsGates(t *testing.T) {
	l := newLab(t)
	groups := func(a, b []netip.Addr) nat.Config {
		c := config()
		c.Groups = []nat.Group{{Name: "a", Addresses: a}, {Name: "b", Addresses: b}}
		return c
	}
	extra := netip.MustParseAddr("203.0.113.50")
	check := func(when string, want ...netip.Addr) {
		t.Helper()
		var got []netip.Addr
		for key := range l.state().elements[setClosed] {
			got = append(got, netip.AddrFrom4([4]byte([]byte(key))))
		}
		slices.SortFunc(got, netip.Addr.Compare)
		if !slices.Equal(want, got) {
			t.Errorf("%s: want %v closed, got %v", when, want, got)
		}
	}
	l.apply(groups([]netip.Addr{lanVIP, vip}, []netip.Addr{vip2}))
	check("new table", lanVIP, vip, vip2)
	l.must(l.a.OpenGate([]netip.Addr{lanVIP, vip}))

	l.apply(groups([]netip.Addr{lanVIP, vip, extra}, []netip.Addr{vip2}))
	check("an address joins the open group", vip2)
	l.apply(groups([]netip.Addr{lanVIP, vip}, []netip.Addr{vip2, extra}))
	check("it moves to the shut group", vip2, extra)
	l.apply(groups([]netip.Addr{lanVIP, vip, vip2}, nil))
	check("an address moves to the open group")
	l.apply(groups([]netip.Addr{lanVIP, vip}, []netip.Addr{vip2}))
	check("and back", vip2)

	c := groups([]netip.Addr{lanVIP, vip}, []netip.Addr{vip2})
	c.Sources, c.Forwards = nil, nil
	_, err := l.applier().Apply(plan(t, c))
	l.must(err)
	check("another process, without mappings", vip2)
	l.apply(groups([]netip.Addr{lanVIP, vip}, []netip.Addr{vip2}))
	l.unchanged("afterwards", l.apply(groups([]netip.Addr{lanVIP, vip}, []netip.Addr{vip2})))

	l.gateway.sendBatch(GateCloseMessage([]netip.Addr{vip}))
	l.apply(groups([]netip.Addr{lanVIP, vip}, []netip.Addr{vip2}))
	check("half shut counts as shut", lanVIP, vip, vip2)
}

func TestApplyKeepsTheUnknownMode(t *testing.T) {
	l := newLab(t)
	mode := func() []string { return l.state().rules[chainUnknown] }
	l.must(l.a.SetUnknown(UnknownReset)) // before there is a table
	l.apply(config())
	if !slices.Equal(mode(), fingerprints(unknownChain(UnknownReset))) {
		t.Error("set before the first plan: want reset")
	}
	_, err := l.applier().Apply(plan(t, config()))
	l.must(err)
	if !slices.Equal(mode(), fingerprints(unknownChain(UnknownReset))) {
		t.Error("a new process: want the mode that is in the kernel")
	}
	l.must(l.a.SetUnknown(UnknownDrop))
	l.unchanged("afterwards", l.apply(config()))
	if !slices.Equal(mode(), fingerprints(unknownChain(UnknownDrop))) {
		t.Error("want drop")
	}
}

// on runs the library on the gateway as somebody else would run nft.
func (l *lab) on(f func(*nftables.Conn)) {
	l.t.Helper()
	c, err := nftables.New(nftables.WithNetNSFd(int(l.gateway.handle)))
	l.must(err)
	f(c)
	l.must(c.Flush())
}

func TestDriftIsRepaired(t *testing.T) {
	for _, row := range []struct {
		name  string
		spoil func(*nftables.Conn)
	}{
		{"table deleted", func(c *nftables.Conn) { c.DelTable(ourTable()) }},
		{"chain emptied", func(c *nftables.Conn) { c.FlushChain(&nftables.Chain{Table: ourTable(), Name: chainInside}) }},
		{"rule added", func(c *nftables.Conn) {
			c.AddRule(&nftables.Rule{Table: ourTable(), Chain: &nftables.Chain{Name: chainSNAT}, Exprs: do(&expr.Masq{})})
		}},
		{"gate's rule gone", func(c *nftables.Conn) { c.FlushChain(&nftables.Chain{Table: ourTable(), Name: chainGate}) }},
		{"chain added", func(c *nftables.Conn) { c.AddChain(&nftables.Chain{Table: ourTable(), Name: "other"}) }},
		{"set added", func(c *nftables.Conn) {
			_ = c.AddSet(&nftables.Set{Table: ourTable(), Name: "other", KeyType: nftables.TypeIPAddr}, nil)
		}},
		{"elements gone", func(c *nftables.Conn) { c.FlushSet(&nftables.Set{Table: ourTable(), Name: mapForward}) }},
		{"element added", func(c *nftables.Conn) {
			_ = c.SetAddElements(&nftables.Set{Table: ourTable(), Name: setTransports}, []nftables.SetElement{{Key: []byte{33}}})
		}},
		{"set of another form", func(c *nftables.Conn) {
			c.FlushChain(&nftables.Chain{Table: ourTable(), Name: chainPool})
			c.DelSet(&nftables.Set{Table: ourTable(), Name: setReplies})
			_ = c.AddSet(&nftables.Set{Table: ourTable(), Name: setReplies, KeyType: nftables.TypeInetProto}, nil)
		}},
		{"chain at another place", func(c *nftables.Conn) {
			ch := &nftables.Chain{Table: ourTable(), Name: chainInside, Type: nftables.ChainTypeFilter,
				Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityRef(0)}
			c.FlushChain(ch)
			c.DelChain(ch)
			c.AddChain(ch)
		}},
		{"gate's set of another form", func(c *nftables.Conn) {
			c.FlushChain(&nftables.Chain{Table: ourTable(), Name: chainGate})
			c.DelSet(&nftables.Set{Table: ourTable(), Name: setClosed})
			_ = c.AddSet(&nftables.Set{Table: ourTable(), Name: setClosed, KeyType: nftables.TypeIP6Addr}, nil)
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := newLab(t)
			l.apply(config())
			want := l.dump()
			l.on(row.spoil)
			if l.dump() == want {
				t.Fatal("nothing was spoilt")
			}
			l.apply(config())
			if diff := cmp.Diff(want, l.dump()); diff != "" {
				t.Errorf("after the repair (-want +got):\n%s", diff)
			}
			l.unchanged("afterwards", l.apply(config()))
		})
	}
}

// A dormant table has everything and does nothing.
func TestDormantTableIsWoken(t *testing.T) {
	l := newLab(t)
	l.apply(config())
	l.must(l.a.OpenGate(allOfGroup))
	l.putToSleep()
	r := l.apply(config())
	if s := l.state(); !r.Rebuilt || s.dormant {
		t.Errorf("want a table that is awake, did %+v", r)
	}
	if closed := l.state().elements[setClosed]; len(closed) > 0 {
		t.Errorf("its gate was open: want it to stay so, got %v closed", closed)
	}
}

// putToSleep makes the table dormant.
func (l *lab) putToSleep() {
	l.t.Helper()
	a := mdlayher.NewAttributeEncoder()
	a.ByteOrder = binary.BigEndian
	a.String(unix.NFTA_TABLE_NAME, Table)
	a.Uint32(unix.NFTA_TABLE_FLAGS, unix.NFT_TABLE_F_DORMANT)
	attributes, err := a.Encode()
	l.must(err)
	b := gateMessage(nil, unix.NFNL_MSG_BATCH_BEGIN, 0, 0, nil)
	b = gateMessage(b, unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWTABLE, mdlayher.Acknowledge, 1, attributes)
	b = gateMessage(b, unix.NFNL_MSG_BATCH_END, 0, 2, nil)
	if got := l.gateway.sendBatch(b); got[1] != 0 {
		l.t.Fatal(got)
	}
}

// dump is the table as text, for comparison.
func (l *lab) dump() string {
	s := l.state()
	var lines []string
	for name, ch := range s.chains {
		hook := "none"
		if ch.Hooknum != nil {
			hook = fmt.Sprint(*ch.Hooknum, *ch.Priority, ch.Type)
		}
		lines = append(lines, fmt.Sprintf("chain %s %s %q", name, hook, s.rules[name]))
	}
	for name, set := range s.sets {
		lines = append(lines, fmt.Sprintf("set %s %s %s", name, set.KeyType.Name, set.DataType.Name))
		for _, e := range s.elements[name] {
			lines = append(lines, fmt.Sprintf("element %s %x %x %x %s", name, e.key, e.end, e.val, e.comment))
		}
	}
	for name := range s.counters {
		lines = append(lines, "counter "+name)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestForeignTablesAreNotTouched(t *testing.T) {
	l := newLab(t)
	var tables []*nftables.Table
	for _, f := range []nftables.TableFamily{nftables.TableFamilyINet, nftables.TableFamilyIPv4} {
		// One has our name in another family.
		tables = append(tables, &nftables.Table{Name: "filter", Family: f}, &nftables.Table{Name: Table, Family: nftables.TableFamilyIPv4})
	}
	l.on(func(c *nftables.Conn) {
		for _, tb := range tables {
			c.AddTable(tb)
			ch := c.AddChain(&nftables.Chain{Name: chainGate, Table: tb})
			c.FlushChain(ch)
			c.AddRule(&nftables.Rule{Table: tb, Chain: ch, Exprs: do(&expr.Counter{}, drop())})
			_ = c.AddSet(&nftables.Set{Table: tb, Name: setClosed, KeyType: nftables.TypeIPAddr}, []nftables.SetElement{{Key: vip.AsSlice()}})
		}
	})
	foreign := func() (out string) {
		l.on(func(c *nftables.Conn) {
			for _, tb := range tables {
				rules, err := c.GetRules(tb, &nftables.Chain{Name: chainGate, Table: tb})
				l.must(err)
				elements, err := c.GetSetElements(&nftables.Set{Table: tb, Name: setClosed})
				l.must(err)
				out += fmt.Sprintf("%s %d: %d rules, handle %d, %v\n", tb.Name, tb.Family, len(rules), rules[0].Handle, elements)
			}
		})
		return out
	}
	want := foreign()
	l.apply(config())
	l.must(l.a.OpenGate(allOfGroup))
	l.must(l.a.Clean())
	l.must(l.a.Clean())
	if diff := cmp.Diff(want, foreign()); diff != "" {
		t.Errorf("foreign tables (-want +got):\n%s", diff)
	}
	if l.state().exists {
		t.Error("Clean: our table is still there")
	}
	if c := l.counters(); c != (Counters{}) {
		t.Errorf("counters without a table: %+v", c)
	}
}

// A plan that the kernel refuses. New would have found it; so this is what it
// looks like when kernel and New disagree.
func TestFailureNamesTheMappingAndChangesNothing(t *testing.T) {
	l := newLab(t)
	l.apply(config())
	want := l.dump()
	p := plan(t, config())
	for i := range 3000 {
		p.Sources = append(p.Sources, nat.Source{
			From: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1 + byte(i>>8), byte(i), 0}), 24), Out: "wan0", To: vip, Ports: nat.DefaultPorts()})
	}
	p.Sources[2345].From = netip.MustParsePrefix("10.0.0.128/25") // lies in the first
	_, err := l.a.Apply(p)
	if err == nil {
		t.Fatal("want an error")
	}
	t.Log(err)
	if !strings.Contains(err.Error(), "source 10.0.0.128/25 out wan0") {
		t.Errorf("want the mapping in it: %v", err)
	}
	if diff := cmp.Diff(want, l.dump()); diff != "" {
		t.Errorf("the table changed (-want +got):\n%s", diff)
	}
	l.unchanged("the old plan", l.apply(config()))
}

func manyForwards(n int) nat.Plan {
	p := nat.Plan{Gates: []nat.Gate{{Address: vip, Group: "gateway"}}}
	for i := range n {
		p.Forwards = append(p.Forwards, nat.Forward{
			Address: netip.AddrFrom4([4]byte{198, 18, byte(i >> 14), byte(i >> 6)}), Proto: nat.TCP, Port: uint16(1 + i&63),
			To: netip.AddrPortFrom(inside, uint16(i%60000+1)),
		})
	}
	return p
}

func TestTenThousandForwardsInOneTransaction(t *testing.T) {
	l := newLab(t)
	generation := l.generation()
	p := manyForwards(10_000)
	r, err := l.a.Apply(p)
	l.must(err)
	if got := l.generation() - generation; got != 1 {
		t.Errorf("want one transaction, got %d", got)
	}
	if r.Added < 20_000 {
		t.Errorf("added %+v", r)
	}
	l.filled(10_000, mapForward, setForwarded)
	r, err = l.a.Apply(p)
	l.must(err)
	l.unchanged("again", r)
	p.Forwards = slices.Clone(p.Forwards)
	p.Forwards[7777].To = netip.AddrPortFrom(inside, 1)
	r, err = l.a.Apply(p)
	l.must(err)
	if diff := cmp.Diff(Report{Added: 1, Removed: 1}, r); diff != "" {
		t.Errorf("one changed (-want +got):\n%s", diff)
	}
}

// filled waits until sets have n elements each, by two listings one after the other. The
// kernel makes more room in a hash after it has grown, on a thread of its own; and a listing
// meanwhile is of several parts, each of which counts on from the one before in an order that
// is not the same any more: it misses some.
func (l *lab) filled(n int, sets ...string) {
	l.t.Helper()
	right := 0
	for deadline := time.Now().Add(time.Minute); right < 2; time.Sleep(10 * time.Millisecond) {
		right++
		s := l.state()
		for _, name := range sets {
			if got := len(s.elements[name]); got != n {
				if right = 0; time.Now().After(deadline) {
					l.t.Fatalf("%s has %d elements, want %d", name, got, n)
				}
			}
		}
	}
}

// generation counts the transactions the namespace has seen.
func (l *lab) generation() uint32 {
	l.t.Helper()
	id, err := l.a.link.generation()
	l.must(err)
	return id
}
