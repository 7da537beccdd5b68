package lacp

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"understudy/lacp/lacptest"
)

// TestVectorsFindings: every vector as what the far end says on a port that has just
// come up, beside a member that is well. Exactly its finding is raised, whatever is
// known of our own end.
func TestVectorsFindings(t *testing.T) {
	ran := map[string]bool{}
	for _, v := range vectors(t) {
		for _, known := range []string{"nothing", "the bond's system", "our PDUs", "the kernel's states"} {
			t.Run(v.Name+" knowing "+known, func(t *testing.T) {
				w := newWatcher(t, ModeLACP, 2)
				w.wires[0].own.Port, w.wires[0].far.Port = 2, 9 // the vectors are of our port 1
				fresh := w.wires[1]
				fresh.far, fresh.own, fresh.member.Carrier, fresh.member.Active = Info{}, Info{}, false, false
				w.run(10 * time.Second)
				fresh.member.Carrier = true
				own := Info{65535, gateway, 15, 255, 1, defaulted}
				if v.pdu != nil && v.pdu.Partner.System != (MAC{}) {
					own = v.pdu.Partner
				} else if v.Finding == "loopback" && known == "nothing" {
					known = "the bond's system" // nobody can tell without
				}
				switch known {
				case "the bond's system":
					w.bond.System = gateway
				case "our PDUs":
					fresh.own = own
				case "the kernel's states":
					fresh.member.HasStates, fresh.member.Actor.State, w.bond.System = true, own.State, gateway
				}
				for range 8 {
					w.poll()
					w.speak()
					w.step(Input{Kind: InFrame, Member: "eth1", Frame: v.Frame})
					w.advance(time.Second)
				}
				want := v.Finding
				if v.Reason != "" || v.marker != nil {
					want = "defaulted" // as if nobody spoke
				}
				if got := strings.Join(w.of("eth1"), " "); got != want {
					t.Errorf("%q, want %q", got, want)
				}
				if got := w.of("eth0"); got != nil {
					t.Errorf("the other member has %v", got)
				}
				c := w.m.Status().Members[1].Counters
				for _, r := range Reasons() {
					if got := c.RefusedFor(r); got != 8 && r.String() == v.Reason || got != 0 && r.String() != v.Reason {
						t.Errorf("%d refused for %v", got, r)
					}
				}
				if v.marker != nil && v.Reason == "" && c.Markers != 8 {
					t.Errorf("%d markers", c.Markers)
				}
			})
		}
		ran[v.Finding] = true
	}
	if len(ran) < 12 {
		t.Errorf("the vectors have %d findings only", len(ran)-1)
	}
}

// TestStatusOfMembers: what is told besides findings.
func TestStatusOfMembers(t *testing.T) {
	w := healthy(t, ModeLACP, 2)
	w.far(1, attached)
	w.own(1, detached)
	w.run(time.Second)
	w.step(Input{Kind: InFrame, Member: "eth7", Frame: make([]byte, 124)})
	s := w.m.Status()
	if s.State != BondDegraded || s.Mode != ModeLACP || s.Need != 1 || s.Carrying != 1 || s.Strangers != 1 || !s.Carrier {
		t.Errorf("%+v", s)
	}
	a, b := s.Members[0], s.Members[1]
	if !a.Synchronized || !a.Carries || a.Receive != PartnerCurrent || a.Partner.System != switch1 || a.Actor.System != gateway || !a.Since.Equal(epoch) {
		t.Errorf("eth0: %+v", a)
	}
	if b.Synchronized || b.Carries || b.Partner.State != attached || b.Actor.State != detached {
		t.Errorf("eth1: %+v", b)
	}
	if a.Counters.Received != 11 || a.Counters.Sent != 11 {
		t.Errorf("eth0: %+v", a.Counters)
	}
}

