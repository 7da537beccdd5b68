package e2e

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"understudy/appliance/lab"
	"understudy/appliance/lab/pair"
)

// upgradeScene is a scene of a program whose file a package can replace, under
// load, and what was so before it is.
type upgradeScene struct {
	*scene
	file        string
	lan, wan    *adverts
	run, daemon int // processes of gw1
	term        uint64
	transitions [2]uint64
}

func newUpgradeScene(t *testing.T) *upgradeScene {
	t.Helper()
	return newUpgradeSceneOf(t, pair.Options{Interval: unhurried})
}

func newUpgradeSceneOf(t *testing.T, opt pair.Options) *upgradeScene {
	t.Helper()
	lab.Require(t)
	file := filepath.Join(t.TempDir(), "understudy")
	u := &upgradeScene{file: file}
	copyFile(t, binary, file)
	opt.Binary = file
	u.scene = newScene(t, opt)
	u.settle()
	u.load(u.gw1, 20)
	u.lan, u.wan = u.advertsOn(u.LAN), u.advertsOn(u.WAN)
	u.mark()
	return u
}

// mark notes how things are.
func (u *upgradeScene) mark() {
	u.t.Helper()
	list, err := processes(u.gw1)
	u.must(err)
	u.run, u.daemon = list["run"], list["daemon"]
	u.term = u.status(u.gw1).Groups[0].Term
	u.transitions = [2]uint64{u.scene.transitions(u.gw1), u.scene.transitions(u.gw2)}
}

// unmoved checks that nothing has moved on either segment since the mark, whatever
// happened to the daemon.
func (u *upgradeScene) unmoved(since time.Time) {
	u.t.Helper()
	u.settled(u.gw1)
	u.heals(u.gw1, time.Now())
	u.wait("adverts on the LAN", u.lan.more(u.gw1, 5))
	u.wait("adverts on the WAN", u.wan.more(u.gw1, 5))
	u.intact(since)
	u.wait("gw1 to hold the addresses", holds(u.gw1, true))
	for name, wire := range map[string]*adverts{"LAN": u.lan, "WAN": u.wan} {
		if _, zero := wire.of(u.gw1); zero > 0 {
			u.t.Errorf("%s: gw1 sent priority 0 %d times", name, zero)
		}
		if at, _ := wire.of(u.gw2); len(at) > 0 {
			u.t.Errorf("%s: gw2 sent %d adverts", name, len(at))
		}
		if quiet := wire.silence(u.gw1); quiet > u.Bound(u.gw2) {
			u.t.Errorf("%s: no advert of gw1 for %v", name, quiet)
		}
	}
	if now := [2]uint64{u.scene.transitions(u.gw1), u.scene.transitions(u.gw2)}; now != u.transitions {
		u.t.Errorf("transitions were %d, are %d", u.transitions, now)
	}
	if now := u.status(u.gw1).Groups[0].Term; now != u.term {
		u.t.Errorf("the term was %d, is %d", u.term, now)
	}
	list, err := processes(u.gw1)
	u.must(err)
	if list["run"] != u.run {
		u.t.Errorf("the election was process %d, is %d", u.run, list["run"])
	}
}

// replace puts a file in the program's place, as packages do.
func (u *upgradeScene) replace(make func(path string)) {
	u.t.Helper()
	next := u.file + ".new"
	make(next)
	u.must(os.Rename(next, u.file))
}

