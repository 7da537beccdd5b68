package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"understudy/appliance/lab"
	"understudy/appliance/lab/pair"
)

// theirPairAlone is a pair of keepalived with connections through it that nothing
// replicates, translated by rules of the team's own.
func theirPairAlone(t *testing.T) (s *scene, theirs map[*pair.Gateway]*lab.Process) {
	t.Helper()
	s = newScene(t, pair.Options{NoNAT: true, NoSessions: true})
	theirs = map[*pair.Gateway]*lab.Process{}
	for i, g := range s.Gateways {
		s.team(i, g)
		// Adverts each second: on a busy machine keepalived's are late by more than 300 ms, and
		// who takes over before anything was carried has lost it.
		whole := strings.ReplaceAll(instanceBlock+fmt.Sprintf(keepalivedFile, 200-100*i), "advert_int 0.1", "advert_int 1")
		var alone strings.Builder
		for line := range strings.Lines(whole) {
			if !strings.Contains(line, "primary-backup.sh") {
				alone.WriteString(line)
			}
		}
		s.must(g.WriteFile(keepalivedConf, []byte(whole), 0o644))
		s.must(g.WriteFile(theirConf, []byte(alone.String()), 0o644))
		theirs[g] = s.theirs(g, "keepalived", unitWords...)
	}
	s.wait("their pair", s.hasAddresses(s.gw1))
	var err error
	s.traffic, err = s.StartTraffic(s.within(patience), pair.TrafficOptions{Connections: 20})
	s.must(err)
	s.wait("translated flows", func(context.Context) error {
		if n := len(natted(s.table(s.gw1))); n < 4 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	return s, theirs
}

// carry is what an operator does with ssh: the connections of one gateway's kernel are
// put into the other's.
func (s *scene) carry(from, to *pair.Gateway, words ...string) string {
	s.t.Helper()
	const file = "/run/lab/flows"
	p, err := from.StartWith(exec.Command("/bin/sh", "-c", `exec "$0" sessions export >`+file, binary))
	s.must(err)
	if a := s.ended(p); a.code != 0 {
		s.t.Fatalf("sessions export: %s", a.out)
	}
	path, err := from.Path(file)
	s.must(err)
	stream, err := os.ReadFile(path)
	s.must(err)
	s.must(to.WriteFile(file, stream, 0o600))
	return s.ok(to, append([]string{"sessions", "import", file}, words...)...)
}

// inBackup is a condition: keepalived has said that it is the standby.
func inBackup(p *lab.Process) func(context.Context) error {
	return func(context.Context) error {
		if !strings.Contains(p.Output(), "Entering BACKUP STATE") {
			return errors.New("not yet")
		}
		return nil
	}
}

// TestSwapWithoutConntrackd: a pair of keepalived that nothing replicates becomes one of
// ours, and theirs again, a node at a time, with connections through it. Not one is lost:
// the kernel that forwards is read once before the other takes its place.
func TestSwapWithoutConntrackd(t *testing.T) {
	s, theirs := theirPairAlone(t)
	ours := map[*pair.Gateway]*lab.Process{}
	for _, g := range s.Gateways { // by which ours would replicate
		path, err := g.Path(conntrackdConf)
		s.must(err)
		s.must(os.Remove(path))
	}

	// The standby.
	s.must(theirs[s.gw2].Stop(patience))
	ours[s.gw2] = s.asKeepalived(s.gw2)
	s.wait("ours to be the standby", s.gw2.Is("backup"))
	if st, err := s.gw2.Status(s.within(patience)); err != nil || st.Sessions != nil {
		t.Fatalf("sessions are replicated: %v, %v", st.Sessions, err)
	}
	if out := s.carry(s.gw1, s.gw2); strings.HasPrefix(out, "0 ") {
		t.Fatalf("nothing was carried: %s", out)
	}
	mark := time.Now()
	s.must(theirs[s.gw1].Stop(patience))
	s.wait("ours to take over", all(s.gw2.Is("active"), s.hasAddresses(s.gw2)))
	if out := s.carry(s.gw1, s.gw2); !strings.Contains(out, "were there already") {
		t.Errorf("an active node does not keep what it has: %s", out)
	}
	s.intact(mark)

	// The other one, which takes its place again at once.
	s.carry(s.gw2, s.gw1)
	mark = time.Now()
	ours[s.gw1] = s.asKeepalived(s.gw1)
	s.wait("the better one to be active again", all(s.gw1.Is("active"), s.gw2.Is("backup"), s.hasAddresses(s.gw1)))
	s.carry(s.gw2, s.gw1)
	s.intact(mark)

	// And back.
	s.must(ours[s.gw2].Stop(patience))
	theirs[s.gw2] = s.theirs(s.gw2, "keepalived", unitWords...)
	s.wait("theirs to be the standby", inBackup(theirs[s.gw2]))
	s.carry(s.gw1, s.gw2)
	mark = time.Now()
	s.must(ours[s.gw1].Stop(patience))
	s.wait("theirs to take over", s.hasAddresses(s.gw2))
	s.carry(s.gw1, s.gw2, "--keep")
	s.intact(mark)
	s.carry(s.gw2, s.gw1)
	mark = time.Now()
	theirs[s.gw1] = s.theirs(s.gw1, "keepalived", unitWords...)
	s.wait("the better one to have the addresses", s.hasAddresses(s.gw1))
	s.carry(s.gw2, s.gw1, "--keep")
	s.intact(mark)
	s.whole()
}

// TestSwapToSessions: what was carried into the kernel of the first of ours is among its
// sessions: the second has it by the session link, and goes on with it when the first dies.
func TestSwapToSessions(t *testing.T) {
	s, theirs := theirPairAlone(t)
	s.must(theirs[s.gw2].Stop(patience))
	s.byKeepalivedConf(s.gw2)
	s.wait("ours to be the standby", s.gw2.Is("backup"))
	s.carry(s.gw1, s.gw2)
	mark := time.Now()
	s.must(theirs[s.gw1].Stop(patience))
	s.wait("ours to take over", s.gw2.Is("active"))
	s.carry(s.gw1, s.gw2)
	s.intact(mark)
	mark = time.Now()
	s.byKeepalivedConf(s.gw1)
	s.wait("both to be in sync", all(s.gw1.InSync, s.gw2.InSync))
	s.wait("the better one to be active again", all(s.gw1.Is("active"), s.gw2.Is("backup")))
	s.intact(mark)
	cut := s.crash(s.gw1)
	s.intact(cut)
	s.whole()
}
