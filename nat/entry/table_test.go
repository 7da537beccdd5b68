package entry

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestCycle(t *testing.T) {
	for _, row := range []struct {
		weights []int
		most    int
		want    string
	}{
		{nil, 256, "[]"},
		{[]int{0, 0}, 256, "[]"},
		{[]int{7}, 256, "[0]"},
		{[]int{1, 1, 1}, 256, "[0 1 2]"},
		{[]int{5, 1, 1}, 256, "[0 0 1 0 2 0 0]"}, // never one server for as long as it weighs
		{[]int{20, 0, 10}, 256, "[0 2 0]"},
		{[]int{1000, 1000, 1}, 4, "[0 1]"}, // too little for a slot
		{[]int{3, 3, 3, 1}, 5, "[0 1 2 0 1]"},
	} {
		if got := fmt.Sprint(Cycle(row.weights, row.most)); got != row.want {
			t.Errorf("%v at most %d: %s, want %s", row.weights, row.most, got, row.want)
		}
	}
}

// A cycle is as long as it may be, and no server is further from its share than a slot.
func TestCycleShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(0, MaxWeight*slowSteps), 1, MaxServers).Draw(t, "weights")
		most := rapid.IntRange(MaxServers, longestCycle).Draw(t, "most")
		slots := Cycle(weights, most)
		sum, count := 0, make([]int, len(weights))
		for _, w := range weights {
			sum += w
		}
		if (sum == 0) != (len(slots) == 0) || len(slots) > most {
			t.Fatalf("%d slots", len(slots))
		}
		for _, n := range slots {
			count[n]++
		}
		for i, w := range weights {
			if sum == 0 {
				break
			}
			if want := float64(w) * float64(len(slots)) / float64(sum); float64(count[i]) < want-1 || float64(count[i]) > want+1 {
				t.Fatalf("server %d has %d of %d slots, want %.2f", i, count[i], len(slots), want)
			}
		}
	})
}

func hosts(n int) (names []string, weights []int) {
	for i := range n {
		names, weights = append(names, fmt.Sprintf("10.0.0.%d:80", i+1)), append(weights, 1)
	}
	return names, weights
}

// moved is the part of the slots that differ.
func moved(a, b []uint8) float64 {
	n := 0
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return float64(n) / float64(len(a))
}

// Of ten servers one goes: its clients have to move, and few others may.
func TestConsistentMovesFew(t *testing.T) {
	names, weights := hosts(10)
	whole := Consistent(names, weights)
	for i := range weights {
		without := slices.Clone(weights)
		without[i] = 0
		got := moved(whole, Consistent(names, without))
		if got < 0.095 || got > 0.20 {
			t.Errorf("without server %d %.1f %% of the slots have moved", i, 100*got)
		}
	}
	if again := Consistent(names, weights); !slices.Equal(whole, again) {
		t.Error("another node would steer otherwise")
	}
}

// Whatever they weigh, servers have their shares.
func TestConsistentShares(t *testing.T) {
	names, _ := hosts(4)
	for _, weights := range [][]int{{1, 1, 1, 1}, {1, 2, 3, 4}, {10, 0, 0, 10}, {1000, 1, 1, 1000}} {
		sum, count := 0, make([]int, len(weights))
		for _, w := range weights {
			sum += w
		}
		for _, n := range Consistent(names, weights) {
			count[n]++
		}
		for i, w := range weights {
			if want := float64(Slots*w) / float64(sum); float64(count[i]) < want-2 || float64(count[i]) > want+2 {
				t.Errorf("%v: server %d has %d slots, want %.1f", weights, i, count[i], want)
			}
		}
	}
	if Consistent(names, make([]int, 4)) != nil {
		t.Error("slots of no server")
	}
}

// spread steers flows as the kernel does, and returns the largest deviation of a server
// from its share.
func spread(table Table, servers, flows int, r *rand.Rand) float64 {
	count := make([]int, servers)
	for i := range flows {
		slot := i % len(table.Slots)
		if table.ByClient {
			slot = SlotOf(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, r.Uint32()))), len(table.Slots))
		}
		count[table.Slots[slot]]++
	}
	worst := 0.0
	for _, n := range count {
		share := float64(flows) / float64(servers)
		worst = max(worst, max(share-float64(n), float64(n)-share)/share)
	}
	return worst
}

