package interop

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"understudy/appliance/lab"
)

// TestDifferential: keepalived and we live by the same configuration, each alone on a
// machine of the same make: start, a broken cable, a mended one, scripts that fail and are well again, a reload, the end. At
// each turn the kernel is the same, and the same was told, but for what
// docs/keepalived.md says is otherwise.
func TestDifferential(t *testing.T) {
	lab.Require(t)
	t.Parallel()
	live(t, corpus, false)
}

// live has each row lived twice, and says which differences of those that are known are none
// any more; servers: of those that only virtual servers have.
func live(t *testing.T, rows []corpusRow, servers bool) {
	var j judge
	whole := t.Run("rows", func(parent *testing.T) {
		for _, row := range rows {
			parent.Run(row.file, func(t *testing.T) {
				t.Parallel()
				c := comparison{scene: &scene{t: t}, judge: &j, row: row}
				// The networks are unmade when all is over: while the kernel does so, nobody
				// else's interfaces can be changed, and elections hang.
				c.theirs = newLife(&scene{T: lab.NewT(parent), t: t}, row, false)
				c.ours = newLife(&scene{T: lab.NewT(parent), t: t}, row, true)
				c.run()
			})
		}
	})
	if !whole || len(j.rows) < len(rows) {
		return // what was left out may be where a difference is
	}
	for _, d := range differences {
		if !j.used[d.what] && !d.open && !d.seldom && d.servers == servers {
			t.Errorf("nothing differs any more: %s", d.what)
		}
	}
}

// TestCorpusIsWhole: every sample of keepalived's authors and every file of ours is
// lived by, here or in the guest.
func TestCorpusIsWhole(t *testing.T) {
	s := newScene(t)
	theirs, err := filepath.Glob(filepath.Join(s.samples(), "keepalived.conf.*"))
	s.must(err)
	ours, err := filepath.Glob(filepath.Join(corpusDir, "*.conf"))
	s.must(err)
	if len(theirs) < 20 || len(ours) < 10 {
		t.Fatalf("%d samples, %d files of ours", len(theirs), len(ours))
	}
	for _, file := range append(theirs, ours...) {
		name := strings.TrimPrefix(filepath.Base(file), "keepalived.conf.")
		is := func(r corpusRow) bool { return r.file == name }
		lived := slices.ContainsFunc(corpus, is)
		if !lived && !slices.ContainsFunc(serverCorpus, is) {
			t.Errorf("%s: nobody lives by it", name)
		}
	}
}

// comparison is two lives by one configuration.
type comparison struct {
	*scene
	*judge
	row          corpusRow
	theirs, ours *life
}

func (c *comparison) run() {
	each := func(do func(*life)) { do(c.theirs); do(c.ours) }

	c.begin(each)
	if c.row.alpha(c.scene) {
		c.theirs.wait("servers that are doubted at first: keepalived", c.theirs.servers("UP"))
	}
	c.turn("the start", "")
	if c.theirs.farm == nil || c.row.cut != "" {
		each(func(l *life) { l.must(l.Link(c.row.cable()).Unplug()) })
		c.turn("a broken cable", "FAULT")
		each(func(l *life) { l.must(l.Link(c.row.cable()).Plug()) })
		c.turn("a mended cable", "MASTER")
	}
	if len(c.theirs.checks) > 0 && c.theirs.farm == nil {
		c.scripts(true, "(?:failed|timed out)")
		c.scripts(false, "succeeded")
	}
	if c.theirs.farm != nil {
		c.servers()
	}
	each(func(l *life) { l.must(l.proc.Signal(syscall.SIGHUP)) })
	c.turn("a reload", "")
	each(func(l *life) { l.must(l.proc.Stop(patience)) })
	c.alike("the end")
	c.judge.done(c.row.file)
}

// starting is held while programs start in the guest: an emulated machine can start two at a
// time, not a dozen.
var starting sync.Mutex

// begin starts both programs; in the guest, nobody else's until both have said a word.
func (c *comparison) begin(each func(func(*life))) {
	c.t.Helper()
	if c.theirs.farm != nil {
		starting.Lock()
		defer starting.Unlock()
	}
	each((*life).begin)
	if c.theirs.farm != nil {
		each(func(l *life) { l.wait(l.Name+" to have begun", l.begun) })
	}
}

// scripts has every script fail, or not any more, and waits until both have found so, and
// have gone where that leads, priorities and all.
func (c *comparison) scripts(fail bool, word string) {
	c.t.Helper()
	for _, l := range []*life{c.theirs, c.ours} {
		since := len(l.proc.Output())
		l.fail(fail)
		l.wait("scripts that are said to have "+word, l.found(word, since))
	}
	c.theirs.wait("every script has "+word+": keepalived", c.theirs.settled(c.theirs.heard, ""))
	c.alike("every script has " + word)
	c.wait("the priorities to be the same", func() error {
		missing, more := c.judge.compare(c.row.file, c.theirs.priorities(), c.ours.priorities())
		if len(missing)+len(more) > 0 {
			return fmt.Errorf("only keepalived has\n%s\nand only we have\n%s", indented(missing), indented(more))
		}
		return nil
	})
	c.theirs.heard = len(c.theirs.pipe.lines())
}

// servers has the first server fail, then all, then none.
func (c *comparison) servers() {
	c.t.Helper()
	all := c.theirs.farm.addresses()
	turn := func(what, word string, list []netip.Addr, do func(*farm, netip.Addr)) {
		c.t.Helper()
		for _, l := range []*life{c.theirs, c.ours} {
			for _, a := range list {
				do(l.farm, a)
			}
			if len(l.checks) > 0 {
				l.fail(word == "DOWN")
			}
		}
		c.theirs.wait(what+": keepalived", c.theirs.servers(word, list...))
		c.alike(what)
	}
	if len(all) > 1 {
		turn("a server has failed", "DOWN", all[:1], (*farm).down)
	}
	turn("every server has failed", "DOWN", all, (*farm).down)
	turn("every server is well again", "UP", all, (*farm).up)
}

// turn waits until theirs has come to where it stays, having been in a state on the
// way, and then until ours is the same.
func (c *comparison) turn(what, been string) {
	c.t.Helper()
	c.theirs.wait(fmt.Sprintf("%s: keepalived", what), c.theirs.settled(c.theirs.heard, been))
	c.alike(what)
	c.theirs.heard = len(c.theirs.pipe.lines())
}

// atRest is how many looks in a row find the same, before it counts as where both have
// come to: instances go one after the other, and both may be half way.
const atRest = 4

// alike waits until kernel and what was told are the same, and stay so.
func (c *comparison) alike(what string) {
	c.t.Helper()
	var missing, more, before []string
	rest, moved := 0, ""
	for end := time.Now().Add(patience); ; time.Sleep(5 * poll) {
		theirs, ours := c.theirs.all(false), c.ours.all(false)
		missing, more = c.judge.compare(c.row.file, theirs, ours)
		now := slices.Concat(theirs, ours)
		slices.Sort(now)
		if rest++; len(missing)+len(more) > 0 || !slices.Equal(before, now) {
			rest = 0
			moved = cmp.Diff(before, now)
		}
		if before = now; rest >= atRest {
			theirs, ours = c.theirs.all(true), c.ours.all(true)
			missing, more = c.judge.compare(c.row.file, theirs, ours)
			if len(missing)+len(more) == 0 {
				return
			}
		}
		if time.Now().After(end) {
			break
		}
	}
	c.t.Errorf("after %s only keepalived has\n%s\nand only we have\n%s\nthe last to move: %s", what, indented(missing), indented(more), moved)
}
