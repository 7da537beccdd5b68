package nft

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"pgregory.net/rapid"

	"understudy/nat"
)

// drawPlan draws from a small space, so that drawn plans share mappings, and parts of them.
func drawPlan(t *rapid.T, name string) nat.Plan {
	pick := func(what string, n int) int { return rapid.IntRange(0, n-1).Draw(t, what) }
	address := func(six bool, i int) netip.Addr {
		if six {
			return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(i)})
		}
		return netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})
	}
	inside := func(six bool, net, bits int) netip.Prefix {
		a := netip.AddrFrom4([4]byte{10, byte(net), 0, 0})
		if six {
			a, bits = netip.AddrFrom16([16]byte{0xfd, byte(net)}), 32+bits
		}
		return netip.PrefixFrom(a, bits)
	}
	out := func() string { return rapid.SampledFrom([]string{"wan0", "wan1"}).Draw(t, "out") }
	var c nat.Config
	var addresses []netip.Addr
	for i := range 20 {
		addresses = append(addresses, address(false, i), address(true, i))
	}
	c.Groups = []nat.Group{{Name: "gateway", Addresses: addresses}}
	for _, six := range []bool{false, true} {
		c.Sources = append(c.Sources, rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) nat.Source {
			s := nat.Source{From: inside(six, pick("network", 3), 16), Out: out(), To: address(six, pick("to", 2)),
				Ports: rapid.SampledFrom([]nat.Ports{{}, {First: 2000, Last: 2999}, {First: 3000, Last: 3999}}).Draw(t, "ports"), Keeps: rapid.Bool().Draw(t, "keeps")}
			for i := range pick("more", 3) {
				s.Also, s.Keeps = append(s.Also, address(six, 5+i)), false
			}
			return s
		}), 0, 4, nat.Source.String).Draw(t, "sources")...)
		for i := range 3 { // on one interface, on another, on both
			on := rapid.SampledFrom([][]string{nil, {"wan0"}, {"wan1"}, {"wan0", "wan1"}}).Draw(t, "static")
			length := rapid.SampledFrom([]int{4, 3}).Draw(t, "length")
			for _, o := range on {
				public := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(16 * i)}), 32-length)
				private := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 99, byte(i), 0}), 32-length)
				if six {
					public, private = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 2, byte(i)}), 64-length), netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 99, byte(i)}), 64-length)
				}
				c.Statics = append(c.Statics, nat.Static{Public: public, Private: private, Out: o})
				if !slices.Contains(c.Groups[0].Blocks, public) {
					c.Groups[0].Blocks = append(c.Groups[0].Blocks, public)
				}
			}
		}
		c.Forwards = append(c.Forwards, rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) nat.Forward {
			to := netip.AddrFrom4([4]byte{10, 50, 0, byte(1 + pick("server", 2))})
			if six {
				to = netip.AddrFrom16([16]byte{0xfd, 50, 15: byte(1 + pick("server", 2))})
			}
			f := nat.Forward{Address: address(six, pick("address", 2)), Proto: nat.TCP, Port: uint16(100 * (1 + pick("port", 3))), To: netip.AddrPortFrom(to, 80)}
			if n := pick("range", 3); n > 0 {
				f.Last = f.Port + uint16(n)
				if rapid.Bool().Draw(t, "one each") {
					f.ToLast = 80 + uint16(n)
				}
			}
			return f
		}), 0, 4, func(f nat.Forward) string { return fmt.Sprint(f.Address, f.Port) }).Draw(t, "forwards")...)
		c.Exceptions = append(c.Exceptions, rapid.SliceOfN(rapid.Custom(func(t *rapid.T) nat.Exception {
			return nat.Exception{From: inside(six, pick("network", 3), 16), Out: out(), To: inside(six, 100+pick("destination", 2), 16)}
		}), 0, 2).Draw(t, "exceptions")...)
	}
	if rapid.Bool().Draw(t, "links") {
		c.Links = []netip.Prefix{inside(false, 0, 16), inside(true, 0, 16)}
	}
	p, err := nat.New(c)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return p
}

