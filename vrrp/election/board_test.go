package election

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/vrrp"
)

// twoBoards maps one board twice, as two processes do.
func twoBoards(t *testing.T) (a, b *Board) {
	t.Helper()
	a, err := NewBoard()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	fd, err := unix.Dup(int(a.File().Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if b, err = OpenBoard(os.NewFile(uintptr(fd), "board")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return a, b
}

func TestBoardTellsHowLongAGroupCanBeResumed(t *testing.T) {
	ours, theirs := twoBoards(t)
	ours.Layout([]string{"lan", "wan"})
	now := time.Now()
	ours.State(1, vrrp.Active, false, 9)
	ours.Advert(1, now, now.Add(200*time.Millisecond), 100*time.Millisecond)

	p, ok := theirs.Read("wan", now.Add(150*time.Millisecond))
	if !ok || p.State != vrrp.Active || p.Term != 9 || p.Interval != 100*time.Millisecond {
		t.Fatalf("read %+v, %v", p, ok)
	}
	near := func(got, want time.Duration) bool { return (got - want).Abs() < 5*time.Millisecond }
	if !near(p.ResumeUntil, 50*time.Millisecond) || !near(p.LastAdvert, 150*time.Millisecond) {
		t.Errorf("read %+v", p)
	}
	if p, _ := theirs.Read("lan", now); p.ResumeUntil > 0 {
		t.Errorf("a group that was never Active: %+v", p)
	}
	if _, ok := theirs.Read("dmz", now); ok {
		t.Error("a group that there is not")
	}

	ours.State(1, vrrp.Active, true, 9)
	if p, _ := theirs.Read("wan", now); p.ResumeUntil > 0 {
		t.Errorf("a group that was handing over: %+v", p)
	}
}

func TestBoardKeepsWhatALayoutKeeps(t *testing.T) {
	ours, theirs := twoBoards(t)
	ours.Layout([]string{"lan", "wan"})
	now := time.Now()
	ours.State(1, vrrp.Active, false, 9)
	ours.Advert(1, now, now.Add(time.Second), time.Second)
	ours.Layout([]string{"wan", "dmz"})
	if p, ok := theirs.Read("wan", now); !ok || p.ResumeUntil <= 0 || p.Term != 9 {
		t.Errorf("moved: %+v, %v", p, ok)
	}
	if p, ok := theirs.Read("dmz", now); !ok || p.State != vrrp.Initialize || p.Term != 0 {
		t.Errorf("new: %+v, %v", p, ok)
	}
	if _, ok := theirs.Read("lan", now); ok {
		t.Error("removed, but there")
	}
}

// Either the new election resumes or the daemon lets go, never both.
func TestBoardIsClaimedOnce(t *testing.T) {
	election, daemon := twoBoards(t)
	election.Layout([]string{"gw"})
	now := time.Now()
	election.State(0, vrrp.Active, false, 1)
	election.Advert(0, now, now.Add(time.Hour), time.Second)
	if election.mayResume("gw", now) {
		t.Error("resumed what nobody has offered")
	}
	daemon.open("gw")
	if election.mayResume("gw", now.Add(2*time.Hour)) {
		t.Error("resumed too late")
	}
	if !election.mayResume("gw", now) || daemon.claim("gw", claimFenced) {
		t.Error("the election was first")
	}
	daemon.open("gw")
	if !daemon.claim("gw", claimFenced) || election.mayResume("gw", now) {
		t.Error("the daemon was first")
	}
}

func TestBoardRefusesOtherFiles(t *testing.T) {
	for _, size := range []int64{0, 1 << 20} {
		f, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenBoard(f); err == nil {
			t.Errorf("a file of %d zero bytes is a board", size)
		}
	}
}

// The terms that were heard of outlive an election: the next must not use them.
func TestBoardKeepsTheHighestTerm(t *testing.T) {
	b, err := NewBoard()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	b.Layout([]string{"gw", "other"})
	b.State(0, vrrp.Active, false, 3)
	b.Heard(0, 7)
	b.Heard(0, 5)
	b.Heard(boardGroups, 9) // no such slot
	b.State(0, vrrp.Backup, false, 4)
	b.Layout([]string{"other", "gw"})
	p, ok := b.Read("gw", time.Now())
	if !ok || p.Highest != 7 || p.Term != 4 {
		t.Errorf("highest %d, term %d, want 7 and 4", p.Highest, p.Term)
	}
	if p, _ := b.Read("other", time.Now()); p.Highest != 0 {
		t.Errorf("the other group has %d", p.Highest)
	}
}
