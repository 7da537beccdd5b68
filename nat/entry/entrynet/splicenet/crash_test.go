package splicenet_test

import (
	"errors"
	"strings"
	"testing"

	"understudy/appliance/lab/capture"
	"understudy/nat/entry/entrynet/splicenet"
	"understudy/nat/session"
	"understudy/nat/splice"
)

// dying is the table of moves of a program that dies in the middle of a move: from then on nothing
// that it does reaches the kernel.
type dying struct {
	splicenet.Table
	at   string // what it does last: freeze, exchange, thaw
	dead bool
}

var errDead = errors.New("the program is dead")

func (d *dying) Freeze(flows []splice.Flow) error {
	if d.dead {
		return errDead
	}
	err := d.Table.Freeze(flows)
	if d.dead = d.at == "freeze"; d.dead {
		return errors.Join(err, errDead)
	}
	return err
}

func (d *dying) Thaw(flows []splice.Flow, moved bool) error {
	if d.dead {
		return errDead
	}
	if d.dead = d.at == "exchange"; d.dead {
		return errDead
	}
	err := d.Table.Thaw(flows, moved)
	if d.dead = d.at == "thaw"; d.dead {
		return errors.Join(err, errDead)
	}
	return err
}

// The program dies right before a splice, in the middle of one and right after it. The kernel has
// the old entry or the new one, and no other; what the client hears is right: with the old one
// the next program moves the connection again, with the new one it goes on by itself, and
// what was frozen and not handed on the client says again.
func TestProgramDiesInTheMiddle(t *testing.T) {
	for _, at := range []string{"freeze", "exchange", "thaw"} {
		t.Run(at, func(t *testing.T) {
			n := newNetwork(t, false)
			n.serve(0)
			n.serve(1)
			c := n.call()
			c.ask(1, "0")
			resets := n.watch(n.wan, func(p capture.Packet) bool { return p.Flags&capture.RST != 0 })
			var first *splicenet.Mover
			n.must(n.gateway.Do(func() (err error) {
				first, err = splicenet.Open(&dying{Table: n.moves, at: at}, n.notes, nil)
				return err
			}))
			defer first.Close()
			n.kill(0)
			body := strings.Repeat("w", 3000)
			c.send("/under-way", body)
			if out, err := first.Move([]splicenet.Job{{Record: c.entry(), To: n.at[1]}}, func([]int) {}); !errors.Is(err, errDead) {
				t.Fatalf("it did not die: %v, %v", out, err)
			}
			spliced := c.entry().ReplySrc == session.AddrFrom(n.at[1].Addr())
			if want := at != "freeze"; spliced != want {
				t.Fatalf("the kernel has the new entry: %v, want %v", spliced, want)
			}
			flow := []splice.Flow{{Client: c.from, Entry: n.web, From: n.at[0], To: n.at[1]}}
			if spliced {
				n.must(n.moves.Thaw(flow, true)) // as the kernel does when its time is over
			} else if out := c.move(1); out.Reason != splice.None {
				t.Fatalf("the next program is refused: %v", out.Reason)
			}
			c.answered("/under-way", body, "1")
			c.ask(2, "1")
			n.nothingOn(resets, "resets")
		})
	}
}
