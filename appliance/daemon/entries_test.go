package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"context"

	"understudy/appliance/config"
	"understudy/health"
	"understudy/nat/entry"
	"understudy/nat/entry/entrynet"
	"understudy/nat/nft"
)

// entryTwin is a kernel with one connection for each server of the entry point that was
// steered to: it remembers in which order it was told what.
type entryTwin struct {
	mu     sync.Mutex
	did    []string
	points map[string]entry.Point
	refuse error
	counts []int
}

func (k *entryTwin) note(format string, args ...any) {
	k.did = append(k.did, fmt.Sprintf(format, args...))
}

// said is what was done since it was asked last.
func (k *entryTwin) said() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := strings.Join(k.did, "\n")
	k.did = nil
	return out
}

func (k *entryTwin) Apply(points []entry.Point) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.refuse != nil {
		return false, k.refuse
	}
	k.points = map[string]entry.Point{}
	for _, p := range points {
		k.points[p.Name] = p
	}
	k.note("apply %d", len(points))
	return true, nil
}

func (k *entryTwin) Steer(points ...entry.Point) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.refuse != nil {
		return k.refuse
	}
	for _, p := range points {
		k.points[p.Name] = p
		var to []string
		for i, a := range p.Servers {
			if slices.Contains(p.Table.Slots, uint8(i)) {
				to = append(to, a.String())
			}
		}
		k.note("steer %s to %s", p.Name, strings.Join(to, " "))
	}
	return nil
}

func (k *entryTwin) Cut(flows []nft.CutFlow) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.note("mark %d", len(flows))
	return nil
}

func (k *entryTwin) Remember(name string, clients []nft.Remembered) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.note("remember %s %v", name, clients)
	return nil
}

func (k *entryTwin) Counters() (nft.EntryCounters, error) { return nft.EntryCounters{}, nil }

func (k *entryTwin) Count(points []entry.Point) ([][]int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := make([][]int, len(points))
	for i := range points {
		out[i] = slices.Clone(k.counts)
	}
	return out, nil
}

func (k *entryTwin) Clients(points []entry.Point) ([][]entrynet.Client, error) {
	out := make([][]entrynet.Client, len(points))
	for i := range points {
		out[i] = []entrynet.Client{{Address: netip.MustParseAddr("203.0.113.254"), Server: 1}}
	}
	return out, nil
}

// flowsTwin are its connections.
type flowsTwin struct{ *entryTwin }

func (f flowsTwin) Cut(points []entry.Point, dead []entrynet.Server, mark func([]entrynet.Flow) error) (entrynet.Outcome, error) {
	if err := mark(make([]entrynet.Flow, len(dead))); err != nil {
		return entrynet.Outcome{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range dead {
		f.note("cut %s %v", points[d.Point].Name, points[d.Point].Servers[d.Number])
	}
	return entrynet.Outcome{Deleted: len(dead)}, nil
}

func (f flowsTwin) Wake(flows []entrynet.Flow) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(flows) > 0 {
		f.note("wake %d", len(flows))
	}
	return len(flows), nil
}

func (f flowsTwin) Close() error { return nil }

const entriesFile = `
node = "gw1"
[[router]]
name = "wan"
interface = "wan0"
vrid = 52
addresses = ["203.0.113.1/24"]
[[check]]
name = "c1"
kind = "tcp"
target = "10.0.0.21:80"
[[check]]
name = "c2"
kind = "tcp"
target = "10.0.0.22:80"
[[nat.entry]]
name = "web"
address = "203.0.113.10:443/tcp"
servers = [{ address = "10.0.0.21:80", check = "c1" }, { address = "10.0.0.22:80", check = "c2" }]
`

// entriesBed is a lane at work in a bubble.
type entriesBed struct {
	*entries
	kernel *entryTwin
	t      *testing.T
}

func inBubble(t *testing.T, more string, f func(b entriesBed)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		k := &entryTwin{}
		b := entriesBed{newEntries(k, func() (entryFlows, error) { return flowsTwin{k}, nil }, filepath.Join(dir, drainedFile), slog.New(slog.DiscardHandler)), k, t}
		b.reload(more)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan bool)
		go func() { b.run(ctx); close(done) }()
		synctest.Wait()
		k.said()
		f(b)
		cancel()
		<-done
	})
}

