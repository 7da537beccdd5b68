package health

import "slices"

// Combine is the state of something for which need of others must be Up: all of
// them, any (1), or a quorum in between. It is Unknown while those that are
// Unknown decide. With more of them Up it is never worse off, so what is
// combined of combinations does not waver while one after the other is looked at.
func Combine(need int, states ...State) State {
	up, possible := 0, 0
	for _, s := range states {
		switch s {
		case Up:
			up++
			possible++
		case Unknown:
			possible++
		}
	}
	switch {
	case up >= need:
		return Up
	case possible < need:
		return Down
	}
	return Unknown
}

// Order returns the numbers of things so that each comes after those that it is
// made of: of[i] lists them. Where that cannot be because some are made of each
// other, it returns one such cycle instead, beginning with its lowest number.
func Order(of [][]int) (order, cycle []int) {
	w := walk{of: of, state: make([]int8, len(of))}
	for i := range of {
		if w.visit(i) {
			c := w.path
			first := slices.Index(c, slices.Min(c))
			return nil, append(slices.Clone(c[first:]), c[:first]...)
		}
	}
	return w.order, nil
}

// walk goes through a graph, depth first.
type walk struct {
	of    [][]int
	state []int8 // 0 not seen, 1 on the path, 2 done
	path  []int
	order []int
}

// visit tells whether it has found a cycle, which is what is left of the path.
func (w *walk) visit(i int) bool {
	switch w.state[i] {
	case 1:
		w.path = w.path[slices.Index(w.path, i):]
		return true
	case 2:
		return false
	}
	w.state[i] = 1
	w.path = append(w.path, i)
	for _, k := range w.of[i] {
		if w.visit(k) {
			return true
		}
	}
	w.state[i] = 2
	w.path = w.path[:len(w.path)-1]
	w.order = append(w.order, i)
	return false
}
