package probe_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"understudy/appliance/lab"
	"understudy/health"
	"understudy/health/heartbeat"
	"understudy/health/probe"
	"understudy/health/program"
	"understudy/health/pulse"
)

func serverKey(t testing.TB, secret, server string) heartbeat.Key {
	t.Helper()
	k, err := heartbeat.NewKey([]byte(secret), server)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// inputs collects what a source emits.
type inputs struct {
	mu  sync.Mutex
	all []health.Input
	at  []int
}

func (i *inputs) add(check int, in health.Input) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.all, i.at = append(i.all, in), append(i.at, check)
}

func (i *inputs) list() ([]health.Input, []int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.all), slices.Clone(i.at)
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * soon); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited for %s", what)
		}
	}
}

// in runs fn in a node, on a thread of its own, until the test or stop ends it.
func in(t *testing.T, node *lab.Node, fn func(ctx context.Context)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = node.Do(func() error { fn(ctx); return nil })
	}()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return stop
}

// A beat that was recorded and is sent again, one that is made without the key, one
// for another server, one of long ago: each is counted, and none keeps a dead
// server up.
func TestHeartbeatReplayedOrForged(t *testing.T) {
	n := newNetwork(t)
	listen := netip.MustParseAddrPort("10.1.0.1:7790")
	heard := probe.NewHeard()
	key := serverKey(t, "web1's", "web1")
	var got inputs
	in(t, n.a, func(ctx context.Context) {
		probe.NewReceiver(listen, []probe.Sender{
			{Server: "web0", Keys: []heartbeat.Key{serverKey(t, "web0's", "web0")}, Check: 3},
			{Server: "web1", Keys: []heartbeat.Key{serverKey(t, "new", "web1"), key}, Check: 4},
		}, heard).Run(ctx, got.add)
	})
	var conn net.Conn
	must(t, n.b.Do(func() (err error) { conn, err = net.Dial("udp", listen.String()); return err }))
	defer conn.Close()
	total := func() (sum uint64) {
		for _, m := range []map[string]uint64{heard.Drops(listen), heard.DropsOf(listen, "web0"), heard.DropsOf(listen, "web1")} {
			for _, c := range m {
				sum += c
			}
		}
		return sum
	}
	send := func(b []byte) { must(t, justWrite(conn, b)) }
	beat := func(sequence uint64, at time.Time) heartbeat.Message {
		return heartbeat.Message{Kind: heartbeat.Beat, Incarnation: 9, Sequence: sequence, Time: at, Interval: time.Second, Name: "web1"}
	}
	first := heartbeat.Append(nil, beat(1, time.Now()), key)
	eventually(t, "the first beat", func() bool {
		_ = justWrite(conn, first) // refused until somebody listens
		all, _ := got.list()
		return len(all) > 0
	})
	all, at := got.list()
	if len(all) != 1 || !all[0].OK || at[0] != 4 {
		t.Fatalf("%+v of %v", all, at)
	}
	// What comes after the copies of the first one is counted after them.
	send([]byte("the last of all"))
	eventually(t, "what came after the first beat", func() bool { return heard.Drops(listen)["format"] == 1 })
	before := total()
	for i, tt := range []struct {
		name   string
		b      []byte
		of     string // whose counter
		reason string
	}{
		{"replayed", first, "web1", "replay"},
		{"replayed with a new number", append(slices.Clone(first[:23]), append([]byte{2}, first[24:]...)...), "web1", "forged"},
		{"made without the key", heartbeat.Append(nil, beat(2, time.Now()), heartbeat.Key{}), "web1", "forged"},
		{"made with the key of another server", heartbeat.Append(nil, beat(2, time.Now()), serverKey(t, "web0's", "web0")), "web1", "forged"},
		{"recorded long ago", heartbeat.Append(nil, beat(3, time.Now().Add(-time.Hour)), key), "web1", "time"},
		{"of a clock that is ahead", heartbeat.Append(nil, beat(3, time.Now().Add(time.Hour)), key), "web1", "time"},
		{"of a server that nobody knows", heartbeat.Append(nil, heartbeat.Message{Kind: heartbeat.Beat, Incarnation: 9, Time: time.Now(), Interval: time.Second, Name: "web9"}, key), "", "unknown"},
		{"a question", heartbeat.Append(nil, heartbeat.Message{Kind: heartbeat.Ask, Incarnation: 9, Nonce: 1, Time: time.Now(), Name: "web1"}, key), "web1", "kind"},
		{"no message", []byte("hello"), "", "format"},
		{"cut off", first[:len(first)-1], "", "length"},
	} {
		counter := func() uint64 {
			if tt.of == "" {
				return heard.Drops(listen)[tt.reason]
			}
			return heard.DropsOf(listen, tt.of)[tt.reason]
		}
		was := counter()
		send(tt.b)
		eventually(t, tt.name, func() bool { return total() == before+uint64(i)+1 })
		if counter() != was+1 {
			t.Errorf("%s: not counted as %s of %q: %v %v", tt.name, tt.reason, tt.of, heard.Drops(listen), heard.DropsOf(listen, "web1"))
		}
	}
	if all, _ := got.list(); len(all) != 1 {
		t.Fatalf("one of them was believed: %+v", all[1:])
	}
	for _, key := range []heartbeat.Key{key, serverKey(t, "new", "web1")} {
		send(heartbeat.Append(nil, beat(uint64(10+len(all)), time.Now()), key))
		eventually(t, "the next beat", func() bool { got, _ := got.list(); return len(got) == len(all)+1 })
		all, _ = got.list()
	}
}

