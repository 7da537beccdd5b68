package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"understudy/appliance/lab/pair"
)

// The cluster secret is changed in three steps, each one a reload on both, in either
// order: the link stands, new links are made, flows are replicated, heartbeats heard,
// and nobody moves.
func TestSecretIsChangedWithoutAGap(t *testing.T) {
	for _, first := range []int{0, 1} {
		t.Run(fmt.Sprintf("gw%d first", first+1), func(t *testing.T) {
			t.Parallel()
			s := newScene(t, pair.Options{Interval: unhurried})
			s.settle()
			s.load(s.gw1, 10)
			path, err := s.gw1.Path(secretPath)
			s.must(err)
			was, err := os.ReadFile(path)
			s.must(err)
			old := strings.TrimSpace(string(was))
			fresh := strings.TrimSpace(s.ok(s.gw1, "keygen"))
			before := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}
			began := time.Now()
			port := uint16(9300)
			for _, lines := range [][]string{{old, fresh}, {fresh, old}, {fresh}} {
				for _, i := range []int{first, 1 - first} {
					g := s.Gateways[i]
					resync := lastResync(s, s.gw1)
					s.must(g.WriteFile(secretPath, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
					s.ok(g, "reload")
					s.conns(port, 3)
					port++
					s.wait("equal tables", s.Equal(s.gw1))
					s.wait("no alarm of either link", all(without(s.gw1, linkAlarms...), without(s.gw2, linkAlarms...)))
					if now := lastResync(s, s.gw1); !now.Equal(resync) {
						t.Errorf("the link did not stand: a resync at %v", now)
					}
					// A link that is made now is made with what is in the files.
					list, err := processes(s.gw2)
					s.must(err)
					s.ok(s.gw2, "upgrade")
					s.wait("another daemon", replaced(s.gw2, list["daemon"], "daemon"))
					s.settled(s.gw1)
				}
			}
			s.intact(began)
			s.wait("equal tables", s.Equal(s.gw1))
			if now := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}; now != before {
				t.Errorf("transitions were %d, are %d", before, now)
			}
			cut := s.crash(s.gw1)
			s.intact(cut)
			s.whole()
		})
	}
}

// linkAlarms are raised when sessions or heartbeats do not get through.
var linkAlarms = []string{"no-peer", "not-in-sync", "no-heartbeat", "split-brain", "config-mismatch"}

// without is a condition: the gateway raises none of the named alarms.
func without(g *pair.Gateway, names ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		st, err := g.Status(ctx)
		if err != nil {
			return err
		}
		for _, name := range names {
			if hasAlarm(st, name) {
				return fmt.Errorf("%s has alarms %v", g.Name, st.Alarms)
			}
		}
		return nil
	}
}
