package sim

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"understudy/appliance"
	"understudy/health"
	"understudy/vrrp"
)

// What the coverage counts is what the code declares: every kind of input of a Set,
// every event of Core and every state, whether anybody has seen it or not.

func declarations(t *testing.T, file string) []ast.Decl {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f.Decls
}

// constants lists the names of a const block whose first constant has the type.
func constants(t *testing.T, file, typ string) (names []string) {
	t.Helper()
	for _, d := range declarations(t, file) {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		if first := g.Specs[0].(*ast.ValueSpec); first.Type == nil || first.Type.(*ast.Ident).Name != typ {
			continue
		}
		for _, s := range g.Specs {
			names = append(names, s.(*ast.ValueSpec).Names[0].Name)
		}
	}
	if len(names) == 0 {
		t.Fatalf("%s has no constants of type %s", file, typ)
	}
	return names
}

func TestEveryInputIsInAClass(t *testing.T) {
	kinds := constants(t, "../../vrrp/input.go", "InputKind")
	met := [numInputs]bool{inReconfigure: true} // not an input, but Set.Reconfigure
	addr := netip.MustParseAddr("10.0.0.1")
	for k, name := range kinds {
		some := false
		// All that classes are told apart by.
		for _, yes := range []bool{false, true} {
			for _, priority := range []uint8{0, 50, 100, 150} {
				in := vrrp.SetInput{Kind: vrrp.InputKind(k), OK: yes, On: yes, Up: yes, Raise: yes, Fence: priority > 50, Primary: addr,
					Advert: &vrrp.Advert{Priority: priority}}
				if kind, ok := classify(&in, 100); ok {
					met[kind], some = true, true
				}
			}
		}
		if !some {
			t.Errorf("vrrp.%s is in no class: it would never be missed", name)
		}
	}
	if _, ok := classify(&vrrp.SetInput{Kind: vrrp.InputKind(len(kinds))}, 100); ok {
		t.Error("what is no input is in a class")
	}
	for in, yes := range met {
		if !yes {
			t.Errorf("no input is of class %s", inputNames[in])
		}
	}
	set := reflect.TypeFor[*vrrp.Set]() // what else moves it
	for i := range set.NumMethod() {
		if m := set.Method(i); m.Type.NumOut() > 0 && m.Type.Out(0) == reflect.TypeFor[vrrp.SetOutput]() && m.Name != "Step" && m.Name != "Reconfigure" {
			t.Errorf("Set.%s is not covered", m.Name)
		}
	}
}

func TestEveryEventIsInAClass(t *testing.T) {
	events := []appliance.Event{appliance.Tick{}, appliance.Attached{}, appliance.Transition{}, appliance.Fenced{}, appliance.ElectionLost{},
		appliance.Applied{Gen: 7}, appliance.Applied{Gen: 6}, appliance.Applied{Gen: 7, Failed: map[string]error{"": errors.New("no")}},
		appliance.Synced{}, appliance.Synced{InSync: true}, appliance.TermHeard{}, appliance.Claimed{}, appliance.Claimed{On: true},
		appliance.Drifted{}, appliance.Drained{}, appliance.Drained{Err: errors.New("no")}, appliance.Failover{}, appliance.Reloaded{},
		appliance.Stop{}, appliance.CheckChanged{State: health.Up}, appliance.LinkChanged{},
		appliance.BondChanged{}, appliance.Guarded{}, appliance.Reclaimed{}, appliance.Prepared{}}
	var have []string
	met := [numEvents]bool{}
	for _, ev := range events {
		kind, ok := classifyEvent(ev, 7)
		if !ok || met[kind] {
			t.Errorf("%T: class %d %v, and seen before: %v", ev, kind, ok, met[kind])
		}
		met[kind] = true
		have = append(have, reflect.TypeOf(ev).Name())
	}
	for e, yes := range met {
		if !yes {
			t.Errorf("no event is of class %s", eventNames[e])
		}
	}
	for _, d := range declarations(t, "../event.go") {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "event" {
			if name := f.Recv.List[0].Type.(*ast.Ident).Name; !slices.Contains(have, name) {
				t.Errorf("appliance.%s is in no class: it would never be missed", name)
			}
		}
	}
}

func TestEveryStateIsCovered(t *testing.T) {
	states := constants(t, "../../vrrp/state.go", "State")
	for i, name := range states {
		if i >= leaving || !strings.EqualFold(name, stateNames[i]) {
			t.Errorf("vrrp.%s is not covered", name)
		}
	}
	if len(states) != leaving {
		t.Errorf("%d states are covered, vrrp has %v", leaving, states)
	}
}
