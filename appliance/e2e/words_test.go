package e2e

import (
	"io"
	"os/exec"
	"testing"
	"time"

	"understudy/appliance/lab/pair"
	"understudy/vrrp/election"
)

// What a daemon says first, to an election that is this test: how each group is let
// go of. It may hold addresses long before it is ready, and an election that dies and
// is replaced in between knows only what the daemon has told.
func TestFencesAreTheFirstWords(t *testing.T) {
	s := newScene(t, pair.Options{NoSessions: true})
	s.must(s.gw1.WriteFile(configPath, []byte(s.gw1.Config()), 0o644))
	board, err := election.NewBoard()
	s.must(err)
	defer board.Close()
	mine, theirs, err := election.SocketPair()
	s.must(err)
	defer mine.Close()
	cmd := exec.Command(binary, "daemon", "--config", configPath, "--control", socketPath, "--protocol", election.Protocol())
	cmd.ExtraFiles = append(cmd.ExtraFiles, theirs, board.File())
	p, err := s.gw1.StartWith(cmd)
	s.must(err)
	theirs.Close()

	// Nobody has said Attached, so nothing is applied, and it is not ready.
	s.must(mine.SetReadDeadline(time.Now().Add(patience)))
	b := make([]byte, 1<<20)
	n, err := mine.Read(b)
	if err == io.EOF {
		t.Fatalf("the daemon has ended: %s", p.Output())
	}
	s.must(err)
	m, err := election.Unmarshal(b[:n])
	s.must(err)
	f, ok := m.(election.Fence)
	if !ok || f.Group != pair.Group || len(f.GateClose) == 0 || len(f.Remove) == 0 {
		t.Errorf("its first word is %#v, want the fence of %s", m, pair.Group)
	}
}