func (b entriesBed) reload(more string) {
	b.t.Helper()
	cfg, err := config.Parse("test.toml", []byte(entriesFile+more), config.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.prepare(cfg); err != nil {
		b.t.Fatal(err)
	}
	b.set(cfg)
}

// does compares what the kernel was told, all that there is to do being done.
func (b entriesBed) does(want ...string) {
	b.t.Helper()
	synctest.Wait()
	if got := b.kernel.said(); got != strings.Join(want, "\n") {
		b.t.Errorf("want:\n%s\ngot:\n%s", strings.Join(want, "\n"), got)
	}
}

// New flows go elsewhere first; then the flows are cut, twice. On a standby they are not.
func TestEntriesCutAfterSteering(t *testing.T) {
	inBubble(t, "", func(b entriesBed) {
		b.health("c1", word{state: health.Down})
		b.does("steer web to 10.0.0.22:80")
		b.health("c1", word{state: health.Up})
		b.does("steer web to 10.0.0.21:80")
		b.setActive("wan", true)
		b.health("c1", word{state: health.Down})
		b.health("c1", word{state: health.Down})
		b.does("steer web to 10.0.0.22:80", "mark 1", "cut web 10.0.0.21:80")
		time.Sleep(sweepPause + time.Millisecond)
		b.does("wake 1", "mark 1", "cut web 10.0.0.21:80")
		time.Sleep(time.Minute)
		b.does()
	})
}

// A server that is back before its flows are looked for again keeps those that it has
// got since.
func TestEntriesDoNotCutWhoIsBack(t *testing.T) {
	inBubble(t, "", func(b entriesBed) {
		b.setActive("wan", true)
		b.health("c1", word{state: health.Down})
		b.does("steer web to 10.0.0.22:80", "mark 1", "cut web 10.0.0.21:80")
		b.health("c1", word{state: health.Up})
		time.Sleep(time.Minute)
		b.does("steer web to 10.0.0.21:80", "wake 1") // who was cut stays cut
	})
}

// Who becomes active cuts what is dead already, and learns where clients are.
func TestEntriesAtActivation(t *testing.T) {
	inBubble(t, `persist = "1m"`, func(b entriesBed) {
		b.health("c1", word{state: health.Down})
		b.does("steer web to 10.0.0.22:80")
		b.setActive("wan", true)
		b.does("mark 1", "cut web 10.0.0.21:80", "remember web [{203.0.113.254 1}]")
		b.setActive("wan", true) // announced again
		b.setActive("other", true)
		b.setActive("wan", false)
		time.Sleep(time.Minute)
		b.does("wake 1")
	})
}

// What the kernel refuses is tried again, as a whole; nothing is cut before it has taken it.
func TestEntriesRetry(t *testing.T) {
	inBubble(t, "", func(b entriesBed) {
		b.setActive("wan", true)
		b.kernel.mu.Lock()
		b.kernel.refuse = errors.New("no")
		b.kernel.mu.Unlock()
		b.health("c1", word{state: health.Down})
		b.does()
		b.kernel.mu.Lock()
		b.kernel.refuse = nil
		b.kernel.mu.Unlock()
		time.Sleep(steerRetry + time.Millisecond)
		b.does("apply 1", "mark 1", "cut web 10.0.0.21:80")
	})
}

// A drained server stays so over reloads, and in the next daemon.
func TestEntriesDrain(t *testing.T) {
	inBubble(t, "", func(b entriesBed) {
		if err := b.drain("web", "10.0.0.21:80", true); err != nil {
			t.Fatal(err)
		}
		b.does("steer web to 10.0.0.22:80")
		for _, wrong := range [][2]string{{"mail", "10.0.0.21:80"}, {"web", "10.0.0.21"}} {
			if err := b.drain(wrong[0], wrong[1], true); err == nil {
				t.Errorf("%v is taken", wrong)
			}
		}
		b.reload(`quorum = 1`)
		b.does("apply 1", "apply 1")
		if got := b.kernel.points["web"].Table.Slots; !slices.Equal(got, []uint8{1}) {
			t.Errorf("after a reload slots are %v", got)
		}
		text, err := os.ReadFile(b.file)
		if err != nil || string(text) != "web 10.0.0.21:80\n" {
			t.Errorf("noted: %q, %v", text, err)
		}
		next := newEntries(b.kernel, nil, b.file, b.log)
		cfg := func() *config.Config { c, _ := config.Parse("x", []byte(entriesFile), config.Options{}); return c }()
		next.set(cfg)
		if s := next.status()[0].Servers[0]; !s.Drained || s.Share != 0 {
			t.Errorf("the next daemon has %+v", s)
		}
		if err := b.drain("web", "10.0.0.21:80", false); err != nil {
			t.Fatal(err)
		}
		b.does("steer web to 10.0.0.21:80")
		if got := readDrained(b.file); len(got) != 0 {
			t.Errorf("still noted: %v", got)
		}
	})
}

// Connections are counted where somebody goes by them.
func TestEntriesCount(t *testing.T) {
	inBubble(t, `steer = "least-connections"`, func(b entriesBed) {
		b.kernel.mu.Lock()
		b.kernel.counts = []int{50, 0}
		b.kernel.mu.Unlock()
		time.Sleep(countPeriod + time.Millisecond)
		b.does("steer web to 10.0.0.22:80")
		s := b.status()[0]
		if s.Servers[0].Connections == nil || *s.Servers[0].Connections != 50 || s.Servers[1].Share != 1 || !s.Enough {
			t.Errorf("status is %+v", s)
		}
	})
}

// An entry point without servers is lacking; a server that nobody checks is up.
func TestEntriesLacking(t *testing.T) {
	inBubble(t, "", func(b entriesBed) {
		if got := b.lacking(); got != "" {
			t.Errorf("lacking %s", got)
		}
		b.health("c1", word{state: health.Down})
		b.does("steer web to 10.0.0.22:80")
		b.health("c2", word{state: health.Down})
		if got := b.lacking(); got != "web: no server" {
			t.Errorf("lacking %q", got)
		}
		b.does("steer web to ")
	})
	inBubble(t, `quorum = 2`, func(b entriesBed) {
		b.health("c2", word{state: health.Down})
		if got := b.lacking(); got != "web: less than the quorum" {
			t.Errorf("lacking %q", got)
		}
	})
}
