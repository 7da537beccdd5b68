package sim

import (
	"fmt"
	"strings"
	"testing"
)

// pair is a state and an input that it cannot meet.
type pair struct{ state, input string }

// unreachable says why. "" stands for every one.
var unreachable = map[string]map[pair]string{
	"Set":  {},
	"Core": {},
	// letting-go: the election is dead, its end has been read, and the next one does
	// not exist yet.
	"modes": {
		{"letting-go", "attached"}:      "an election says that",
		{"letting-go", "transition"}:    "an election says that",
		{"letting-go", "reloaded"}:      "an election has to accept it first",
		{"letting-go", "stop"}:          "an election passes it on",
		{"letting-go", "election-lost"}: "it is lost already",
		{"letting-go", "fenced"}:        "an election says that, or the guard of one that was to resume; then nothing is let go of",
	},
}

func why(table, state, input string) string {
	for _, p := range []pair{{state, input}, {"", input}, {state, ""}} {
		if r := unreachable[table][p]; r != "" {
			return r
		}
	}
	return ""
}

// enough is how many steps it takes to meet the rarest pair with some certainty.
const enough = 2_000_000

// judge tells what met what; after enough steps every pair that can has to.
func (c *Coverage) judge(t *testing.T, steps uint64) string {
	t.Helper()
	var b strings.Builder
	table := func(name string, states, inputs []string, count func(s, i int) uint64) {
		met, all := 0, 0
		fmt.Fprintf(&b, "\n%-14s", name)
		for _, s := range states {
			fmt.Fprintf(&b, "%12s", s)
		}
		for i, in := range inputs {
			fmt.Fprintf(&b, "\n  %-12s", in)
			for s, state := range states {
				n, reason := count(s, i), why(name, state, in)
				cell := fmt.Sprint(n)
				if reason != "" {
					cell = "-"
				}
				fmt.Fprintf(&b, "%12s", cell)
				switch {
				case reason != "" && n > 0:
					t.Errorf("%s: %s in state %s is said to be unreachable (%s), and was met", name, in, state, reason)
				case reason != "":
				case n > 0:
					met++
					all++
				default:
					all++
					if steps >= enough {
						t.Errorf("%s: %s was never met in state %s", name, in, state)
					}
				}
			}
		}
		fmt.Fprintf(&b, "\n  %d of %d reachable pairs met, %d unreachable\n", met, all, len(states)*len(inputs)-all)
	}
	table("Set", stateNames[:], inputNames[:], func(s, i int) uint64 { return c.Set[s][i] })
	table("Core", stateNames[:], eventNames[:], func(s, i int) uint64 { return c.Core[s][i] })
	table("modes", modeNames[:], eventNames[:], func(m, i int) uint64 { return c.Modes[m][i] })
	return b.String()
}