// script is a program that is not ours: it says that it can take over, and then does
// this instead.
func (u *upgradeScene) script(does string) func(string) {
	return func(path string) {
		text := "#!/bin/sh\nif [ \"$1\" = probe ]; then echo 9.9; exit 0; fi\n" + does + "\n"
		u.must(os.WriteFile(path, []byte(text), 0o755))
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(out, in)
	if err2 := out.Close(); err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
}

// The daemon is restarted, then upgraded, under the same election.
func TestUpgradeKeepsTheRole(t *testing.T) {
	u := newUpgradeScene(t)
	old := u.status(u.gw1).Version

	began := time.Now()
	u.ok(u.gw1, "upgrade") // to the same file: a restart
	u.wait("another daemon", replaced(u.gw1, u.daemon, "daemon"))
	u.unmoved(began)
	u.mark()

	u.replace(func(path string) {
		out, err := exec.Command("go", "build", "-ldflags", "-X main.version=next", "-o", path, "understudy/cmd/understudy").CombinedOutput()
		if err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
	})
	began = time.Now()
	if said := u.ok(u.gw1, "upgrade"); !strings.Contains(said, "next") {
		t.Errorf("upgrade says %q", said)
	}
	u.wait("another daemon", replaced(u.gw1, u.daemon, "daemon"))
	u.unmoved(began)
	if s := u.status(u.gw1); s.Version != "next" || s.Election.Version != old {
		t.Errorf("versions %q and %q of the election, want next and %q", s.Version, s.Election.Version, old)
	}
	if s := u.ok(u.gw1, "status"); !strings.Contains(s, "understudy next (its election "+old+")") {
		t.Errorf("status says\n%s", s)
	}
	u.wait("no alarm", all(calm(u.gw1), calm(u.gw2)))

	// A new election, in place of one that has died, is of the new program.
	u.wait("an advert", u.lan.more(u.gw1, 1))
	killed := time.Now()
	pid := u.kill(u.gw1, "run")
	u.wait("another election", replaced(u.gw1, pid, "election"))
	u.settled(u.gw1)
	u.intact(killed)
	if s := u.status(u.gw1); s.Election.Version != "next" {
		t.Errorf("the new election is of version %q", s.Election.Version)
	}
	cut := u.crash(u.gw1) // the new daemon has replicated all
	u.intact(cut)
	u.whole()
}

// What cannot take over is refused, and nothing is touched.
func TestUpgradeRefused(t *testing.T) {
	u := newUpgradeScene(t)
	began := time.Now()
	for _, tc := range []struct {
		name, say string
		make      func(path string)
	}{
		{"not executable", "permission denied", func(p string) { u.must(os.WriteFile(p, []byte("#!/bin/sh\nexit 0\n"), 0o644)) }},
		{"no program", "exec format error", func(p string) { u.must(os.WriteFile(p, []byte("nonsense"), 0o755)) }},
		{"crashes", "exit status 3", func(p string) { u.must(os.WriteFile(p, []byte("#!/bin/sh\nexit 3\n"), 0o755)) }},
		{"says nothing", "does not say its version", func(p string) { u.must(os.WriteFile(p, []byte("#!/bin/sh\nexit 0\n"), 0o755)) }},
	} {
		u.replace(tc.make)
		if a := u.cli(u.gw1, "upgrade"); a.code == 0 || !strings.Contains(a.out, tc.say) {
			t.Errorf("%s: exit code %d: %s", tc.name, a.code, a.out)
		}
	}
	u.must(os.Remove(u.file))
	if a := u.cli(u.gw1, "upgrade"); a.code == 0 || !strings.Contains(a.out, "no such file") {
		t.Errorf("gone: exit code %d: %s", a.code, a.out)
	}
	copyFile(t, binary, u.file)
	for config, say := range map[string]string{
		strings.ReplaceAll(u.gw1.Config(), "priority = 200", "priority = 190"): "reload first",
		"nonsense = 1\n" + u.gw1.Config():                                      "nonsense",
	} {
		u.must(u.gw1.WriteFile(configPath, []byte(config), 0o644))
		if a := u.cli(u.gw1, "upgrade"); a.code == 0 || !strings.Contains(a.out, say) {
			t.Errorf("%s: exit code %d: %s", say, a.code, a.out)
		}
	}
	list, err := processes(u.gw1)
	u.must(err)
	if list["daemon"] != u.daemon {
		t.Error("the daemon was restarted")
	}
	u.unmoved(began)

	// A daemon that dies comes back from the running program, whose file is gone.
	u.must(os.Remove(u.file))
	u.must(u.gw1.WriteFile(configPath, []byte(u.gw1.Config()), 0o644))
	killed := time.Now()
	pid := u.kill(u.gw1, "daemon")
	u.wait("another daemon", replaced(u.gw1, pid, "daemon"))
	u.unmoved(killed)
	u.whole()
}

// A program that crashes when it is needed: the one that runs is taken again, and
// the other is not tried twice.
func TestUpgradeToWhatCrashes(t *testing.T) {
	u := newUpgradeScene(t)
	old := u.status(u.gw1).Version
	u.replace(u.script("exit 1"))
	began := time.Now()
	if a := u.cli(u.gw1, "upgrade"); a.code == 0 || !strings.Contains(a.out, "version 9.9 did not come up") {
		t.Errorf("exit code %d: %s", a.code, a.out)
	}
	u.wait("another daemon", replaced(u.gw1, u.daemon, "daemon"))
	u.unmoved(began)
	if v := u.status(u.gw1).Version; v != old {
		t.Errorf("version %q, want %q", v, old)
	}
	killed := time.Now()
	pid := u.kill(u.gw1, "daemon")
	u.wait("another daemon", replaced(u.gw1, pid, "daemon"))
	u.unmoved(killed)
	if n := len(u.journal.of(u.gw1, "from the new one")); n != 1 {
		t.Errorf("the new program was tried %d times", n)
	}
	u.whole()
}

// A program that hangs: served for the announced budget, then out of service before
// anybody is told; the program that runs comes back, and the role with it.
func TestUpgradeToWhatHangs(t *testing.T) {
	u := newUpgradeScene(t)
	u.replace(u.script("exec sleep 300"))
	began := time.Now()
	p, err := u.gw1.StartWith(exec.Command(binary, "upgrade"))
	u.must(err)
	u.wait("gw2 active", u.gw2.Is("active"))
	u.wait("gw1 without the addresses", holds(u.gw1, false))
	u.intact(began)
	at, zero := u.lan.of(u.gw1)
	if served := at[len(at)-1].Sub(began); zero == 0 || served < 4*time.Second {
		t.Errorf("gw1 went after %v, with %d adverts of priority 0", served, zero)
	}
	if len(u.journal.of(u.gw1, "no daemon within its budget")) != 1 {
		t.Error("gw1 did not let go of its own")
	}
	u.settled(u.gw1)
	u.wait("the addresses", holds(u.gw1, true))
	if a := u.ended(p); a.code == 0 {
		t.Errorf("upgrade says that it has worked: %s", a.out)
	}
	u.intact(began)
	u.whole()
}
