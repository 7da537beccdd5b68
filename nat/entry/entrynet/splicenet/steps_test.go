package splicenet_test

import (
	"errors"
	"fmt"
	"testing"

	"understudy/nat/entry/entrynet/splicenet"
	"understudy/nat/session"
	"understudy/nat/splice"
	"understudy/nat/splice/bytelog"
)

// dyingTapes are those of a program that dies in a step of a replay: what it was about to do it does
// not, nor anything after it.
type dyingTapes struct {
	splicenet.Tapes
	table *dying
	at    string
}

// die ends the program, if this is the step.
func (d *dyingTapes) die(at string) {
	if d.at == at {
		d.table.dead = true
		panic(errDead)
	}
}

func (d *dyingTapes) Settled(of []splice.Flow, added []uint32) []splice.Tape {
	d.die("ask")
	out := d.Tapes.Settled(of, added)
	for i, t := range out {
		out[i] = &dyingTape{t, d}
	}
	return out
}

func (d *dyingTapes) Moved(f splice.Flow) {
	d.die("hand-on")
	d.Tapes.Moved(f)
}

type dyingTape struct {
	splice.Tape
	of *dyingTapes
}

func (t *dyingTape) ReadAt(p []byte, off uint64) int {
	t.of.die("tell") // the new server has accepted
	return t.Tape.ReadAt(p, off)
}

func (t *dyingTape) Same(p []byte) (int, bool) {
	t.of.die("compare")
	return t.Tape.Same(p)
}

func (t *dyingTape) Forget(off uint64) {
	t.of.die("told")
	t.Tape.Forget(off)
}

// dies has a program move a connection, and die of it.
func (n *network) dies(table *dying, tapes splicenet.Tapes, job splicenet.Job) {
	n.t.Helper()
	var m *splicenet.Mover
	n.must(n.gateway.Do(func() (err error) { m, err = splicenet.Open(table, n.notes, tapes); return err }))
	defer m.Close()
	defer func() {
		if p := recover(); p != nil && p != errDead {
			panic(p)
		}
		if !table.dead {
			n.t.Fatal("it did not die")
		}
	}()
	if out, err := m.Move([]splicenet.Job{job}, func([]int) {}); !errors.Is(err, errDead) {
		n.t.Fatalf("it did not die: %v, %v", out, err)
	}
}

// heals has the next program begin, and tells how many ways are free again.
func (n *network) heals() (freed int) {
	n.t.Helper()
	n.must(n.gateway.Do(func() (err error) { freed, err = splicenet.Heal(n.moves); return err }))
	return freed
}

// The program dies in each step of a replay, with a server that was only cut off. The next one frees what is
// frozen: the connection goes on with its server, which is heard again, or, if its entry had been
// exchanged, with the new one, and with that alone; each byte is right, and nobody is reset.
func TestProgramDiesWhileItReplays(t *testing.T) {
	for _, six := range []bool{false, true} {
		t.Run(fmt.Sprintf("six %v", six), func(t *testing.T) { diesWhileItReplays(t, six) })
	}
}

func diesWhileItReplays(t *testing.T, six bool) {
	n := newNetwork(t, six)
	log := n.logs(bytelog.Config{})
	servers := [2]*replayed{n.serveLines(0, false), n.serveLines(1, false)}
	for _, row := range []struct {
		at      string
		spliced bool
	}{{"freeze", false}, {"ask", false}, {"tell", false}, {"told", false}, {"compare", false}, {"exchange", true}, {"thaw", true}, {"hand-on", true}} {
		k := n.talk()
		k.ask(5, 3000)
		entry := (&caller{n: n, from: k.from}).entry()
		n.kill(0)
		_, err := k.conn.Write(k.line(3000, 2000))
		n.must(err)
		table := &dying{Table: n.moves, at: row.at}
		n.dies(table, &dyingTapes{splicenet.LogTapes{Log: log}, table, row.at}, splicenet.Job{Record: entry, To: n.at[1], Replay: true})
		if got := (&caller{n: n, from: k.from}).entry().ReplySrc == session.AddrFrom(n.at[1].Addr()); got != row.spliced {
			t.Fatalf("%s: the kernel has the new entry: %v, want %v", row.at, got, row.spliced)
		}
		freed := n.heals()
		// What is not tracked, both ways, and the servers, of which the old one is not heard any more once it
		// was left; and what was frozen, unless that was over.
		want := map[string]int{"exchange": 4, "thaw": 2, "hand-on": 2}[row.at]
		if !row.spliced {
			want = 5
		}
		if freed != want {
			t.Errorf("%s: %d ways are free again, want %d", row.at, freed, want)
		}
		if again := n.heals(); again != 0 {
			t.Errorf("%s: %d more ways are free again", row.at, again)
		}
		n.revive(0)
		k.hear(-1, 0)
		k.ask(3, 3000)
		n.must(k.conn.Close())
		n.must(servers[1].forgets())
	}
}