// The critical ones come first, of equals the older one.
func TestStatusOrder(t *testing.T) {
	w := healthy(t, ModeLACP, 3)
	w.far(2, goodSlow)
	w.run(3 * time.Second)
	w.far(1, good&^Aggregation)
	w.run(3 * time.Second)
	w.far(0, expired)
	w.wires[1].far.Key = 3
	w.run(3 * time.Second)
	var got []string
	for _, f := range w.m.Status().Findings {
		got = append(got, f.Severity.String()+" "+f.Name())
	}
	want := []string{"critical partner_expired", "warning individual_link", "warning different_partner_key", "info timeout_mismatch"}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// A process that was stopped hands in what waits before it believes its timers.
func TestFramesBeforeTicks(t *testing.T) {
	w := healthy(t, ModeLACP, 2)
	w.now = w.now.Add(time.Minute)
	w.poll()
	w.speak()
	w.step(Input{Kind: InTick})
	w.want()
}

func TestReconfigure(t *testing.T) {
	w := healthy(t, ModeLACP, 2)
	w.m.Reconfigure(MonitorConfig{MinLinks: 3})
	w.run(time.Second)
	w.m.Reconfigure(MonitorConfig{MinLinks: 1, Margin: 2})
	w.wires[1].member.Carrier = false
	w.run(3 * time.Second)
	w.want("0s +below_min_links", "0s failed", "1s -below_min_links", "1s +link_down eth1", "1s degraded", "3s +at_min_links")
}

// Kinds have names of their own, and come back from them.
func TestKinds(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Kinds() {
		var back Kind
		text, _ := k.MarshalText()
		if err := back.UnmarshalText(text); err != nil || back != k || seen[k.String()] || k.Meaning() == "" || k.Advice() == "" {
			t.Errorf("kind %d: %q, %v", k, k, err)
		}
		seen[k.String()] = true
		var sev Severity
		word, _ := k.Severity().MarshalText()
		if err := sev.UnmarshalText(word); err != nil || sev != k.Severity() {
			t.Errorf("%v: severity %q, %v", k, word, err)
		}
	}
	var k Kind
	var s Severity
	if k.UnmarshalText([]byte("nonsense")) == nil || s.UnmarshalText([]byte("nonsense")) == nil {
		t.Error("nonsense is a kind or a severity")
	}
	if numKinds.String() != "unknown" {
		t.Error(numKinds)
	}
}

var rewrite = flag.Bool("rewrite", false, "write the list of findings in docs/link-aggregation.md anew")

// TestDocsFindings: docs/link-aggregation.md has every finding, as it is.
func TestDocsFindings(t *testing.T) {
	const file = "../docs/link-aggregation.md"
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- findings: made by go test ./lacp -rewrite -->\n", "<!-- end -->"
	before, after, _ := strings.Cut(string(doc), begin)
	got, rest, found := strings.Cut(after, end)
	var want strings.Builder
	for _, k := range Kinds() {
		fmt.Fprintf(&want, "\n### %v\n\n%v · raised %s · over %s\n\n%s.\n\n**Do:** %s.\n",
			k, k.Severity(), k.Raised(), k.Cleared(), sentence(k.Meaning()), k.Advice())
	}
	want.WriteString("\n")
	switch {
	case !found:
		t.Errorf("%s has no place for the findings", file)
	case *rewrite:
		if err := os.WriteFile(file, []byte(before+begin+want.String()+end+rest), 0o644); err != nil {
			t.Fatal(err)
		}
	case got != want.String():
		t.Errorf("%s is not what kinds.go says: go test ./lacp -run TestDocs -rewrite", file)
	}
}

func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// A capture replayed at 10,000 LACPDUs a second with random corruption: everything
// is counted, and nothing grows.
func TestFlood(t *testing.T) {
	w := healthy(t, ModeLACP, 2)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	noise := lacptest.NewNoise(t, seed)
	before := w.m.Status().Members[1].Counters
	const perSecond, seconds = 10000, 20
	var heap [2]uint64
	raised := 0
	for i := range perSecond * seconds {
		if i == perSecond*2 || i == perSecond*seconds-1 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			heap[min(i/(perSecond*3), 1)] = m.HeapAlloc
		}
		w.now = w.now.Add(time.Second / perSecond)
		out := w.m.Step(w.now, Input{Kind: InFrame, Member: "eth1", Frame: noise.Next(0)})
		raised += len(out.Raised) + len(out.Cleared)
		if at := w.m.Deadline(); !at.IsZero() && !at.After(w.now) {
			out = w.m.Step(w.now, Input{Kind: InTick})
			raised += len(out.Raised) + len(out.Cleared)
		}
	}
	c := w.m.Status().Members[1].Counters
	total := c.Received + c.Markers + c.Looped - before.Received
	for _, r := range Reasons() {
		total += c.RefusedFor(r)
		if c.RefusedFor(r) == 0 {
			t.Errorf("none was refused for %v", r)
		}
	}
	if total != perSecond*seconds {
		t.Errorf("%d of %d are counted: %+v", total, perSecond*seconds, c)
	}
	if least := uint64((perSecond - floodMany - 1) * seconds); c.Flooded < least {
		t.Errorf("%d above the limit, want %d or more", c.Flooded, least)
	}
	// A finding lasts for a while before it is believed and before it is over.
	if limit := int(numKinds) * seconds; raised > limit {
		t.Errorf("%d findings came and went in %d s", raised, seconds)
	}
	if heap[1] > heap[0]+256<<10 {
		t.Errorf("the heap went from %d to %d", heap[0], heap[1])
	}
}

