package entry

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"understudy/health"
	"understudy/nat"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// server is 10.0.0.N:80 with a check of its own, "cN".
func serverN(n, weight int) Server {
	return Server{Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), 80), Check: fmt.Sprintf("c%d", n), Weight: weight}
}

func config(steer Steer, weights ...int) Config {
	c := Config{Name: "web", Steer: steer, OnFailure: Reset,
		Match: Match{Address: netip.MustParseAddr("203.0.113.10"), Proto: nat.TCP, Ports: nat.Ports{First: 443, Last: 443}}}
	for i, w := range weights {
		c.Servers = append(c.Servers, serverN(i+1, w))
	}
	return c
}

// do carries out steps such as "down 1", "up 1", "drain 2", "undrain 2", "active",
// "standby", "after 3s" and "counts 5 6", and writes what each leads to.
func do(s *Set, now time.Time, steps ...string) string {
	var b strings.Builder
	for _, step := range steps {
		word, rest, _ := strings.Cut(step, " ")
		var n int
		fmt.Sscan(rest, &n)
		in := Input{}
		switch word {
		case "down", "up":
			in = Input{Kind: InHealth, Check: fmt.Sprintf("c%d", n), State: map[string]health.State{"down": health.Down, "up": health.Up}[word]}
		case "weigh":
			in = Input{Kind: InHealth, Check: "w", State: health.Up, Value: n}
		case "drain", "undrain":
			in = Input{Kind: InDrain, Server: serverN(n, 1).Address, On: word == "drain"}
		case "active", "standby":
			in = Input{Kind: InActive, On: word == "active"}
		case "after":
			d, err := time.ParseDuration(rest)
			if err != nil {
				panic(err)
			}
			now = now.Add(d)
		case "counts":
			in.Kind = InCounts
			for _, f := range strings.Fields(rest) {
				fmt.Sscan(f, &n)
				in.Counts = append(in.Counts, n)
			}
		default:
			panic(step)
		}
		out := s.Step(now, in)
		fmt.Fprintf(&b, "%s:", step)
		if out.Changed {
			fmt.Fprintf(&b, " %s", shares(s))
		}
		for _, n := range out.Turned {
			if s.cfg.Servers[n].Doubted {
				fmt.Fprintf(&b, " turned %d", n+1)
			}
		}
		for _, c := range out.Cut {
			fmt.Fprintf(&b, " cut %d", c+1)
		}
		if out.Restore {
			b.WriteString(" restore")
		}
		if out.Quorum {
			fmt.Fprintf(&b, " quorum %v", s.Quorate())
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// shares are the slots of each server, the spare's last.
func shares(s *Set) string {
	n := make([]int, len(s.Addresses()))
	for _, slot := range s.Table().Slots {
		n[slot]++
	}
	return strings.Trim(fmt.Sprint(n), "[]")
}

func TestSet(t *testing.T) {
	spare := netip.MustParseAddrPort("10.0.0.99:80")
	with := func(c Config, change func(*Config)) Config { change(&c); return c }
	for _, row := range []struct {
		name  string
		cfg   Config
		steps []string
		want  string
	}{
		{"the first server that is there has all, and cuts are asked for where the flows are", config(Primary, 1, 1, 1),
			[]string{"active", "up 1", "down 1", "down 1", "down 2", "up 1", "standby", "down 1", "active"}, `
active:
up 1:
down 1: 0 1 0 cut 1
down 1:
down 2: 0 0 1 cut 2
up 1: 1 0 0
standby:
down 1: 0 0 1
active: cut 1 cut 2
`},
		{"keep leaves flows alone", with(config(Primary, 1, 1), func(c *Config) { c.OnFailure = Keep }),
			[]string{"active", "down 1"}, "\nactive:\ndown 1: 0 1\n"},
		{"keep of one server leaves its flows alone", with(config(Primary, 1, 1), func(c *Config) { c.Servers[0].OnFailure = Keep }),
			[]string{"active", "down 1", "down 2", "standby", "active"}, "\nactive:\ndown 1: 0 1\ndown 2: 0 0 cut 2 quorum false\nstandby:\nactive: cut 2\n"},
		{"reset of one server", with(config(Primary, 1, 1), func(c *Config) { c.OnFailure, c.Servers[1].OnFailure = Keep, Reset }),
			[]string{"active", "down 2", "down 1"}, "\nactive:\ndown 2: 1 0 cut 2\ndown 1: 0 0 quorum false\n"},
		{"one that is doubted waits for a word", with(config(RoundRobin, 1, 1), func(c *Config) { c.Servers[1].Doubted = true }),
			[]string{"up 1", "up 2", "down 2", "up 2"}, "\nup 1:\nup 2: 1 1 turned 2\ndown 2: 1 0 turned 2\nup 2: 1 1 turned 2\n"},
		{"a check says the weight", with(config(Weighted, 3, 1), func(c *Config) { c.Servers[1].Weigh = "w" }),
			[]string{"weigh 0", "weigh 4", "weigh 2", "weigh 0"}, "\nweigh 0:\nweigh 4: 3 2\nweigh 2: 1 0\nweigh 0: 3 1\n"},
		{"in turn, each server once", config(RoundRobin, 1, 1, 1), []string{"down 2", "up 2"}, "\ndown 2: 1 0 1\nup 2: 1 1 1\n"},
		{"what a file says is added to the weight", with(config(Weighted, 3, 2), func(c *Config) { c.Servers[1].Weigh, c.Servers[1].WeighBy = "w", -2 }),
			[]string{"weigh 1", "weigh -2", "weigh 0", "weigh 9223372036854775807"}, "\nweigh 1: 1 0\nweigh -2: 1 2\nweigh 0: 3 2\nweigh 9223372036854775807: 1 0\n"},
		{"in turn, a weight that is added only counts as some or none", with(config(RoundRobin, 1, 5), func(c *Config) { c.Servers[1].Weigh, c.Servers[1].WeighBy = "w", 1 }),
			[]string{"weigh -4", "weigh -5", "weigh 7"}, "\nweigh -4:\nweigh -5: 1 0\nweigh 7: 1 1\n"},
		{"by weight, and weight 0 gets nothing", config(Weighted, 3, 1, 0), []string{"down 2", "up 2"}, "\ndown 2: 1 0 0\nup 2: 3 1 0\n"},
		{"no server: nobody serves", config(RoundRobin, 1, 1), []string{"down 1", "down 2", "up 2"},
			"\ndown 1: 0 1\ndown 2: 0 0 quorum false\nup 2: 0 1 quorum true\n"},
		{"the spare serves while there is no server", with(config(RoundRobin, 1, 1), func(c *Config) { c.Spare = spare }),
			[]string{"down 1", "down 2", "up 1"}, "\ndown 1: 0 1 0\ndown 2: 0 0 1 quorum false\nup 1: 1 0 0 quorum true\n"},
		{"a quorum is lost late and won late", with(config(RoundRobin, 1, 1, 1, 1), func(c *Config) { c.Spare, c.Quorum, c.Hysteresis = spare, 2, 1 }),
			[]string{"down 1", "down 2", "down 3", "down 4", "up 1", "up 2", "up 3"}, `
down 1: 0 1 1 1 0
down 2: 0 0 1 1 0
down 3: 0 0 0 1 0
down 4: 0 0 0 0 1 quorum false
up 1:
up 2:
up 3: 1 1 1 0 0 quorum true
`},
		{"without a spare those that are left serve on", with(config(RoundRobin, 1, 1, 1), func(c *Config) { c.Quorum = 3 }),
			[]string{"down 1"}, "\ndown 1: 0 1 1 quorum false\n"},
		{"what is drained gets nothing new, and is not cut", config(RoundRobin, 1, 1),
			[]string{"active", "drain 1", "drain 1", "down 1", "up 1", "undrain 1"},
			"\nactive:\ndrain 1: 0 1\ndrain 1:\ndown 1: cut 1\nup 1:\nundrain 1: 1 1\n"},
		{"a server that has come back starts slowly, one that was there all the time does not",
			with(config(RoundRobin, 1, 1), func(c *Config) { c.SlowStart = 10 * time.Second }),
			[]string{"up 1", "down 1", "up 1", "after 1s", "after 3500ms", "after 4500ms", "after 1s"}, `
up 1:
down 1: 0 1
up 1: 1 10
after 1s: 1 5
after 3500ms: 1 2
after 4500ms: 1 1
after 1s:
`},
		{"a full server gets nothing until one of its connections has ended",
			with(config(RoundRobin, 1, 1), func(c *Config) { c.Servers[0].Max = 5 }),
			[]string{"counts 4 9", "counts 5 9", "counts 4 9"}, "\ncounts 4 9:\ncounts 5 9: 0 1\ncounts 4 9: 1 1\n"},
		{"a full server gets nothing until enough of its connections have ended",
			with(config(RoundRobin, 1, 1), func(c *Config) { c.Servers[0].Max, c.Servers[0].Resume = 5, 3 }),
			[]string{"counts 4 9", "counts 5 9", "counts 3 9", "counts 2 9", "counts 4 9"},
			"\ncounts 4 9:\ncounts 5 9: 0 1\ncounts 3 9:\ncounts 2 9: 1 1\ncounts 4 9:\n"},
		{"the first connections bring servers to the same height", config(LeastConnections, 1, 1),
			[]string{"counts 0 0", "counts 8 0", "counts 12 8"}, "\ncounts 0 0:\ncounts 8 0: 0 1\ncounts 12 8: 1 3\n"},
		{"who becomes active learns where clients are", with(config(RoundRobin, 1, 1), func(c *Config) { c.Persist = time.Minute }),
			[]string{"active", "active", "standby", "active"}, "\nactive: restore\nactive:\nstandby:\nactive: restore\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if problems := Check([]Config{row.cfg}); len(problems) > 0 {
				t.Fatal(problems)
			}
			if got := "\n" + do(New(t0, row.cfg), t0, row.steps...); got != row.want {
				t.Errorf("want:%sgot:%s", row.want, got)
			}
		})
	}
}

// Time alone ends a slow start, and then asks for nothing more.
func TestSlowStartEnds(t *testing.T) {
	c := config(Weighted, 1, 1)
	c.SlowStart = 10 * time.Second
	s := New(t0, c)
	if !s.Deadline().IsZero() {
		t.Fatal("there is nothing to wait for")
	}
	do(s, t0, "down 1", "up 1")
	now, steps := t0, 0
	for ; !s.Deadline().IsZero(); steps++ {
		if d := s.Deadline(); !d.After(now) {
			t.Fatalf("after %v it waits for %v", now, d)
		}
		now = s.Deadline()
		s.Step(now, Input{Kind: InTick})
		if steps > 2*slowSteps {
			t.Fatal("it never ends")
		}
	}
	if got := now.Sub(t0); got != c.SlowStart || shares(s) != "1 1" {
		t.Errorf("after %v in %d steps it is %s, want 1 1 after %v", got, steps, shares(s), c.SlowStart)
	}
}

// A reload keeps what is known of servers that stay.
func TestReconfigure(t *testing.T) {
	s := New(t0, config(RoundRobin, 1, 1, 1))
	do(s, t0, "active", "down 1", "drain 2")
	c := config(RoundRobin, 1, 1, 1, 1)
	c.Servers = c.Servers[1:] // 2, 3, 4
	before := s.Clone()
	if out := s.Reconfigure(t0, c); !out.Changed || shares(s) != "0 1 1" {
		t.Errorf("changed %v, %s; want the one that is drained to stay so", out.Changed, shares(s))
	}
	if !s.Active() || shares(before) != "0 0 1" {
		t.Errorf("active %v; the copy has become %s", s.Active(), shares(before))
	}
	c = config(RoundRobin, 1, 1, 1)
	c.Servers[2].Check = "another"
	do(before, t0, "down 3")
	before.Reconfigure(t0, c)
	if shares(before) != "0 0 1" {
		t.Errorf("%s: the first is known to be down, the third not by its new check", shares(before))
	}
}

// What is remembered may stay only where there is a server.
func TestLive(t *testing.T) {
	c := config(RoundRobin, 1, 1, 1)
	c.Spare, c.Persist, c.Quorum = netip.MustParseAddrPort("10.0.0.99:80"), time.Minute, 2
	s := New(t0, c)
	do(s, t0, "down 1")
	if want := []bool{false, true, true, false}; !slices.Equal(s.Table().Live, want) || !s.Table().Remember {
		t.Errorf("live %v, want %v", s.Table().Live, want)
	}
	do(s, t0, "down 2")
	if want := []bool{false, false, false, true}; !slices.Equal(s.Table().Live, want) || s.Table().Remember {
		t.Errorf("with the spare live %v, remembered %v; want nobody to stay there", s.Table().Live, s.Table().Remember)
	}
}

// Another limit counts at once: what was full by the one before may not be any more.
func TestAnotherLimit(t *testing.T) {
	c := config(RoundRobin, 1, 1)
	limit := func(most, resume int) Config {
		c.Servers = slices.Clone(c.Servers)
		c.Servers[0].Max, c.Servers[0].Resume = most, resume
		return c
	}
	s := New(t0, limit(5, 3))
	do(s, t0, "counts 5 0", "counts 4 0")
	for _, row := range []struct {
		most, resume int
		full         bool
	}{{5, 3, true}, {6, 3, false}, {4, 3, true}, {0, 0, false}} {
		s.Reconfigure(t0, limit(row.most, row.resume))
		if got := len(s.Table().Slots) == 1; got != row.full {
			t.Errorf("at most %d, again below %d: full %v, want %v", row.most, row.resume, got, row.full)
		}
	}
}
