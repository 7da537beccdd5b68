package daemon

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"understudy/health"
	"understudy/nat/entry"
	"understudy/nat/entry/entrynet"
	"understudy/nat/nft"
)

// neighboursTwin is a table of neighbours.
type neighboursTwin struct {
	mu    sync.Mutex
	reach map[netip.Addr]entrynet.Reach
}

func (n *neighboursTwin) Look(hosts []netip.Addr) (map[netip.Addr]entrynet.Reach, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := map[netip.Addr]entrynet.Reach{}
	for _, a := range hosts {
		out[a] = n.reach[a]
	}
	return out, nil
}

func (n *neighboursTwin) Close() error { return nil }

func (n *neighboursTwin) is(host string, r entrynet.Reach) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.reach[netip.MustParseAddr(host)] = r
}

const directEntry = `
[[nat.entry]]
name = "straight"
address = "203.0.113.11:443/tcp"
forward = "direct"
servers = [{ address = "10.0.0.31" }, { address = "10.0.0.32" }]
`

// A server whose MAC nobody tells is not offered anything, until somebody does. Who has
// only been asked for stays as it was.
func TestDirectServersHaveMACs(t *testing.T) {
	twin := &neighboursTwin{reach: map[netip.Addr]entrynet.Reach{}}
	inBubble(t, "", func(b entriesBed) {
		b.lookOut = func() (neighbours, error) { return twin, nil }
		b.reload(directEntry)
		for _, step := range []struct {
			reach entrynet.Reach
			want  string
		}{
			{entrynet.Asked, ""},
			{entrynet.Silent, "steer straight to 10.0.0.32:0"},
			{entrynet.Asked, ""},
			{entrynet.Reached, "steer straight to 10.0.0.31:0"},
			{entrynet.Beyond, "steer straight to 10.0.0.32:0"},
		} {
			synctest.Wait()
			b.kernel.said()
			twin.is("10.0.0.31", step.reach)
			time.Sleep(reachPeriod + time.Millisecond)
			b.does(slices.DeleteFunc([]string{step.want}, func(s string) bool { return s == "" })...)
			if got := b.status()[1]; got.Forward != "direct" || got.Servers[0].Unreachable != (got.Servers[0].Share == 0) {
				t.Errorf("status is %+v", got)
			}
		}
		if got := b.status()[0]; got.Forward != "nat" {
			t.Errorf("status is %+v", got)
		}
	})
}

// directTwin has flows that are handed on.
type directTwin struct {
	*entryTwin
	flows map[string][]nft.DirectFlow
}

func (k *directTwin) Flows(name string) ([]nft.DirectFlow, error) { return k.flows[name], nil }

func (k *directTwin) Forget(name string, flows []nft.DirectFlow) error {
	k.note("forget %d of %s", len(flows), name)
	return nil
}

func directFlow(port uint16, server int, proto uint8, ended bool) nft.DirectFlow {
	return nft.DirectFlow{CutFlow: nft.CutFlow{Client: netip.AddrPortFrom(netip.MustParseAddr("203.0.113.254"), port),
		To: netip.MustParseAddrPort("203.0.113.11:443"), Proto: proto}, Server: server, Ended: ended}
}

