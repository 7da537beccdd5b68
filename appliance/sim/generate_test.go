package sim

import (
	"strings"
	"testing"
	"time"
)

// TestGenerate: every schedule is what it has to be, and the text form keeps it.
func TestGenerate(t *testing.T) {
	for seed := range uint64(1000) {
		s := Generate(seed)
		down := time.Duration(0)
		for _, n := range s.Nodes {
			for i, r := range s.Routers {
				down = max(down, time.Duration(activeDown(r.Version, n.Priority[i], int64(n.Interval))))
			}
		}
		faults := 0
		for i := range s.Acts {
			if !s.Acts[i].ends() && s.Acts[i].At <= s.End {
				faults++
			}
		}
		if len(s.Nodes) < 2 || len(s.Nodes) > 5 || faults < 10 || s.End < 20*down {
			t.Fatalf("seed %d: %d nodes, %d faults, %v of at least %v", seed, len(s.Nodes), faults, s.End, 20*down)
		}
		again, err := Parse(s.String())
		if err != nil || again.String() != s.String() {
			t.Fatalf("seed %d: %v\n%s\nbecomes\n%s", seed, err, s, again)
		}
	}
}

// ends tells whether the act is the end of a fault, and none itself.
func (a *Act) ends() bool {
	switch a.Verb {
	case Join, Heal, Start, Wake, Expect:
		return true
	case LinkState:
		return a.Word == "up"
	case Delay, Late:
		return a.D[0] == 0
	case Check:
		return strings.HasSuffix(a.Word, "-up")
	case Poke:
		return a.Word == "fault-off"
	}
	return false
}

// TestGenerateKnowsEverything: whatever a schedule can have, some have.
func TestGenerateKnowsEverything(t *testing.T) {
	seen := make(map[string]int)
	const schedules = 2000
	for seed := range uint64(schedules) {
		s := Generate(seed)
		has := make(map[string]bool)
		has[[]string{2: "2 nodes", 3: "3 nodes", 4: "4 nodes", 5: "5 nodes"}[len(s.Nodes)]] = true
		has["several groups"] = len(s.Groups) > 1
		has["notify"], has["programs that are waited for"] = s.Notify, s.Prepare > 0
		has["sessions"], has["tracks"], has["exercise "+s.Exercise] = s.Sessions, s.Tracks, true
		families, segments := 0, 0
		for i, r := range s.Routers {
			has["version 2"] = has["version 2"] || r.Version == 2
			families |= int(r.Family)
			for _, o := range s.Routers[:i] {
				if o.Segment == r.Segment && o.VRID != r.VRID {
					segments++
				}
			}
		}
		has["both families"], has["two VRIDs on a segment"] = families == 4|6, segments > 0
		for _, n := range s.Nodes {
			has["a clock too fast"] = has["a clock too fast"] || n.PPM > 100
			has["a clock too slow"] = has["a clock too slow"] || n.PPM < -100
			has["preempt=no"] = has["preempt=no"] || !n.Preempt
			has["a delay"] = has["a delay"] || n.Delay > 0
			has["intervals that differ"] = has["intervals that differ"] || n.Interval != s.Nodes[0].Interval
			owner := n.Priority[0] == 255
			has["an owner"] = has["an owner"] || owner
			has["an owner of version 2"] = has["an owner of version 2"] || owner && s.Routers[0].Version == 2
		}
		for i := range s.Acts {
			a := &s.Acts[i]
			has[a.Verb.String()] = true
			if a.Word != "" {
				has[a.Verb.String()+" "+a.Word] = true
			}
		}
		for what, yes := range has {
			if yes {
				seen[what]++
			}
		}
	}
	want := []string{"2 nodes", "3 nodes", "4 nodes", "5 nodes", "several groups", "sessions", "tracks", "notify", "programs that are waited for", "version 2", "both families",
		"two VRIDs on a segment", "a clock too fast", "a clock too slow", "preempt=no", "a delay", "intervals that differ", "an owner",
		"an owner of version 2", "exercise "}
	for _, x := range exercises {
		want = append(want, "exercise "+x)
	}
	for v, form := range forms {
		for _, word := range form.words {
			if Verb(v) != Event || word != "refused" { // the kernel refuses enough
				want = append(want, form.word+" "+word)
			}
		}
		if len(form.words) == 0 && Verb(v) != Expect {
			want = append(want, form.word)
		}
	}
	for _, what := range want {
		if seen[what] == 0 {
			t.Errorf("none of %d schedules has %s", schedules, what)
		}
	}
}
