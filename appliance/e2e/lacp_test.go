package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"understudy/appliance/lab"
)

// lacpSaid is what `understudy lacp --json` said last.
type lacpSaid struct {
	State    string
	Carrying int
	Links    []struct {
		Interface    string
		Carries      bool
		Synchronized bool
		Partner      *struct{ System string }
	}
	Findings []struct{ Name, Severity, Member string }
}

// bare is a lab for one program without a configuration.
type bare struct {
	*lab.T
	t     *testing.T
	liked map[*lab.Process]int // line of the report that was waited for last
}

func newBare(t *testing.T) bare {
	t.Helper()
	return bare{lab.NewT(t), t, map[*lab.Process]int{}}
}

// speak starts `understudy lacp` in a node.
func (b bare) speak(n *lab.Node, args ...string) *lab.Process {
	b.t.Helper()
	p, err := n.Start(binary, append([]string{"lacp", "--json", "--fast"}, args...)...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if b.t.Failed() {
			b.t.Logf("%s wrote last:\n%s", n.Name, tailOf(p.Output(), 4000))
		}
		_ = p.Stop(time.Second)
	})
	return p
}

func tailOf(s string, n int) string { return s[max(0, len(s)-n):] }

// until waits for a report that ok likes, of those that begin with the one that was liked
// last: what it tells may be over before anybody looks.
func (b bare) until(p *lab.Process, what string, ok func(lacpSaid) error) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	for {
		err := errors.New("no report")
		lines := strings.SplitAfter(p.Output(), "\n")
		for n := b.liked[p]; n < len(lines)-1; n++ { // the last one is not whole yet, or empty
			var said lacpSaid
			if err = json.Unmarshal([]byte(lines[n]), &said); err == nil {
				err = ok(said)
			}
			if err == nil {
				b.liked[p] = n
				return
			}
		}
		select {
		case <-ctx.Done():
			b.t.Fatalf("no %s: %v", what, err)
		case <-p.Done():
			b.t.Fatalf("no %s: the program has ended: %v", what, p.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func aggregated(links int) func(lacpSaid) error {
	return func(s lacpSaid) error {
		if s.State != "ok" || s.Carrying != links || len(s.Findings) > 0 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	}
}

// carries is a report in which that link does.
func carries(s lacpSaid, name string) error {
	for _, l := range s.Links {
		if l.Interface == name && l.Carries {
			return nil
		}
	}
	return fmt.Errorf("%+v", s)
}

// found is a report with that finding of that link.
func found(name, member string) func(lacpSaid) error {
	return func(s lacpSaid) error {
		for _, f := range s.Findings {
			if f.Name == name && f.Member == member {
				return nil
			}
		}
		return fmt.Errorf("%+v", s.Findings)
	}
}

// Two of our actors, with two cables between them, are one aggregate. A cable that
// leads to another system is found, and so are one that is pulled and an end that
// falls silent; all of it passes.
func TestLACPCommand(t *testing.T) {
	b := newBare(t)
	one, two, three := b.Node("one"), b.Node("two"), b.Node("three")
	for _, wire := range []struct {
		a      *lab.Node
		name   string
		b      *lab.Node
		across string
	}{
		{one, "eth0", two, "eth0"}, {one, "eth1", two, "eth1"}, {one, "eth2", three, "eth0"},
	} {
		if err := wire.a.Wire(wire.name, wire.b, wire.across); err != nil {
			t.Fatal(err)
		}
	}
	left := b.speak(one, "--interface", "eth0", "--interface", "eth1", "--key", "7")
	right := b.speak(two, "--interface", "eth0", "--interface", "eth1", "--system", "02:00:00:00:00:99", "--passive")
	b.until(left, "aggregate", aggregated(2))
	b.until(right, "aggregate", aggregated(2))
	b.until(left, "partner", func(s lacpSaid) error {
		for _, l := range s.Links {
			if !l.Synchronized || l.Partner == nil || l.Partner.System != "02:00:00:00:00:99" {
				return fmt.Errorf("%+v", l)
			}
		}
		return nil
	})

	set(t, two, "eth1", false)
	b.until(left, "pulled cable", found("link_down", "eth1"))
	set(t, two, "eth1", true)
	b.until(left, "cable that is back", aggregated(2))

	if err := right.Stop(patience); err != nil {
		t.Fatal(err)
	}
	b.until(left, "silent partner", found("expired", "eth0"))
	b.until(left, "partner given up", found("defaulted", "eth1"))
	b.until(left, "failed bond", func(s lacpSaid) error {
		if s.State != "failed" {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	b.speak(two, "--interface", "eth0", "--interface", "eth1")
	b.until(left, "aggregate again", func(s lacpSaid) error {
		if s.Carrying != 2 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	if err := left.Stop(patience); err != nil {
		t.Fatal(err)
	}

	// The second cable is in the wrong switch.
	left = b.speak(one, "--interface", "eth0", "--interface", "eth2")
	b.speak(three, "--interface", "eth0")
	b.until(left, "wrong cable", func(s lacpSaid) error {
		var wrong []string
		for _, f := range s.Findings {
			if f.Name == "different_partner_system" && f.Severity == "critical" {
				wrong = append(wrong, f.Member)
			}
		}
		if len(wrong) != 1 || s.Carrying != 1 || !slices.Contains([]string{"eth0", "eth2"}, wrong[0]) {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
}

// With --for the exit code is the verdict.
func TestLACPCommandJudges(t *testing.T) {
	b := newBare(t)
	one, two := b.Node("one"), b.Node("two")
	if err := one.Wire("eth0", two, "eth0"); err != nil {
		t.Fatal(err)
	}
	alone := b.speak(one, "--interface", "eth0", "--for", "8s")
	<-alone.Done()
	if err := alone.Err(); err == nil || !strings.Contains(err.Error(), "exit status 1") || !strings.Contains(alone.Output(), `"defaulted"`) {
		t.Errorf("nobody answered: %v", err)
	}
	b.speak(two, "--interface", "eth0")
	both := b.speak(one, "--interface", "eth0", "--for", "10s")
	<-both.Done()
	if err := both.Err(); err != nil {
		t.Errorf("both speak: %v", err)
	}
}

// set takes a node's interface up or down.
func set(t *testing.T, n *lab.Node, name string, up bool) {
	t.Helper()
	link, err := n.Netlink().LinkByName(name)
	if err == nil && up {
		err = n.Netlink().LinkSetUp(link)
	} else if err == nil {
		err = n.Netlink().LinkSetDown(link)
	}
	if err != nil {
		t.Fatal(err)
	}
}
