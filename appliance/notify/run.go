package notify

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// contextWithin ends after the timeout; its cause then says so.
func contextWithin(parent context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(parent, timeout, errTooLong)
}

// keepalivedStates are the words of keepalived's notify scripts.
var keepalivedStates = map[string]string{"inferior": "MASTER_RX_LOWER_PRI", ActivePriority: "MASTER_PRIORITY", BackupPriority: "BACKUP_PRIORITY", active: "MASTER", "backup": "BACKUP", "fault": "FAULT", initialize: "STOP"}

// arguments are those that a program gets beside its own.
func arguments(style Style, ev Event, spec Spec) []string {
	if style != Keepalived {
		return nil
	}
	return spec.words(ev)
}

// words are an event in keepalived's.
func (s Spec) words(ev Event) []string {
	name := s.Called
	if name == "" {
		name = s.Name
	}
	state := keepalivedStates[ev.State]
	if ev.Ending == Deleted {
		state = "FAULT"
		if s.saysDeleted() {
			state = "DELETED"
		}
	}
	if s.Kind == Group {
		return []string{"GROUP", name, state, "0"}
	}
	return []string{"INSTANCE", name, state, fmt.Sprint(ev.Priority)}
}

// Line is an event as a line, in keepalived's words: INSTANCE "lan" MASTER 200.
func (s Spec) Line(ev Event) string {
	w := s.words(ev)
	return fmt.Sprintf("%s \"%s\" %s %s", w[0], printable(w[1]), w[2], w[3])
}

// environment is what a program is told by.
func environment(node string, s Subject, ev Event, spec Spec, previous state) []string {
	if previous.State == "" {
		previous.State = initialize
	}
	env := []string{
		"UNDERSTUDY_NODE=" + node,
		"UNDERSTUDY_KIND=" + string(s.Kind),
		"UNDERSTUDY_NAME=" + s.Name,
		"UNDERSTUDY_STATE=" + ev.State,
		"UNDERSTUDY_PREVIOUS=" + previous.State,
		"UNDERSTUDY_TERM=" + fmt.Sprint(ev.Term),
		"UNDERSTUDY_CAUSE=" + printable(ev.Cause),
		"UNDERSTUDY_PRIORITY=" + fmt.Sprint(ev.Priority),
	}
	return append(env, spec.Env...)
}

// printable is a text that may have come from anywhere, as one line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// newMark is a variable that no other run has: it tells what a dead daemon's
// program has left running from what else has the number of its group.
func newMark() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return "UNDERSTUDY_RUN=" + hex.EncodeToString(b[:])
}

// limiter lets what a command writes into the log ten times a minute.
type limiter struct {
	since time.Time
	n     int
	left  int // out, since the last time that it was let in
}

const (
	limitCount  = 10
	limitPeriod = time.Minute
)

func (l *limiter) allow(now time.Time) (ok bool, left int) {
	if now.Sub(l.since) >= limitPeriod {
		l.since, l.n = now, 0
	}
	if l.n++; l.n > limitCount {
		l.left++
		return false, 0
	}
	left, l.left = l.left, 0
	return true, left
}