// The chains and the form of the sets of a plan are those of its shape; and what differs
// between two plans, taken from the elements of the one, leaves those of the other.
func TestDifferenceOfPlans(t *testing.T) {
	form := func(p nat.Plan) (out []string) {
		for _, ch := range chains(p, UnknownDrop) {
			out = append(out, fmt.Sprintf("chain %s: %q", ch.name, fingerprints(ch)))
		}
		for _, s := range sets(p, shut{}, nil) {
			form := *s.Set
			form.Table = nil
			out = append(out, fmt.Sprintf("set %s: %+v", s.Name, form))
			if !ofMappings(s.Name) {
				out = append(out, fmt.Sprint(s.elements))
			}
		}
		return out
	}
	all := func(p nat.Plan) map[string]map[string]element {
		out := map[string]map[string]element{}
		for name, elements := range mappedElements(p) {
			if len(elements) > 0 {
				out[name] = byID(elements)
			}
		}
		return out
	}
	rapid.Check(t, func(t *rapid.T) {
		old, new := drawPlan(t, "old"), drawPlan(t, "new")
		if diff := cmp.Diff(form(new), form(shape(new))); diff != "" {
			t.Errorf("form of\n%v(-want +got):\n%s", new, diff)
		}
		had, has := difference(old, new)
		got := all(old)
		for name := range mappedElements(new) {
			remove, add := compare(byID(had[name]), has[name])
			if got[name] == nil {
				got[name] = map[string]element{}
			}
			for _, e := range remove {
				if _, ok := got[name][e.id()]; !ok {
					t.Errorf("%s: removes %x, which is not there", name, e.id())
				}
				delete(got[name], e.id())
			}
			for _, e := range add {
				if _, ok := got[name][e.id()]; ok {
					t.Errorf("%s: adds %x, which is there", name, e.id())
				}
				got[name][e.id()] = e
			}
		}
		stay := mappedElements(new) // other sets go with all that is in them
		maps.DeleteFunc(got, func(name string, e map[string]element) bool {
			_, stays := stay[name]
			return len(e) == 0 || !stays
		})
		same := cmp.Comparer(func(a, b element) bool { return a.id() == b.id() && a.same(b) })
		if diff := cmp.Diff(all(new), got, same); diff != "" {
			t.Errorf("from\n%vto\n%v(-want +got):\n%s", old, new, diff)
		}
	})
}

func (l *lab) change(c nat.Config) Report {
	l.t.Helper()
	r, err := l.a.Change(plan(l.t, c))
	l.must(err)
	return r
}

// right fails unless another program finds nothing to do.
func (l *lab) right(when string, c nat.Config) {
	l.t.Helper()
	r, err := l.applier().Apply(plan(l.t, c))
	l.must(err)
	l.unchanged(when+", another program", r)
}

