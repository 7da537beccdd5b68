package replay

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"understudy/vrrp"
	"understudy/vrrp/record"
)

var rewrite = flag.Bool("rewrite", false, "write what is decided now into the recordings; read the diff")

// TestRecordings replays testdata: what happened somewhere, and must be decided so still.
// A bug in the field becomes a test by its recording put there.
func TestRecordings(t *testing.T) {
	files, err := filepath.Glob("testdata/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			if *rewrite {
				again(t, f)
			}
			rep, err := File(f)
			if err != nil {
				t.Fatal(err)
			}
			if rep.Steps == 0 {
				t.Error("nothing happens in it")
			}
			if rep.Diff != nil {
				t.Error(rep.Diff)
			}
		})
	}
}

// again writes the recording with the decisions of now.
func again(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	_, err = run(bytes.NewReader(text), func(n int, out []byte) {
		var l record.Line
		if err := json.Unmarshal(lines[n-1], &l); err != nil {
			t.Fatal(err)
		}
		l.Out = out
		b, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		lines[n-1] = append(b, '\n')
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Join(lines, nil), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A decision that is another one is found, with its line; so is a file that is none.
func TestDifferencesAreFound(t *testing.T) {
	files, err := filepath.Glob("testdata/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatal("no recordings")
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.SplitAfter(string(text), "\n")
		for i, l := range lines {
			if strings.Contains(l, `"Term":2`) && strings.Contains(l, `"out"`) {
				at := strings.Index(l, `"out"`)
				changed := l[:at] + strings.Replace(l[at:], `"Term":2`, `"Term":3`, 1)
				if changed == l {
					continue
				}
				all := append([]string(nil), lines...)
				all[i] = changed
				rep, err := Replay(strings.NewReader(strings.Join(all, "")))
				if err != nil || rep.Diff == nil || rep.Diff.Line != i+1 {
					t.Errorf("%s, line %d: %+v, %v", f, i+1, rep.Diff, err)
				}
				break
			}
		}
	}
	for _, text := range []string{
		`{"understudy":"recording","format":1,"machine":"toaster"}` + "\n" + `{"t":0,"config":{}}` + "\n",
		`{"understudy":"recording","format":1,"machine":"election"}` + "\n" + `{"t":0,"do":"step","in":{},"out":{}}` + "\n",
		`{"understudy":"recording","format":1,"machine":"election"}` + "\n" + `{"t":0,"config":{"Node":7}}` + "\n",
		`{"understudy":"recording","format":1,"machine":"daemon"}` + "\n" + `{"t":0,"config":{}}` + "\n" + `{"t":0,"do":"dance","in":{},"out":{}}` + "\n",
	} {
		if rep, err := Replay(strings.NewReader(text)); err == nil {
			t.Errorf("%s was replayed: %+v", text, rep)
		}
	}
}

// Every event and action has its name, or it could not be recorded.
func TestTypesAreWhole(t *testing.T) {
	have := Types()
	for _, file := range []string{"../event.go", "../action.go"} {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && (fn.Name.Name == "event" || fn.Name.Name == "action") {
				if name := fn.Recv.List[0].Type.(*ast.Ident).Name; have[name] == nil {
					t.Errorf("appliance.%s is not among Types", name)
				}
			}
		}
	}
}

// A state restored at any moment decides like the one that it was taken from: two Sets of
// a node are given the same, one of them begins anew from the other's state all the time.
func TestStatesGoOn(t *testing.T) {
	cfg := vrrp.SetConfig{Node: "a", Groups: []vrrp.GroupConfig{{Name: "gw", Routers: []string{"lan", "wan"}}}}
	for i, name := range []string{"lan", "wan"} {
		cfg.Routers = append(cfg.Routers, vrrp.RouterConfig{Name: name, Interface: name, VRID: uint8(51 + i), Priority: 150, Preempt: true,
			Interval: 100 * time.Millisecond, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(i), 1})}})
	}
	src := func(i, host int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i), byte(host)}) }
	for seed := range uint64(12) {
		whole, err := vrrp.NewSet(cfg)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := vrrp.NewSet(cfg)
		now := base.Add(time.Hour)
		r := seed*2654435761 + 1
		chance := func(n uint64) uint64 { r = r*6364136223846793005 + 1442695040888963407; return r >> 33 % n }
		for k := range 400 {
			in := vrrp.SetInput{Kind: vrrp.InTick}
			now = now.Add(time.Duration(chance(60)) * time.Millisecond)
			router := int(chance(2))
			switch c := chance(20); {
			case k < 2:
				in = vrrp.SetInput{Kind: vrrp.InLink, Interface: cfg.Routers[k].Name, Up: true, Primary: src(k, 2)}
			case k == 2:
				in = vrrp.SetInput{Kind: vrrp.InStart}
			case c < 5:
				in = vrrp.SetInput{Kind: vrrp.InAdvert, Router: router, Src: src(router, 3), Advert: &vrrp.Advert{Version: 3, VRID: cfg.Routers[router].VRID,
					Priority: []uint8{0, 100, 150, 200}[chance(4)], Interval: 100 * time.Millisecond}, Rx: now.Add(-time.Millisecond)}
			case c == 5:
				in = vrrp.SetInput{Kind: vrrp.InFault, On: chance(2) == 0, Reason: "x"}
			case c == 6:
				in = vrrp.SetInput{Kind: vrrp.InHandOver}
			case c == 7:
				in = vrrp.SetInput{Kind: vrrp.InOverlap, OK: true}
			case c == 8:
				in = vrrp.SetInput{Kind: vrrp.InRefused, Router: -1, Interface: "lan", Src: src(0, 9), Refused: vrrp.ReasonVRID}
			case c == 9:
				in = vrrp.SetInput{Kind: vrrp.InWeight, Weight: int(chance(100)) - 50}
			}
			c := record.Codec{Base: base}
			a, b := whole.Step(now, in), again.Step(now, in)
			x, err1 := c.EncodeValue(a)
			y, err2 := c.EncodeValue(b)
			if err1 != nil || err2 != nil || !bytes.Equal(x, y) || whole.Deadline() != again.Deadline() {
				t.Fatalf("seed %d, step %d, %v: %v %v\n%s\n%s", seed, k, in.Kind, err1, err2, x, y)
			}
			if chance(3) == 0 {
				state, err := c.Encode(again)
				if err != nil {
					t.Fatal(err)
				}
				again = new(vrrp.Set)
				if err := c.Decode(state, again); err != nil || len(c.Unknown) > 0 {
					t.Fatal(fmt.Errorf("%w %v", err, c.Unknown))
				}
			}
		}
	}
}
