package entry

import (
	"cmp"
	"slices"
	"time"
)

// slowSteps is in how many steps of equal length and height a server comes to its full
// share. It begins with one of them.
const slowSteps = 10

// weights returns what each server weighs now, in tenths: a server in its slow start
// weighs less than it should.
func (s *Set) weights(now time.Time) []int {
	out := make([]int, len(s.servers))
	for i, v := range s.servers {
		if !s.takes(i) {
			continue
		}
		weight := s.weight(i)
		if !s.cfg.Steer.Weighs() {
			weight = 1
		}
		out[i] = weight * s.tenths(now, v)
	}
	return out
}

func (s *Set) tenths(now time.Time, v server) int {
	if v.back.IsZero() || s.cfg.SlowStart <= 0 {
		return slowSteps
	}
	done := int(slowSteps * max(0, now.Sub(v.back)) / s.cfg.SlowStart)
	return min(slowSteps, 1+done)
}

// nextStep is when the server's share grows again; zero if it does not.
func (s *Set) nextStep(v server) time.Time {
	if v.back.IsZero() {
		return time.Time{}
	}
	// The last step ends the slow start, an interval after its height is reached:
	// asking for it once more does no harm.
	for i := 1; i <= slowSteps; i++ {
		if at := v.back.Add(s.cfg.SlowStart * time.Duration(i) / slowSteps); at.After(s.at) {
			return at
		}
	}
	return time.Time{}
}

// level returns the shares of the next flows that bring each server's connections closer
// to its weight's part of all: water poured into vessels as wide as the weights, that
// stand as high as they are loaded. flows is how much there is to pour.
func level(weights, connections []int, flows int) []int {
	type vessel struct {
		i      int
		height float64
	}
	var vessels []vessel
	for i, w := range weights {
		if w > 0 {
			vessels = append(vessels, vessel{i, float64(connections[i]) / float64(w)})
		}
	}
	slices.SortStableFunc(vessels, func(a, b vessel) int { return cmp.Compare(a.height, b.height) })
	left, width, surface := float64(flows), 0.0, 0.0
	for n, v := range vessels {
		if n > 0 {
			fill := (v.height - surface) * width
			if fill >= left {
				break
			}
			left -= fill
		}
		surface, width = v.height, width+float64(weights[v.i])
	}
	if width > 0 {
		surface += left / width
	}
	out := make([]int, len(weights))
	for _, v := range vessels {
		const fine = 1000 // of a flow
		out[v.i] = max(0, int((surface-v.height)*float64(weights[v.i])*fine+0.5))
	}
	return out
}