// One change after the other, of mappings, of rules and of what is not a mapping: each is
// one transaction, and leaves what Apply would.
func TestChangeIsApply(t *testing.T) {
	l := activeStatic(t)
	c := configStatic()
	l.apply(c)
	l.open(c)
	for _, row := range []struct {
		name   string
		change func()
		want   Report
	}{
		{"nothing", func() {}, Report{}},
		{"another server", func() { c.Forwards[0].To = netip.AddrPortFrom(inside, 8444) }, Report{Added: 1, Removed: 1}},
		{"a forward more", func() {
			c.Forwards = append(c.Forwards, nat.Forward{Address: vip, Proto: nat.TCP, Port: 80, To: netip.AddrPortFrom(inside, 80)})
		}, Report{Added: 2}},
		{"it is a range", func() { c.Forwards[len(c.Forwards)-1].Last = 84 }, Report{Added: 8}},
		{"a network inside more", func() {
			c.Sources = append(c.Sources, nat.Source{From: netip.MustParsePrefix("10.7.0.0/24"), Out: "wan0", To: vip})
		}, Report{Added: 3}},
		{"twice as large", func() { c.Sources[len(c.Sources)-1].From = netip.MustParsePrefix("10.7.0.0/23") }, Report{Added: 3, Removed: 3}},
		// A map of the pool and the rules for it, and one range of ports at the address more.
		{"with another pool", func() { c.Sources[len(c.Sources)-1].Ports = nat.Ports{First: 2000, Last: 2999} }, Report{Added: 2, Removed: 1, Chains: []string{chainSNAT}}},
		{"with the first again", func() { c.Sources[len(c.Sources)-1].Ports = nat.Ports{} }, Report{Rebuilt: true}},
		{"one to one on another interface too", func() {
			more := c.Statics[1]
			more.Out = "wan1"
			c.Statics = append(c.Statics, more)
		}, Report{Added: 1}},
		{"and not on the first", func() { c.Statics = slices.Delete(c.Statics, 1, 2) }, Report{Removed: 1}},
		{"a network of another length", func() { c.Statics = append(c.Statics, static("198.51.100.16/30", "10.1.0.32/30")) },
			Report{Added: 2, Chains: []string{chainStray, chainDNAT, chainForward, chainSNAT, chainInside}}},
		{"an exception", func() {
			c.Exceptions = append(c.Exceptions, nat.Exception{From: netip.MustParsePrefix("10.0.0.0/24"), Out: "wan0", To: netip.MustParsePrefix("10.8.0.0/16")})
		}, Report{Added: 1, Chains: []string{chainForward, chainSNAT, chainInside}}},
		{"another one", func() {
			c.Exceptions = append(c.Exceptions, nat.Exception{From: netip.MustParsePrefix("10.0.0.0/24"), Out: "wan0", To: netip.MustParsePrefix("10.9.0.0/16")})
		}, Report{Added: 1}},
		{"an address more, whose gate is open", func() { c.Groups[0].Addresses = append(c.Groups[0].Addresses, netip.MustParseAddr("203.0.113.77")) }, Report{Added: 1}},
		{"no mappings", func() { c.Sources, c.Statics, c.Forwards, c.Exceptions = nil, nil, nil, nil }, Report{Rebuilt: true}},
		{"some again", func() { c.Statics = configStatic().Statics }, Report{Rebuilt: true}},
	} {
		c.Groups[0].Blocks = []netip.Prefix{blockOfFour, blockOfSix, netip.MustParsePrefix("198.51.100.16/30")}
		l.change(c)
		row.change()
		before := l.generation()
		got := l.change(c)
		if n := l.generation() - before; n > 1 {
			t.Errorf("%s: %d transactions", row.name, n)
		}
		if row.want.Rebuilt { // with all rules
			row.want = Report{Rebuilt: got.Rebuilt, Chains: got.Chains, Added: got.Added, Removed: got.Removed}
		}
		if diff := cmp.Diff(row.want, got); diff != "" {
			t.Errorf("%s: report (-want +got):\n%s", row.name, diff)
		}
		l.right(row.name, c)
		if s := l.state(); len(s.elements[setClosed])+len(s.elements[setClosedDevices]) > 0 {
			t.Fatalf("%s: gates are shut", row.name)
		}
	}
}

