package daemon

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"understudy/garp"
)

func claimsOf(from, to int) (out []garp.Claim) {
	for i := from; i < to; i++ {
		out = append(out, garp.Claim{Interface: "lan0", Addr: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})})
	}
	return out
}

// due is what is to be sent now, in the order of the addresses.
func due(a *announcements, now time.Time) []garp.Claim {
	out := make([]garp.Claim, 1000)
	out = out[:a.Step(now, out)]
	slices.SortFunc(out, func(x, y garp.Claim) int { return x.Addr.Compare(y.Addr) })
	return out
}

// TestParts: an address that was told of in a part is not told of again by the
// whole; one that is in no whole is not told of any more.
func TestParts(t *testing.T) {
	now := time.Now()
	all := claimsOf(1, 9)
	for _, c := range []struct {
		name        string
		last        announcement
		want, later []garp.Claim // at the last order, and a minute after it
	}{
		{"the whole", announcement{kind: whole, claims: all}, all[6:], all},
		{"less than the parts", announcement{kind: whole, claims: all[2:]}, all[6:], all[2:]},
		{"given up", announcement{kind: none}, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAnnouncements()
			expect := func(at time.Time, want []garp.Claim) {
				t.Helper()
				if got := due(a, at); !slices.Equal(got, want) {
					t.Errorf("%v after the beginning: announced %v, want %v", at.Sub(now), addrs(got), addrs(want))
				}
			}
			a.take(now, announcement{kind: part, claims: all[:3]})
			expect(now, all[:3])
			a.take(now, announcement{kind: part, claims: all[3:6]})
			expect(now, all[3:6])
			a.take(now, c.last)
			expect(now, c.want)
			for i := 1; i < 60; i++ {
				due(a, now.Add(time.Duration(i)*time.Second))
			}
			seen := map[garp.Claim]bool{}
			for i := 60; i < 130; i++ {
				for _, x := range due(a, now.Add(time.Duration(i)*time.Second)) {
					seen[x] = true
				}
			}
			if len(seen) != len(c.later) {
				t.Errorf("a minute later %d addresses are announced, want %d", len(seen), len(c.later))
			}
		})
	}
}

// TestWholeAgain: the whole told again is an announcement from the beginning.
func TestWholeAgain(t *testing.T) {
	now := time.Now()
	a, all := newAnnouncements(), claimsOf(1, 4)
	a.take(now, announcement{kind: part, claims: all[:2]})
	a.take(now, announcement{kind: whole, claims: all})
	due(a, now)
	a.take(now, announcement{kind: whole, claims: all})
	if got := due(a, now); !slices.Equal(got, all) {
		t.Errorf("announced %v, want all", addrs(got))
	}
}

func addrs(claims []garp.Claim) string {
	out := make([]netip.Addr, 0, len(claims))
	for _, c := range claims {
		out = append(out, c.Addr)
	}
	return fmt.Sprint(out)
}