func justWrite(c net.Conn, b []byte) error {
	_, err := c.Write(b)
	return err
}

// The memory of beats outlives a receiver: what was heard before a reload is no
// news after it. What is not asked about any more is forgotten.
func TestAReloadDoesNotForgetWhatWasHeard(t *testing.T) {
	n := newNetwork(t)
	listen := netip.MustParseAddrPort("10.1.0.1:7790")
	heard := probe.NewHeard()
	key := serverKey(t, "secret", "web1")
	beat := heartbeat.Append(nil, heartbeat.Message{Kind: heartbeat.Beat, Incarnation: 9, Sequence: 1, Time: time.Now(), Interval: time.Second, Name: "web1"}, key)
	var conn net.Conn
	must(t, n.b.Do(func() (err error) { conn, err = net.Dial("udp", listen.String()); return err }))
	defer conn.Close()
	for round := range 3 {
		var got inputs
		stop := in(t, n.a, func(ctx context.Context) {
			probe.NewReceiver(listen, []probe.Sender{{Server: "web1", Keys: []heartbeat.Key{key}}}, heard).Run(ctx, got.add)
		})
		replays := func() uint64 { return heard.DropsOf(listen, "web1")["replay"] }
		was := replays()
		eventually(t, "an outcome", func() bool {
			_ = justWrite(conn, beat)
			all, _ := got.list()
			return len(all) > 0 || replays() > was
		})
		if all, _ := got.list(); len(all) > 0 != (round != 1) {
			t.Errorf("round %d: %d were believed", round, len(all))
		}
		stop()
		if round == 1 {
			heard.Keep(nil)
		} else {
			heard.Keep(map[netip.AddrPort][]string{listen: {"web1"}})
		}
	}
}

// pulses runs a server's end in node b, and returns what stops it.
func pulses(t *testing.T, n network, cfg pulse.Config) (stop func()) {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.Server, cfg.Keys = "web1", []heartbeat.Key{serverKey(t, "secret", "web1")}
	return in(t, n.b, func(ctx context.Context) {
		if err := pulse.Run(ctx, cfg); err != nil {
			t.Error(err)
		}
	})
}

// ownCheck is a program that succeeds while a file is not there.
func ownCheck(t *testing.T) (p *program.Program, sick string) {
	t.Helper()
	dir := t.TempDir()
	sick = filepath.Join(dir, "sick")
	p, err := program.New(program.Config{Argv: []string{script(t, dir, `test ! -e "$1"`), sick}})
	must(t, err)
	return p, sick
}

