package vrrptest

import (
	"fmt"
	"strings"
	"time"

	"understudy/vrrp"
)

// transcript writes down what happens, a line a step. What comes around every interval is only counted.
type transcript struct {
	net   *Network
	lines []string
	beats map[string]int // routine adverts by node
}

func (tr *transcript) onStep(n *Node, in vrrp.SetInput, ops []vrrp.Op) {
	if tr.routine(n, in, ops) {
		return
	}
	what := tr.input(n, in)
	for i, op := range ops {
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		what += sep + tr.op(n, op)
	}
	if next := n.set.Deadline(); !next.IsZero() && tellsDeadline(in, ops) {
		what += fmt.Sprintf("   next +%s", short(next.Sub(tr.net.now)))
	}
	tr.printf("%s: %s", n.Name, what)
}

func (tr *transcript) onNotice(n *Node, what vrrp.Notice) {
	tr.printf("%s: notice %v (%d): %v", n.Name, what.Kind, what.Count, what)
}

// routine adverts are those the Adver_Timer sends and those a Backup was waiting for.
func (tr *transcript) routine(n *Node, in vrrp.SetInput, ops []vrrp.Op) bool {
	switch in.Kind {
	case vrrp.InTick:
		for _, op := range ops {
			if op.Kind != vrrp.OpSend || op.Priority == 0 {
				return false
			}
		}
		tr.beats[n.Name] += len(ops)
		return len(ops) > 0
	case vrrp.InAdvert:
		return len(ops) == 0 && in.Advert.Priority != 0
	case vrrp.InRefused:
		return true
	case vrrp.InLink:
		return len(ops) == 0
	}
	return false
}

func tellsDeadline(in vrrp.SetInput, ops []vrrp.Op) bool {
	if in.Kind == vrrp.InTick && len(ops) == 0 || in.Kind == vrrp.InAdvert && in.Advert.Priority == 0 {
		return true
	}
	for _, op := range ops {
		if op.Kind == vrrp.OpTransition {
			return true
		}
	}
	return false
}

func (tr *transcript) input(n *Node, in vrrp.SetInput) string {
	switch in.Kind {
	case vrrp.InStart:
		return "start"
	case vrrp.InTick:
		return "timer"
	case vrrp.InAdvert:
		return fmt.Sprintf("%s hears %s %d", n.set.Config().Routers[in.Router].Name, tr.net.Owner(in.Src), in.Advert.Priority)
	case vrrp.InLink:
		return fmt.Sprintf("link %s %s", in.Interface, word(in.Up, "up", "down"))
	case vrrp.InEligible:
		return word(in.OK, "eligible", "not eligible: "+in.Reason)
	case vrrp.InFault:
		return word(in.On, "fault: "+in.Reason, "fault cleared")
	case vrrp.InWeight:
		return fmt.Sprintf("weight %d", in.Weight)
	case vrrp.InHandOver:
		return "hand over"
	case vrrp.InOverlap:
		return "overlap " + word(in.OK, "allowed", "forbidden")
	case vrrp.InReclaim:
		return "reclaim"
	case vrrp.InTerm:
		return fmt.Sprintf("hears of term %d", in.Term)
	case vrrp.InResume:
		return fmt.Sprintf("resume term %d", in.Term)
	}
	return "stop"
}

func word(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}

func (tr *transcript) op(n *Node, op vrrp.Op) string {
	switch op.Kind {
	case vrrp.OpSend:
		return fmt.Sprintf("send %s %d", n.set.Interface(op), op.Priority)
	case vrrp.OpGateClose:
		return "close gate " + op.Group
	case vrrp.OpFence:
		return "fence " + op.Group
	case vrrp.OpDrop:
		return "drop " + op.Reason.String()
	}
	s := fmt.Sprintf("%s %v -> %v (%s) term %d", op.Group, op.From, op.To, op.Cause, op.Term)
	return s + word(op.Leaving, " leaving", "")
}

func (tr *transcript) printf(format string, args ...any) {
	tr.lines = append(tr.lines, fmt.Sprintf("%.3fs ", tr.net.Elapsed().Seconds())+fmt.Sprintf(format, args...))
}

// flush returns what happened since the last flush.
func (tr *transcript) flush() string {
	for _, n := range tr.net.nodes {
		if beats := tr.beats[n.Name]; beats > 0 {
			tr.lines = append(tr.lines, fmt.Sprintf("(%s: %d adverts)", n.Name, beats))
		}
	}
	clear(tr.beats)
	out := strings.Join(tr.lines, "\n")
	if tr.lines = nil; out == "" {
		return "ok\n"
	}
	return out + "\n"
}

// short is a duration in milliseconds where it is one, to three decimals.
func short(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}