// Over 100,000 flows ten equal servers get as good as the same.
func TestEvenness(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, steer := range Steers() {
		if steer == Primary {
			continue // it gives all to one, and is meant to
		}
		weights := slices.Repeat([]int{1}, 10)
		s := New(t0, config(steer, weights...))
		if got := spread(s.Table(), 10, 100_000, r); got > 0.06 || !steer.ByClient() && got > 0.001 {
			t.Errorf("%s: a server is %.1f %% off its share", steer, 100*got)
		}
	}
}

// Whatever servers have at first, dealing out by least connections makes them alike.
func TestLeastConnectionsLevels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 8).Draw(t, "servers")
		weights := make([]int, n)
		have := make([]int, n)
		total, width := 0, 0
		for i := range have {
			weights[i] = rapid.IntRange(1, 4).Draw(t, "weight")
			have[i] = rapid.IntRange(0, 500).Draw(t, "connections")
			total, width = total+have[i], width+weights[i]
		}
		s := New(t0, config(LeastConnections, weights...))
		const each = 100
		for range 200 {
			s.Step(t0, Input{Kind: InCounts, Counts: have, New: each})
			slots := s.Table().Slots
			for i := range each {
				have[slots[i%len(slots)]]++
			}
			total += each
		}
		for i := range have {
			want := float64(total) * float64(weights[i]) / float64(width)
			if d := float64(have[i]) - want; d < -each || d > each {
				t.Fatalf("weights %v have %v: server %d should have %.0f", weights, have, i, want)
			}
		}
	})
}

// Level pours all there is, and into none that stands higher than the surface.
func TestLevel(t *testing.T) {
	for _, row := range []struct {
		weights, connections []int
		flows                int
		want                 string
	}{
		{[]int{1, 1}, []int{0, 0}, 10, "[5000 5000]"},
		{[]int{1, 1}, []int{10, 0}, 4, "[0 4000]"},
		{[]int{1, 1}, []int{10, 0}, 20, "[5000 15000]"},
		{[]int{1, 3}, []int{0, 0}, 8, "[2000 6000]"},
		{[]int{1, 0, 1}, []int{0, 99, 0}, 8, "[4000 0 4000]"},
		{[]int{0, 0}, []int{1, 1}, 8, "[0 0]"},
	} {
		if got := fmt.Sprint(level(row.weights, row.connections, row.flows)); got != row.want {
			t.Errorf("%v %v %d: %s, want %s", row.weights, row.connections, row.flows, got, row.want)
		}
	}
}

// A Set is asked anything at any time, and always has a table that can be used.
func TestSetUnderAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "servers")
		weights := make([]int, n)
		for i := range weights {
			weights[i] = rapid.IntRange(0, 1).Draw(t, "weight")
		}
		s := New(t0, config(rapid.SampledFrom(Steers()).Draw(t, "steer"), weights...))
		down, drained := make([]bool, n), make([]bool, n)
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			i := rapid.IntRange(0, n-1).Draw(t, "server")
			word := rapid.SampledFrom([]string{"down", "up", "drain", "undrain", "active", "standby", "counts", "after"}).Draw(t, "word")
			switch word {
			case "down", "up":
				down[i] = word == "down"
			case "drain", "undrain":
				drained[i] = word == "drain"
			}
			rest := fmt.Sprint(i + 1)
			if word == "after" {
				rest = "1s"
			}
			do(s, t0, word+" "+rest)
			served := false
			for j := range n {
				can := !down[j] && !drained[j] && weights[j] > 0
				served = served || can
				if has := slices.Contains(s.Table().Slots, uint8(j)); has && !can {
					t.Fatalf("%s: server %d gets flows, down %v, drained %v", word, j, down, drained)
				}
			}
			if served != s.Point().Serves() {
				t.Fatalf("%s: serves %v, down %v, drained %v", word, s.Point().Serves(), down, drained)
			}
		}
	})
}
