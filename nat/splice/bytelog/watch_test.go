package bytelog

import (
	"fmt"
	"strings"
	"testing"

	"understudy/nat/splice"
)

// Who watches is told of what is sound, once it is taken; and of a connection when it is time to forget.
func TestWatchedAndFollowed(t *testing.T) {
	k := newTalk(t, Config{PerConnection: 16 << 10, Memory: 48 << 10})
	var told []string
	k.l.Watch(func(p splice.Packet) {
		n := uint64(0)
		if r := k.record(); r != nil {
			n = r.Client.Len()
		}
		told = append(told, fmt.Sprintf("%s, %d of the client's", p.Segment.Data, n))
	})
	k.open().client(0, 0, "ask")
	p := splice.Packet{From: k.ends.Client, To: k.ends.Server, Segment: k.segment(0, 3, 0, "spoilt", nil)}
	k.l.Take(k.now, &p)
	k.server(0, 3, "answer")
	if got := strings.Join(told[len(told)-2:], "; "); got != "ask, 3 of the client's; answer, 3 of the client's" {
		t.Errorf("told: %s", got)
	}
	r := k.record()
	pressed := func(one, all bool) {
		t.Helper()
		if a, b := r.Pressed(); a != one || b != all {
			t.Errorf("pressed: %v, all: %v, with %d bytes", a, b, r.Memory())
		}
	}
	pressed(false, false)
	k.client(3, 6, strings.Repeat("x", 8<<10))
	k.server(6, 3+8<<10, "more")
	pressed(true, false)
	r.Forget(3 + 8<<10)
	pressed(false, false)
	k.l.Bound(Config{PerConnection: 16 << 10, Memory: 4 << 10})
	pressed(false, true)

	r.Follow(true)
	k.l.Expire(k.now.Add(DefaultAge + 1))
	if why := r.Refusal(); why != None {
		t.Errorf("followed, and refused: %v", why)
	}
	r.Follow(false)
	k.l.Expire(k.now.Add(DefaultAge + 1))
	if why := r.Refusal(); why != TooOld {
		t.Errorf("followed no more, and refused: %v", why)
	}
}