// What somebody else has done to a mapping that stays is nobody's business until the
// audit; where it is in the way, all is read, and repaired.
func TestChangeDoesNotLookAtWhatStays(t *testing.T) {
	l := newLab(t)
	c := config()
	l.apply(c)
	forward := func(i int) []nftables.SetElement {
		return []nftables.SetElement{forwardElements(c.Forwards, func(to netip.AddrPort) string { return addressKey(to.Addr()) + port(to.Port()) })[i].kernel()}
	}
	lose := func(i int) {
		l.on(func(k *nftables.Conn) {
			l.must(k.SetDeleteElements(&nftables.Set{Table: ourTable(), Name: mapForward, IsMap: true, Concatenation: true}, forward(i)))
		})
	}
	here := func() int { return len(l.state().elements[mapForward]) }

	lose(1)
	c.Forwards[0].To = netip.AddrPortFrom(inside, 8444)
	if r := l.change(c); r.Added != 1 || r.Removed != 1 || here() != 1 {
		t.Errorf("the other one is gone: did %+v, %d are left", r, here())
	}
	r, err := l.a.Audit(plan(t, c))
	l.must(err)
	if r.Added != 1 || here() != 2 {
		t.Errorf("audit: did %+v", r)
	}
	l.right("after the audit", c)

	lose(0)
	c.Forwards[0].To = netip.AddrPortFrom(inside, 8445)
	lose(1)
	l.change(c)
	l.right("the one that changes is gone, and another", c)

	for name, spoil := range map[string]func(){
		"the table gone":   func() { l.on(func(k *nftables.Conn) { k.DelTable(ourTable()) }) },
		"the table asleep": l.putToSleep,
		"a set gone": func() {
			l.on(func(k *nftables.Conn) {
				k.FlushChain(&nftables.Chain{Table: ourTable(), Name: chainDNAT})
				k.DelSet(&nftables.Set{Table: ourTable(), Name: mapForward})
			})
		},
		"a set emptied, and made anew": func() {
			l.on(func(k *nftables.Conn) {
				k.FlushChain(&nftables.Chain{Table: ourTable(), Name: chainPool})
				k.DelSet(&nftables.Set{Table: ourTable(), Name: setReplies})
				l.must(k.AddSet(&nftables.Set{Table: ourTable(), Name: setReplies, KeyType: nftables.TypeICMPType}, nil))
			})
		},
	} {
		spoil()
		c.Forwards[0].To = netip.AddrPortFrom(inside, c.Forwards[0].To.Port()+1)
		l.change(c)
		l.right(name, c)
	}
}

// An audit reads the table when anybody has written to any, and else nothing.
func TestAuditReadsWhatMayHaveChanged(t *testing.T) {
	l := newLab(t)
	c := config()
	known := func(when string, want bool) {
		t.Helper()
		if got := l.a.agreed != 0 && l.a.agreed == l.generation(); got != want {
			t.Errorf("%s: known to be right: want %v", when, want)
		}
	}
	audit := func() Report {
		t.Helper()
		r, err := l.a.Audit(plan(t, c))
		l.must(err)
		return r
	}
	if r := audit(); !r.NewGate {
		t.Errorf("first: did %+v", r)
	}
	known("first: what was written has not been read", false)
	l.unchanged("first, read back", audit())
	known("first, read back", true)
	c.Forwards[0].To = netip.AddrPortFrom(inside, 8444)
	l.change(c)
	known("after a change", true)
	l.unchanged("after a change", audit())
	l.must(l.a.OpenGate(allOfGroup))
	known("after a gate was opened", false)
	l.change(c)
	known("still", false)
	l.unchanged("after a gate was opened", audit())
	known("after an audit", true)
	// Somebody writes while a change is made: it may have been to our table.
	now := l.generation()
	l.on(func(k *nftables.Conn) { k.AddTable(&nftables.Table{Name: "other", Family: nftables.TableFamilyIPv4}) })
	l.on(func(k *nftables.Conn) { k.DelTable(&nftables.Table{Name: "other", Family: nftables.TableFamilyIPv4}) })
	one := &transaction{}
	one.step("one of these two")
	l.a.settle(*l.a.base, now, one)
	if l.a.agreed != 0 {
		t.Error("somebody else has written meanwhile: want the table to be read")
	}
	audit()
	for name, spoil := range map[string]func(*nftables.Conn){
		"elements": func(k *nftables.Conn) { k.FlushSet(&nftables.Set{Table: ourTable(), Name: mapForward}) },
		"a rule":   func(k *nftables.Conn) { k.FlushChain(&nftables.Chain{Table: ourTable(), Name: chainInside}) },
	} {
		l.on(spoil)
		if r := audit(); r.Added == 0 && len(r.Chains) == 0 {
			t.Errorf("%s gone: did %+v", name, r)
		}
		l.unchanged(name+" were gone", audit())
		l.right(name+" were gone", c)
	}
	c.Forwards = c.Forwards[:1] // a plan that was never applied
	if r := audit(); r.Removed == 0 {
		t.Errorf("another plan: did %+v", r)
	}
}