// watchIn runs a watcher in a node; states tells what it said of each check.
func watchIn(t *testing.T, node *lab.Node, w *probe.Watcher) (state func(name string) health.State, why func(name string) string) {
	t.Helper()
	var mu sync.Mutex
	last := map[string]probe.Change{}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.Run(ctx, func(c probe.Change) { mu.Lock(); defer mu.Unlock(); last[c.Name] = c })
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return func(name string) health.State { mu.Lock(); defer mu.Unlock(); return last[name].To },
		func(name string) string { mu.Lock(); defer mu.Unlock(); return last[name].Why }
}

// inside is a source that runs in a node: a socket is of the namespace of the
// thread that opens it.
type inside struct {
	node *lab.Node
	probe.Source
}

func (s inside) Run(ctx context.Context, emit func(int, health.Input)) {
	_ = s.node.Do(func() error { s.Source.Run(ctx, emit); return nil })
}

// proberIn is a prober that runs in a node.
type proberIn struct {
	node *lab.Node
	probe.Prober
}

func (p proberIn) Probe(ctx context.Context) (err error) {
	_ = p.node.Do(func() error { err = p.Prober.Probe(ctx); return nil })
	return err
}

func pushed(name string, every, late time.Duration, fall int) probe.Check {
	return probe.Check{CheckConfig: health.CheckConfig{Name: name, Every: every, Timeout: late, Rise: 1, Fall: fall, Pushed: true}}
}

// A server pushes, says that it fails, is well again, goes silent, comes back, and
// leaves in good order.
func TestHeartbeatPushed(t *testing.T) {
	n := newNetwork(t)
	listen := netip.MustParseAddrPort("10.1.0.1:7790")
	key := serverKey(t, "secret", "web1")
	w := probe.NewWatcher([]probe.Check{pushed("web1", 50*ms, 4*time.Second, 1)}, nil,
		inside{n.a, probe.NewReceiver(listen, []probe.Sender{{Server: "web1", Keys: []heartbeat.Key{key}}}, probe.NewHeard())})
	state, why := watchIn(t, n.a, w)
	own, sick := ownCheck(t)
	cfg := pulse.Config{To: []netip.AddrPort{listen}, Every: 50 * ms, Check: own}
	stop := pulses(t, n, cfg)
	eventually(t, "it to be up", func() bool { return state("web1") == health.Up })
	must(t, os.WriteFile(sick, nil, 0o644))
	eventually(t, "it to say that it fails", func() bool { return state("web1") == health.Down })
	if !strings.Contains(why("web1"), "web1 says that its own check failed") {
		t.Errorf("why: %s", why("web1"))
	}
	must(t, os.Remove(sick))
	eventually(t, "it to be well", func() bool { return state("web1") == health.Up })
	must(t, n.b.Links()[0].Unplug())
	eventually(t, "its silence", func() bool { return state("web1") == health.Down })
	if why("web1") != "no result" {
		t.Errorf("why: %s", why("web1"))
	}
	must(t, n.b.Links()[0].Plug())
	eventually(t, "it to be back", func() bool { return state("web1") == health.Up })
	stop()
	eventually(t, "its goodbye", func() bool { return state("web1") == health.Down })
	if !strings.Contains(why("web1"), "web1 says that it stops") {
		t.Errorf("why: %s", why("web1"))
	}
	pulses(t, n, cfg)
	eventually(t, "another life of it", func() bool { return state("web1") == health.Up })
}

