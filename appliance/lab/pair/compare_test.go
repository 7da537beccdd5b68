package pair

import (
	"strings"
	"testing"
)

// What comes and goes between two looks is no difference; what stays and is not found is,
// and is named.
func TestCompare(t *testing.T) {
	type m = map[string]int
	for _, tt := range []struct {
		name string
		a, b [2]m
		want []string // of what is said, in this order; none: there is no difference
	}{
		{"equal", [2]m{{"x": 1}, {"x": 1}}, [2]m{{"x": 1}, {"x": 1}}, nil},
		{"nothing at all", [2]m{}, [2]m{}, nil},
		{"lacks one", [2]m{{"x": 1, "y": 2}, {"x": 1, "y": 2}}, [2]m{{"x": 1}, {"x": 1}}, []string{"of 2 flows of A, B lacks 1", "y=2", "0 more", "0 otherwise"}},
		{"has one more", [2]m{{"x": 1}, {"x": 1}}, [2]m{{"x": 1, "z": 3}, {"x": 1, "z": 3}}, []string{"lacks 0", "has 1 more", "z=3"}},
		{"has one otherwise", [2]m{{"x": 1}, {"x": 1}}, [2]m{{"x": 2}, {"x": 2}}, []string{"lacks 0", "0 more", "has 1 otherwise", "x=1 but x=2"}},
		{"one has ended", [2]m{{"x": 1}, {}}, [2]m{{}, {}}, nil},
		{"one has begun", [2]m{{}, {"x": 1}}, [2]m{{}, {"x": 1}}, nil},
		{"one is being removed", [2]m{{"x": 1}, {}}, [2]m{{"x": 1}, {}}, nil},
		{"one has changed", [2]m{{"x": 1}, {"x": 2}}, [2]m{{"x": 1}, {"x": 2}}, nil},
		{"one that has ended stays", [2]m{{"x": 1}, {}}, [2]m{{"x": 1}, {"x": 1}}, []string{"has 1 more", "x=1"}},
		{"only the first few are named", [2]m{{"1": 1, "2": 2, "3": 3, "4": 4, "5": 5}, {"1": 1, "2": 2, "3": 3, "4": 4, "5": 5}}, [2]m{{}, {}},
			[]string{"lacks 5", "1=1", "4=4"}},
	} {
		d := compare(tt.a, tt.b, func(x, y int) bool { return x == y }, func(k string, v int) string { return k + "=" + string(rune('0'+v)) })
		err := d.in("A", "B")
		if err == nil != (len(tt.want) == 0) {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		rest := ""
		if err != nil {
			rest = err.Error()
		}
		for _, w := range tt.want {
			_, after, ok := strings.Cut(rest, w)
			if !ok {
				t.Errorf("%s: %v, want %q in it", tt.name, err, w)
			}
			rest = after
		}
		if strings.Contains(rest, "5=5") {
			t.Errorf("%s: %v names more than %d", tt.name, err, named)
		}
	}
}
