package election

import (
	"bytes"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"understudy/vrrp"
	"understudy/vrrp/witness"
)

var samples = []Message{
	Inferior{Router: "lan", Family: 4, Source: netip.MustParseAddr("10.0.0.3"), Priority: 90},
	Beat{}, Ready{}, StatsRequest{}, Bye{}, Reload{}, Stop{}, Request{What: "data"}, Reloaded{Error: "no"}, LogLevel{Level: -4}, Relieve{}, Waiting{},
	Configure{Config: vrrp.SetConfig{Node: "gw1", Routers: []vrrp.RouterConfig{{Name: "lan", Interface: "lan0", VRID: 51,
		Priority: 200, Interval: 100 * time.Millisecond, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}}}},
	Fence{Group: "gw", GateClose: []NetlinkBatch{{Family: unix.NETLINK_NETFILTER, Bytes: []byte{1, 2, 3}}},
		Remove: []NetlinkBatch{{Family: unix.NETLINK_ROUTE, Bytes: []byte{4}}, {Bytes: []byte{5, 6}}}, Lower: []NetlinkBatch{{Bytes: []byte{7}}}, More: true},
	Fence{Group: "empty"},
	Eligible{Group: "gw", OK: true}, Fault{Group: "gw", On: true, Reason: "apply-failed"}, Weight{Group: "gw", Weight: -50},
	Guard{Config: witness.Config{Node: "gw1", Mode: witness.ModeAlarm, Listen: netip.MustParseAddrPort("10.255.0.1:7788"), Key: witness.Key{1},
		Peers: []witness.Peer{{Name: "gw2", Address: netip.MustParseAddrPort("[fe80::2%sync0]:7788"), Keys: []witness.Key{{2}}}}}},
	Guard{}, Neighbour{State: witness.NeighbourUp},
	Found{Findings: []witness.Finding{{Kind: witness.KindSplitBrain, Group: "gw", Peer: "gw2", Since: time.Unix(5, 0).UTC(), Detail: "both"}}}, Reclaim{Group: "gw"}, HandOver{Group: "gw"}, Overlap{Group: "gw", OK: true}, Announced{Group: "gw"},
	Term{Group: "gw", Term: 1 << 60, Raise: true}, Resume{Group: "gw", Term: 7}, Budget{For: 3 * time.Second}, Dumping{}, Dumped{},
	Attached{Groups: []GroupState{{Group: "gw", State: vrrp.Active, Term: 4}}, Resumed: true},
	Transition{Group: "gw", From: vrrp.Backup, To: vrrp.Active, Term: 5, Cause: "active-down", Leaving: true},
	Fenced{Group: "gw", Error: "no"}, Configured{Error: "bad"}, Stats{Turns: 3},
}

func TestMessagesComeBack(t *testing.T) {
	seen := map[kind]bool{}
	for _, want := range samples {
		b, err := Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Unmarshal(b)
		if err != nil {
			t.Fatalf("%T: %v", want, err)
		}
		if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); d != "" {
			t.Errorf("%T: -want +got\n%s", want, d)
		}
		seen[want.kind()] = true
	}
	for k := kindBeat; k <= lastKind; k++ {
		if !seen[k] {
			t.Errorf("kind %d has no sample", k)
		}
	}
}

func TestBigFenceIsSplit(t *testing.T) {
	f := Fence{Group: "gw"}
	for i := range 200 {
		f.Remove = append(f.Remove, NetlinkBatch{Family: unix.NETLINK_ROUTE, Bytes: bytes.Repeat([]byte{byte(i)}, 10<<10)})
	}
	f.GateClose, f.Lower = f.Remove[:10], f.Remove[10:30]
	if _, err := Marshal(f); !errors.Is(err, ErrTooBig) {
		t.Fatalf("not too big: %v", err)
	}
	fs := newFences(nil)
	fs.set(Fence{Group: "gw", GateClose: []NetlinkBatch{{Bytes: []byte("the one before")}}})
	parts := f.split()
	for i, p := range parts {
		b, err := Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		m, err := Unmarshal(b)
		if err != nil {
			t.Fatal(err)
		}
		fs.set(m.(Fence))
		if last := i == len(parts)-1; (len(fs.groups["gw"].gate) == 10) != last {
			t.Fatalf("part %d of %d: half a fence is in force", i, len(parts))
		}
	}
	if g := fs.groups["gw"]; !reflect.DeepEqual(f.Remove, g.remove) || !reflect.DeepEqual(f.Lower, g.lower) {
		t.Error("what arrived is not what was sent")
	}
}

// A Bye counts, also from a daemon that did not read what it was told last.
func TestLastWordsAreHeard(t *testing.T) {
	mine, theirs, err := SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	c, err := newConn(mine)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if !c.send([]byte{byte(kindReload)}) {
		t.Fatal("not sent")
	}
	if _, err := theirs.Write([]byte{byte(kindBye)}); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	if b, err := c.receive(); err != nil || len(b) != 1 || kind(b[0]) != kindBye {
		t.Errorf("first: %v, %v", b, err)
	}
	if b, err := c.receive(); !errors.Is(err, ErrLost) {
		t.Errorf("then: %v, %v", b, err)
	}
}

// A daemon that does not read is counted and told later how things stand.
func TestFullSocketNeverBlocks(t *testing.T) {
	mine, theirs, err := SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	c, err := newConn(mine)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	l := &loop{opt: Options{}.withDefaults(), now: time.Now()}
	l.log = l.opt.Logger
	l.groups = []member{{name: "gw", state: vrrp.Active, term: 4}}
	l.daemon = &daemon{conn: c}
	for l.undelivered == 0 {
		l.tell(Transition{Group: "gw", To: vrrp.Active, Cause: strings.Repeat("x", 10000)})
	}
	l.tell(Stop{})
	if !l.owed.state || !l.owed.stop || l.owed.retry.IsZero() {
		t.Fatalf("owed: %+v", l.owed)
	}
	l.pay() // still full: owed as before
	if !l.owed.state || !l.owed.stop {
		t.Fatalf("owed: %+v", l.owed)
	}
	var got []Message
	b := make([]byte, maxMessage)
	raw, err := theirs.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	read := func() { // what is there
		for {
			n := -1
			if err := raw.Control(func(fd uintptr) { n, _, err = unix.Recvfrom(int(fd), b, unix.MSG_DONTWAIT) }); err != nil || n <= 0 {
				return
			}
			m, err := Unmarshal(b[:n])
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m)
		}
	}
	read()
	got = nil
	l.pay()
	read()
	want := []Message{Attached{Groups: []GroupState{{Group: "gw", State: vrrp.Active, Term: 4}}}, Stop{}}
	if !reflect.DeepEqual(want, got) {
		t.Errorf("got %d messages, want an Attached and a Stop", len(got))
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, m := range samples {
		b, _ := Marshal(m)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Unmarshal(b)
		if err != nil {
			return
		}
		again, err := Marshal(m)
		if errors.Is(err, ErrTooBig) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Unmarshal(again); err != nil {
			t.Fatal(err)
		}
	})
}
