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

// Servers behind tunnels may be anywhere: nobody asks for their MAC.
func TestTunnelledServersNeedNoMAC(t *testing.T) {
	twin := &neighboursTwin{reach: map[netip.Addr]entrynet.Reach{netip.MustParseAddr("10.0.0.31"): entrynet.Beyond, netip.MustParseAddr("10.0.0.32"): entrynet.Silent}}
	inBubble(t, "", func(b entriesBed) {
		b.lookOut = func() (neighbours, error) { return twin, nil }
		b.reload(strings.Replace(directEntry, `"direct"`, `"tunnel"`, 1))
		synctest.Wait()
		b.kernel.said()
		time.Sleep(3 * reachPeriod)
		b.does()
		if got := b.status()[1]; got.Forward != "tunnel" || got.Servers[0].Unreachable || got.Servers[0].Share != 1 || len(b.hosts()) != 0 {
			t.Errorf("status is %+v, asked for %v", got, b.hosts())
		}
		if p := b.kernel.points["straight"]; !p.Direct || p.Tunnel != (entry.Tunnel{Kind: entry.IPIP}) || p.Table.Stay == nil {
			t.Errorf("%+v", p)
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
	mac, tunnel := entry.Point{Name: "a", Direct: true}, entry.Point{Name: "t", Direct: true, Tunnel: entry.Tunnel{Kind: entry.IPIP}}
	none := errors.New("no such family")
	for _, row := range []struct {
		name        string
		points      []entry.Point
		nft, ipvs   error
		nft1, ipvs1 string
		want        string
	}{
		{"both", []entry.Point{mac}, nil, nil, "apply 0\napply 1", "", ""},
		{"no dup", []entry.Point{mac}, nft.ErrNoDirect, nil, "apply 0", "apply 1", ""},
		{"neither", []entry.Point{mac}, nft.ErrNoDirect, none, "apply 0", "", "no dup (modules nft_dup_ipv4, nft_dup_ipv6), and no IPVS either (module ip_vs): no such family"},
		{"not allowed", []entry.Point{mac}, errors.New("denied"), nil, "apply 0", "", "denied"},
		{"a tunnel", []entry.Point{tunnel}, nil, nil, "apply 0\napply 0", "apply 1", ""},
		{"a tunnel beside", []entry.Point{mac, tunnel}, nil, nil, "apply 0\napply 1", "apply 1", ""},
		{"a tunnel beside, and no dup", []entry.Point{mac, tunnel}, nft.ErrNoDirect, nil, "apply 0", "apply 2", ""},
		{"a tunnel beside, and no IPVS", []entry.Point{mac, tunnel}, nil, none, "apply 0", "", `forward = "tunnel" cannot be had: tunnels to servers take IPVS (module ip_vs), which is not to be had: no such family`},
	} {
		a, b := &directTwin{entryTwin: &entryTwin{}}, &directTwin{entryTwin: &entryTwin{}}
		left := 0
		d := &directly{nftables: a, can: func() error { return row.nft }, ipvs: func() (directTable, error) { return b, row.ipvs }, left: func() error { left++; return none }}
		_, err := d.Apply(nil)
		if err != nil {
			t.Error(err)
		}
		_, err = d.Apply(row.points)
		if got := fmt.Sprint(err); row.want == "" && err != nil || !strings.Contains(got, row.want) {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
		if x, y := a.said(), b.said(); x != row.nft1 || y != row.ipvs1 || left != 1 {
			t.Errorf("%s: nftables was told %q, IPVS %q; what others left was looked for %d times", row.name, x, y, left)
		}
	}
}

// Each table hears of its own entry points alone, and of their end.
func TestTunnelsBeside(t *testing.T) {
	mac, tunnel := entry.Point{Name: "a", Direct: true}, entry.Point{Name: "t", Direct: true, Tunnel: entry.Tunnel{Kind: entry.GRE}}
	a, b := &directTwin{entryTwin: &entryTwin{}}, &directTwin{entryTwin: &entryTwin{}}
	a.flows = map[string][]nft.DirectFlow{"a": {directFlow(1, 0, 6, false)}}
	b.flows = map[string][]nft.DirectFlow{"t": {directFlow(2, 1, 6, false), directFlow(3, 1, 6, false)}}
	d := &directly{nftables: a, can: func() error { return nil }, ipvs: func() (directTable, error) { return b, nil }, left: func() error { return nil }}
	for _, step := range []struct {
		do          func() error
		nft1, ipvs1 string
	}{
		{func() error { _, err := d.Apply([]entry.Point{mac, tunnel}); return err }, "apply 1", "apply 1"},
		{func() error { return d.Steer(tunnel) }, "", "steer t to "},
		{func() error { return d.Steer(mac, tunnel) }, "steer a to ", "steer t to "},
		{func() error { return d.Forget("t", b.flows["t"]) }, "forget 2 of t", "forget 2 of t"},
		{func() error { _, err := d.Apply([]entry.Point{mac}); return err }, "apply 1", "apply 0"},
		{func() error { _, err := d.Apply(nil); return err }, "apply 0", "apply 0"},
	} {
		if err := step.do(); err != nil {
			t.Error(err)
		}
		if x, y := a.said(), b.said(); x != step.nft1 || y != step.ipvs1 {
			t.Errorf("nftables was told %q, IPVS %q; want %q, %q", x, y, step.nft1, step.ipvs1)
		}
	}
	for name, want := range map[string]int{"a": 1, "t": 2, "else": 0} {
		if flows, err := d.Flows(name); err != nil || len(flows) != want {
			t.Errorf("%s has flows %v (%v)", name, flows, err)
		}
	}
}