func TestHeartbeatPulled(t *testing.T) {
	n := newNetwork(t)
	own, sick := ownCheck(t)
	at := netip.MustParseAddrPort("10.1.0.2:7790")
	pulses(t, n, pulse.Config{Listen: at, Every: 20 * ms, Check: own})
	good := serverKey(t, "secret", "web1")
	within := func(limit time.Duration, server string, keys ...heartbeat.Key) error {
		p, err := probe.NewHeartbeat(probe.HeartbeatConfig{Endpoint: probe.Endpoint{Target: at}, Server: server, Keys: keys})
		must(t, err)
		return n.try(p, limit)
	}
	try := func(server string, keys ...heartbeat.Key) error { return within(3*little, server, keys...) }
	eventually(t, "an answer", func() bool { return try("web1", good) == nil })
	outcome(t, "another key is accepted as well", "", within(soon, "web1", good, serverKey(t, "new", "web1")))
	outcome(t, "with another secret", "heartbeat of web1 at 10.1.0.2:7790: no answer", try("web1", serverKey(t, "other", "web1")))
	outcome(t, "another server", "no answer", try("web2", serverKey(t, "secret", "web2")))
	must(t, os.WriteFile(sick, nil, 0o644))
	eventually(t, "it to say that it fails", func() bool {
		err := try("web1", good)
		return err != nil && strings.Contains(err.Error(), "it says that its own check failed")
	})
	p, err := probe.NewHeartbeat(probe.HeartbeatConfig{Endpoint: target("10.1.0.2:7791"), Server: "web1", Keys: []heartbeat.Key{good}})
	must(t, err)
	outcome(t, "nobody listens", "connection refused", n.try(p, soon))
	_, err = probe.NewHeartbeat(probe.HeartbeatConfig{Endpoint: target("10.1.0.2:7791")})
	outcome(t, "no key", "no key", err)
}

// Who pretends to be the responder, with answers recorded or made up, is not
// believed, and what he sends is the reason that is told.
func TestHeartbeatAnswersThatAreRefused(t *testing.T) {
	n := newNetwork(t)
	key := serverKey(t, "secret", "web1")
	var recorded atomic.Pointer[[]byte] // said by one responder, and by another again
	for i, tt := range []struct {
		name string
		say  func(ask heartbeat.Message, packet []byte) []byte
		want string
	}{
		{"right", func(ask heartbeat.Message, _ []byte) []byte {
			m, _ := heartbeat.Respond(time.Now(), ask, 5, false)
			b := heartbeat.Append(nil, m, key)
			recorded.Store(&b)
			return b
		}, ""},
		{"recorded", func(heartbeat.Message, []byte) []byte { return *recorded.Load() }, "no answer: timeout (what came was refused: nonce)"},
		{"the question itself", func(_ heartbeat.Message, packet []byte) []byte { return packet }, "(what came was refused: kind)"},
		{"forged", func(ask heartbeat.Message, _ []byte) []byte {
			m, _ := heartbeat.Respond(time.Now(), ask, 5, false)
			return heartbeat.Append(nil, m, heartbeat.Key{})
		}, "(what came was refused: forged)"},
		{"garbage", func(heartbeat.Message, []byte) []byte { return []byte("x") }, "(what came was refused: format)"},
	} {
		at := fmt.Sprintf("10.1.0.2:%d", 7800+i)
		echo(t, n.b, at, func(b []byte) []byte {
			ask, reason := heartbeat.Parse(b)
			if reason != heartbeat.ReasonNone || !key.Fits(b) {
				t.Errorf("%s: was asked by %v", tt.name, reason)
			}
			return tt.say(ask, slices.Clone(b))
		})
		p, err := probe.NewHeartbeat(probe.HeartbeatConfig{Endpoint: target(at), Server: "web1", Keys: []heartbeat.Key{key}})
		must(t, err)
		if tt.want == "" {
			err = n.try(p, soon)
		} else {
			err = n.tries(p, tt.want)
		}
		outcome(t, tt.name, tt.want, err)
	}
}

// A receiver that cannot listen says so, and begins when it can.
func TestReceiverWaitsForItsAddress(t *testing.T) {
	n := newNetwork(t)
	listen := netip.MustParseAddrPort("10.1.0.77:7790")
	var got inputs
	in(t, n.a, func(ctx context.Context) {
		probe.NewReceiver(listen, []probe.Sender{{Server: "web1", Check: 2}}, probe.NewHeard()).Run(ctx, got.add)
	})
	eventually(t, "its failure", func() bool { all, _ := got.list(); return len(all) > 0 })
	all, at := got.list()
	if all[0].OK || at[0] != 2 || !strings.Contains(all[0].Why, "heartbeats at 10.1.0.77:7790: cannot assign requested address") {
		t.Errorf("%+v of %v", all[0], at)
	}
}