// A transaction that the kernel refuses changes nothing, names the mapping, and does not
// spoil what is known of the table.
func TestChangeThatIsRefused(t *testing.T) {
	l := newLab(t)
	l.apply(config())
	want := l.dump()
	p := plan(t, config())
	p.Sources = append(p.Sources, nat.Source{From: netip.MustParsePrefix("10.0.0.128/25"), Out: "wan0", To: vip, Ports: nat.DefaultPorts()}) // lies in the first
	_, err := l.a.Change(p)
	if err == nil {
		t.Fatal("want an error")
	}
	if !strings.Contains(err.Error(), p.Sources[1].String()) {
		t.Errorf("want the mapping in it: %v", err)
	}
	if diff := cmp.Diff(want, l.dump()); diff != "" {
		t.Errorf("the table changed (-want +got):\n%s", diff)
	}
	c := config()
	c.Forwards[0].To = netip.AddrPortFrom(inside, 8444)
	l.change(c)
	l.right("afterwards", c)
}

// What a change costs does not go by what stays.
func TestChangeOfOneOfMany(t *testing.T) {
	cost := func(n int) (allocations float64) {
		l := newLab(t)
		p := manyForwards(n)
		_, err := l.a.Apply(p)
		l.must(err)
		next := uint16(1)
		plans := make([]nat.Plan, 4)
		for i := range plans {
			plans[i] = p
			plans[i].Forwards = slices.Clone(p.Forwards)
			plans[i].Forwards[n/2].To = netip.AddrPortFrom(inside, 61000+next)
			next++
		}
		before, done := l.generation(), 0
		allocations = testing.AllocsPerRun(len(plans)-1, func() {
			r, err := l.a.Change(plans[done])
			l.must(err)
			if diff := cmp.Diff(Report{Added: 1, Removed: 1}, r); diff != "" {
				t.Errorf("one of %d (-want +got):\n%s", n, diff)
			}
			done++
		})
		if got := l.generation() - before; got != uint32(done) {
			t.Errorf("%d changes of one of %d were %d transactions", done, n, got)
		}
		l.filled(n, mapForward, setForwarded)
		r, err := l.applier().Apply(plans[done-1])
		l.must(err)
		l.unchanged("another program", r)
		return allocations
	}
	if few, many := cost(10), cost(5000); many > 2*few {
		t.Errorf("a change of one of 10 allocates %v times, of 5000 %v times", few, many)
	}
}

// An audit of many mappings gives way to who opens a gate, and is made up for.
func TestAuditGivesWay(t *testing.T) {
	l := newLab(t)
	p := manyForwards(20_000)
	_, err := l.a.Apply(p)
	l.must(err)
	l.filled(len(p.Forwards), mapForward, setForwarded)
	gave, broken := 0, 0
	for range 20 { // one that has read all before the gate was asked for is well done
		l.a.agreed = 0
		socket, done := l.a.link.nl, make(chan error)
		go func() {
			_, err := l.a.Audit(p)
			done <- err
		}()
		for l.a.auditing.Load() == nil && len(done) == 0 {
			runtime.Gosched()
		}
		l.must(l.a.OpenGate(p.Group("gateway")))
		err := <-done
		if errors.Is(err, ErrInterrupted) {
			gave++
			if l.a.link.nl != socket { // one in the middle of an answer is of no use any more
				broken++
			}
		} else {
			l.must(err)
		}
		l.must(l.a.CloseGate(p.Group("gateway")))
	}
	if gave == 0 || broken == 0 {
		t.Errorf("of 20 audits %d gave way, %d in the middle", gave, broken)
	}
	if l.a.base == nil {
		t.Error("it has forgotten what was loaded")
	}
	r, err := l.a.Audit(p)
	l.must(err)
	l.unchanged("after all", r)
}