// What comes each second costs nothing for the collector.
func TestStepAllocatesNothing(t *testing.T) {
	w := healthy(t, ModeLACP, 8)
	frame := Append(AppendHeader(nil, MAC{}), &PDU{Version: 1, Actor: w.wires[1].far, Partner: w.wires[1].own})
	b := w.bond
	for _, x := range w.wires {
		b.Members = append(b.Members, x.member)
	}
	if n := testing.AllocsPerRun(100, func() {
		w.now = w.now.Add(100 * time.Millisecond)
		w.m.Step(w.now, Input{Kind: InFrame, Member: "eth1", Frame: frame})
		w.m.Step(w.now, Input{Kind: InBond, Bond: &b})
		w.m.Deadline()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// inputs feeds bytes as a monitor's inputs: hostile frames, and a kernel that says
// anything.
func inputs(w *watcher, b []byte, templates [][]byte) {
	next := func() byte {
		if len(b) == 0 {
			return 0
		}
		v := b[0]
		b = b[1:]
		return v
	}
	names := []string{"eth0", "eth1", "eth2", "eth3"}
	for len(b) > 0 {
		switch op := next(); op % 6 {
		case 0:
			w.advance(time.Duration(next()) * 100 * time.Millisecond)
		case 1, 2, 3:
			f := slices.Clone(templates[int(next())%len(templates)])
			for range next() % 4 {
				f[int(next())%len(f)] = next()
			}
			w.step(Input{Kind: InFrame, Member: names[op/6%4], Frame: f, Outgoing: op%6 == 3})
		case 4:
			bond := Bond{Mode: Mode(next() % 4), Carrier: op > 64, Aggregator: uint16(next() % 3), MinLinks: int(next() % 3), Rate: Rate(next() % 3)}
			for i := range next() % 5 {
				bond.Members = append(bond.Members, Member{Interface: names[int(i+op)%4], Carrier: next()%4 > 0, MII: MII(next() % 5), Active: next()%2 > 0,
					LinkFailures: uint32(next()), Aggregator: uint16(next() % 3), Speed: uint32(next() % 2), HasStates: next()%2 > 0,
					Actor: Info{State: State(next())}, Partner: Info{State: State(next())}})
			}
			w.step(Input{Kind: InBond, Bond: &bond})
		case 5:
			w.step(Input{Kind: InputKind(op % 7)})
		}
		if s := w.m.Status(); len(s.Findings) != len(w.is) || len(s.Members) > len(names) {
			w.t.Fatalf("%d findings in the status, %d raised; %d members", len(s.Findings), len(w.is), len(s.Members))
		}
		w.log = w.log[:0]
	}
	// Left alone it comes to rest.
	w.step(Input{Kind: InGone})
	w.advance(time.Hour)
	if len(w.is) > 0 || w.m.State() != BondUnknown || !w.m.Deadline().IsZero() {
		w.t.Fatalf("%v, %v, deadline %v without a bond", w.is, w.m.State(), w.m.Deadline())
	}
}

func templates(t testing.TB) (all [][]byte) {
	for _, v := range vectors(t) {
		all = append(all, v.Frame)
	}
	return all
}

// Whatever comes, in whatever order: no panic, no finding twice, no deadline that a
// tick leaves behind.
func TestPropertyMonitor(t *testing.T) {
	frames := templates(t)
	rapid.Check(t, func(r *rapid.T) {
		w := newWatcher(r, ModeLACP, 0)
		inputs(w, rapid.SliceOfN(rapid.Byte(), 0, 400).Draw(r, "inputs"), frames)
	})
}

func FuzzMonitor(f *testing.F) {
	frames := templates(f)
	f.Add([]byte{4, 1, 1, 1, 1, 2, 3, 1, 1, 0, 1, 1, 0, 0, 0, 1, 1, 3, 1, 1, 0, 1, 1, 0, 0, 0, 1, 1, 0, 7, 6, 2, 0, 50, 1, 4, 0, 100})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4096 {
			return
		}
		inputs(newWatcher(t, ModeLACP, 0), b, frames)
	})
}

func BenchmarkMonitorFrame(b *testing.B) {
	w := newWatcher(b, ModeLACP, 4)
	w.run(10 * time.Second)
	frame := Append(AppendHeader(nil, MAC{}), &PDU{Version: 1, Actor: w.wires[1].far, Partner: w.wires[1].own})
	b.ReportAllocs()
	for b.Loop() {
		w.now = w.now.Add(100 * time.Microsecond)
		w.m.Step(w.now, Input{Kind: InFrame, Member: "eth1", Frame: frame})
	}
}