// Each kind of entry point goes to its own table, and a flow that is handed on counts, is
// forgotten and its client woken like any other.
func TestBothKinds(t *testing.T) {
	translate, direct := &entryTwin{counts: []int{7, 7}}, &directTwin{entryTwin: &entryTwin{}}
	direct.flows = map[string][]nft.DirectFlow{"b": {directFlow(1, 0, 6, false), directFlow(2, 1, 6, false), directFlow(3, 0, 6, true), directFlow(4, 0, 17, false)}}
	servers := []netip.AddrPort{netip.MustParseAddrPort("10.0.0.31:0"), netip.MustParseAddrPort("10.0.0.32:0")}
	points := []entry.Point{{Name: "a", Servers: servers}, {Name: "b", Direct: true, Servers: servers}}
	tables := bothTables{translate, direct}
	_, err := tables.Apply(points)
	if err == nil {
		err = tables.Steer(points[1])
	}
	if err == nil {
		err = tables.Steer(points[0])
	}
	if err != nil {
		t.Fatal(err)
	}
	if a, b := translate.said(), direct.said(); a != "apply 1\nsteer a to " || b != "apply 1\nsteer b to " {
		t.Errorf("translated: %q; handed on: %q", a, b)
	}
	flows := &bothFlows{entryFlows: flowsTwin{translate}, direct: direct}
	counts, err := flows.Count(points)
	if err != nil || fmt.Sprint(counts) != "[[7 7] [9 8]]" { // the twin gives everybody what it has
		t.Errorf("counted %v (%v)", counts, err)
	}
	translate.said()
	out, err := flows.Cut(points, []entrynet.Server{{Point: 1, Number: 0}, {Point: 0, Number: 1}}, func([]entrynet.Flow) error { return nil })
	if err != nil || out != (entrynet.Outcome{Deleted: 4, Woken: 1}) {
		t.Errorf("%+v (%v)", out, err)
	}
	if a, b := translate.said(), direct.said(); a != "cut a 10.0.0.32:0\nwake 1" || b != "forget 3 of b" {
		t.Errorf("translated: %q; handed on: %q", a, b)
	}
	for _, want := range []string{"wake 1", ""} { // once more, and no more
		if _, err := flows.Wake(nil); err != nil || strings.TrimSpace(translate.said()) != want {
			t.Errorf("want %q (%v)", want, err)
		}
	}
}

// The file's words reach the table: a dead server's flows do not stay, unless they are to.
func TestDirectConfigured(t *testing.T) {
	twin := &neighboursTwin{reach: map[netip.Addr]entrynet.Reach{}}
	inBubble(t, "", func(b entriesBed) {
		b.lookOut = func() (neighbours, error) { return twin, nil }
		b.reload(strings.Replace(directEntry, `{ address = "10.0.0.31" }`, `{ address = "10.0.0.31", check = "c1" }`, 1))
		b.health("c1", word{state: health.Down})
		synctest.Wait()
		p := b.kernel.points["straight"]
		if !p.Direct || !p.KeepsPort() || !slices.Equal(p.Table.Stay, []bool{false, true}) {
			t.Errorf("%+v", p)
		}
	})
}

// Packets are handed on by nftables where it can, else by IPVS; where there is neither it
// is said what is missing.
func TestDirectlyByWhatThereIs(t *testing.T) {
	points := []entry.Point{{Name: "a", Direct: true}}
	for _, row := range []struct {
		name        string
		nft, ipvs   error
		nft1, ipvs1 string
		want        string
	}{
		{"both", nil, nil, "apply 0\napply 1", "", ""},
		{"no dup", nft.ErrNoDirect, nil, "apply 0", "apply 1", ""},
		{"neither", nft.ErrNoDirect, errors.New("no such family"), "apply 0", "", "no dup (modules nft_dup_ipv4, nft_dup_ipv6), and no IPVS either (module ip_vs): no such family"},
		{"not allowed", errors.New("denied"), nil, "apply 0", "", "denied"},
	} {
		a, b := &directTwin{entryTwin: &entryTwin{}}, &directTwin{entryTwin: &entryTwin{}}
		d := &directly{nftables: a, can: func() error { return row.nft }, ipvs: func() (directTable, error) { return b, row.ipvs }}
		_, err := d.Apply(nil)
		if err != nil {
			t.Error(err)
		}
		_, err = d.Apply(points)
		if got := fmt.Sprint(err); row.want == "" && err != nil || !strings.Contains(got, row.want) {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
		if x, y := a.said(), b.said(); x != row.nft1 || y != row.ipvs1 {
			t.Errorf("%s: nftables was told %q, IPVS %q", row.name, x, y)
		}
	}
}
