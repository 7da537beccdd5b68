package interop

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
)

// Where a life writes down what it is told, inside a node.
const (
	spyDir    = "/run/spy"
	callsFile = spyDir + "/calls"
	pipeFile  = spyDir + "/pipe"
	lvsFile   = spyDir + "/lvs"
	lifeConf  = "/run/conf/keepalived.conf"
)

// toldProgram writes down how it was called: its words and its environment, in one
// write each.
const toldProgram = `#!/bin/sh
line="$0"
for word; do line="$line|$word"; done
printf '%s\t%s\n' "$line" "$(tr '\0' '|' </proc/$$/environ)" >>` + callsFile + "\n"

// readerProgram says how it was called, and reads the pipe that it was given.
const readerProgram = toldProgram + "for pipe; do :; done\nexec cat \"$pipe\" >/dev/null\n"

// checkProgram fails when it is told to, and writes down its environment.
const checkProgram = `#!/bin/sh
test -e "$0.env" || { tr '\0' '|' </proc/$$/environ >"$0.$$" && mv "$0.$$" "$0.env"; }
test ! -e "$0.fails"
`

// environ is what both programs are started with.
var environ = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C", "HOME=/", "TMPDIR=" + spyDir, "TEAM=gateways", "IFS=:"}

// life is one node with one of the two programs, by one configuration of the corpus.
type life struct {
	*scene
	*lab.Node
	row    corpusRow
	ours   bool
	proc   *lab.Process
	before state
	pipe   *pipe
	lvs    *pipe    // what is said of servers; nil without any
	farm   *farm    // nil without servers
	heard  int      // lines of the pipe until the last turn
	checks []string // programs that stand in for what vrrp_script names
}

// newLife makes the node. Two of one row differ in nothing: each has a laboratory of
// its own, so that even the MACs are the same.
func newLife(s *scene, row corpusRow, ours bool) *life {
	s.t.Helper()
	return newLifeOn(s, row, ours, s.Segment)
}

// newLifeOn makes a node on segments that may have others.
func newLifeOn(s *scene, row corpusRow, ours bool, segment func(string) *lab.Segment) *life {
	s.t.Helper()
	name := map[bool]string{true: "ours", false: "theirs"}[ours]
	l := &life{scene: s, Node: s.Node(name), row: row, ours: ours}
	// A gateway, or none, before either program comes.
	forwards := "1"
	if row.server {
		forwards = "0"
	}
	s.must(l.Sysctl("ipv4/ip_forward", forwards))
	s.must(l.Sysctl("ipv6/conf/all/forwarding", forwards))
	var segments []*lab.Segment
	for _, i := range row.interfaces() {
		segments = append(segments, segment(i.name))
		s.Join(l.Node, segments[len(segments)-1], i.name, i.addresses...)
	}
	if row.servers != "" {
		l.farm = newFarm(s, row, l.Node, segments)
	}
	l.files()
	s.t.Cleanup(func() { s.must(l.Kill()) })
	return l
}

// absolute is the path of a program that a configuration names.
var absolute = regexp.MustCompile(`/(?:usr|etc|var|config|bin|opt)/[-\w./]*`)

// files puts the configuration into the node, with programs that write down how they
// are called in place of those that it names.
func (l *life) files() {
	l.t.Helper()
	l.must(l.WriteFile(callsFile, nil, 0o666))
	l.must(l.WriteFile("/run/keepalived/.keep", nil, 0o644)) // some have their pipe there
	put := func(inside string, src []byte) {
		var out strings.Builder
		text := l.row.edited(string(src))
		if l.farm != nil {
			text = l.row.telling(text)
		}
		for line := range strings.Lines(text) {
			word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			program, is := toldProgram, strings.HasPrefix(word, "notify") || l.farm != nil && strings.HasPrefix(word, "quorum_")
			if word == "script" || l.farm != nil && word == "misc_path" {
				program, is = checkProgram, true
			}
			if strings.HasSuffix(word, "notify_fifo_script") {
				program = readerProgram
			}
			if is && !strings.HasPrefix(word, "notify_fifo ") {
				line = absolute.ReplaceAllStringFunc(line, func(path string) string {
					spy := spyDir + "/" + filepath.Base(path)
					l.must(l.WriteFile(spy, []byte(program), 0o755))
					if program == checkProgram && !slices.Contains(l.checks, spy) {
						l.checks = append(l.checks, spy)
					}
					return spy
				})
			}
			out.WriteString(line)
		}
		l.must(l.WriteFile(inside, []byte(out.String()), 0o644))
	}
	src, err := os.ReadFile(l.row.path(l.scene))
	l.must(err)
	// Last: keepalived's reload forgets who may write to it, if it comes before script_user.
	pipes := "  vrrp_notify_fifo " + pipeFile + "\n"
	if l.farm != nil {
		pipes += "  lvs_notify_fifo " + lvsFile + "\n"
	}
	put(lifeConf, append(src, "\n"+l.row.more+"\nglobal_defs {\n"+pipes+"}\n"...))
	// What it includes.
	more, err := filepath.Glob(strings.TrimSuffix(l.row.path(l.scene), ".conf") + ".d/*")
	l.must(err)
	for _, path := range more {
		src, err := os.ReadFile(path)
		l.must(err)
		put(filepath.Join("/run/conf", filepath.Base(filepath.Dir(path)), filepath.Base(path)), src)
	}
}

// begin starts the program.
func (l *life) begin() {
	l.t.Helper()
	var err error
	if l.before == nil {
		l.wait("addresses to be usable", linksReady(l.Node))
		l.before, err = readState(l.Node, true)
		l.must(err)
	}
	l.proc, err = l.StartWith(l.command())
	l.must(err)
	l.logs(l.proc, l.Name)
	if l.pipe == nil {
		l.pipe = follow(l.inside(pipeFile))
		l.t.Cleanup(l.pipe.close)
	}
	if l.lvs == nil && l.farm != nil {
		l.lvs = follow(l.inside(lvsFile))
		l.t.Cleanup(l.lvs.close)
	}
}

// command is what a unit has in ExecStart: the same words for either program.
func (l *life) command() *exec.Cmd {
	l.t.Helper()
	binary := l.tool("keepalived", "/usr/sbin/keepalived")
	if l.ours {
		binary = l.asKeepalived()
	}
	argv := []string{"--dont-fork", "--log-console", "--log-detail", "--use-file=" + lifeConf, "--config-id=" + rowID,
		"--pid=/run/keepalived.pid", "--vrrp_pid=/run/vrrp.pid"}
	if l.row.vrrpOnly {
		argv = append(argv, "--vrrp")
	}
	cmd := exec.Command(binary, argv...)
	cmd.Env = environ
	return cmd
}

// changed is what the program has made of the kernel.
func (l *life) changed(settings bool) ([]string, error) {
	now, err := readState(l.Node, settings)
	if err != nil {
		return nil, err
	}
	before := l.before
	if !settings {
		before = maps.Clone(before)
		maps.DeleteFunc(before, func(line string, _ bool) bool { return strings.HasPrefix(line, "sysctl ") })
	}
	return now.since(before), nil
}

// all is what the program has made of the kernel, and what it has told.
func (l *life) all(settings bool) []string {
	l.t.Helper()
	lines, err := l.changed(settings)
	l.must(err)
	if settings && l.farm != nil {
		lines = append(lines, l.farm.served()...)
	}
	return append(lines, l.told()...)
}

// call is one run of a program that was told.
type call struct {
	words []string
	env   []string
}

// calls lists what was run, in the order in which it said so.
func (l *life) calls() (out []call) {
	l.t.Helper()
	path, err := l.Path(callsFile)
	l.must(err)
	src, err := os.ReadFile(path)
	l.must(err)
	for line := range strings.Lines(string(src)) {
		words, env, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !ok {
			continue // a program wrote more than one line of it: it is in the next one
		}
		out = append(out, call{words: strings.Split(words, "|"), env: strings.Split(strings.Trim(env, "|"), "|")})
	}
	return out
}

// about is what a call speaks of: calls about different things may come in any order.
func (c call) about() string {
	for i, w := range c.words {
		if (w == "INSTANCE" || w == "GROUP") && i+1 < len(c.words) {
			return c.words[0] + " " + w + " " + c.words[i+1]
		}
	}
	return c.words[0]
}

// told lists what was said of each subject, in order, as lines "SUBJECT #N: WHAT".
func (l *life) told() (lines []string) {
	l.t.Helper()
	n := map[string]int{}
	put := func(kind, about, what string) {
		about = kind + " " + about
		n[about]++
		lines = append(lines, fmt.Sprintf("%s #%d: %s", about, n[about], what))
	}
	environments := map[string][][]string{}
	for _, c := range l.calls() {
		put("call", c.about(), strings.Join(c.words, "|"))
		environments[c.words[0]] = append(environments[c.words[0]], c.env)
	}
	for _, spy := range l.checks {
		if env, err := os.ReadFile(l.inside(spy + ".env")); err == nil {
			environments[spy] = [][]string{strings.Split(strings.Trim(string(env), "|"), "|")}
		}
	}
	for _, program := range slices.Sorted(maps.Keys(environments)) {
		seen, runs := map[string]int{}, environments[program]
		for _, env := range runs {
			for _, v := range env {
				seen[v]++
			}
		}
		for _, v := range slices.Sorted(maps.Keys(seen)) {
			n := seen[v]
			often := "environment"
			if n < len(runs) {
				often = "environment at times"
			}
			lines = append(lines, fmt.Sprintf("%s of %s: %s", often, program, v))
		}
	}
	for _, e := range l.pipe.lines() {
		if !pipeBuilt {
			break
		}
		put("pipe", e.subject(), string(e))
	}
	for _, e := range l.saidOfServers() {
		put("lvs", e.service(), string(e))
	}
	return lines
}

// entry is a line of the pipe: INSTANCE "VI_1" MASTER 100.
type entry string

func (e entry) subject() string {
	kind, rest, _ := strings.Cut(string(e), " ")
	_, rest, _ = strings.Cut(rest, `"`)
	name, _, _ := strings.Cut(rest, `"`)
	return kind + " " + name
}

func (e entry) state() string {
	i := strings.LastIndex(string(e), `" `)
	if i < 0 {
		return ""
	}
	state, _, _ := strings.Cut(string(e)[i+2:], " ")
	return strings.TrimSuffix(state, "_PRIORITY") // whose priority changes stays where it is
}

func (l *life) saidOfServers() []entry {
	if l.lvs == nil {
		return nil
	}
	return l.lvs.lines()
}

// service is what a line of the other pipe is about, VS [10.0.0.1]:tcp:80 UP: all but its
// last word.
func (e entry) service() string {
	i := strings.LastIndex(string(e), " ")
	return string(e)[:max(i, 0)]
}

// settled is a condition: every instance has come to where it stays while nobody else
// is there, after having been in a state since it had told so many lines.
func (l *life) settled(after int, been string) func() error {
	return func() error {
		select {
		case <-l.proc.Done():
			l.t.Fatalf("%s has ended: %v", l.Name, l.proc.Err())
		default:
		}
		list := l.pipe.lines()
		last, seen := map[string]string{}, been == ""
		for i, e := range list {
			last[e.subject()] = e.state()
			seen = seen || i >= after && e.state() == been
		}
		switch {
		case len(last) == 0:
			return errNotYet
		case !seen:
			return fmt.Errorf("%s has not come to %s: %v", l.Name, been, list[min(after, len(list)):])
		}
		for subject, state := range last {
			if state != "MASTER" && state != "FAULT" {
				return fmt.Errorf("%s: %s is in %s", l.Name, subject, state)
			}
		}
		return nil
	}
}

// begun is a condition: something has been said.
func (l *life) begun() error {
	if len(l.pipe.lines()) == 0 {
		return errNotYet
	}
	return nil
}

// servers is a condition: the last that was said of the real servers with those addresses
// (without any: of all there are) is that word.
func (l *life) servers(word string, of ...netip.Addr) func() error {
	return func() error {
		last := map[string]string{}
		for _, e := range l.saidOfServers() {
			last[e.service()] = strings.TrimSpace(string(e)[len(e.service()):])
		}
		for _, a := range l.row.realServers(l.scene) {
			if len(of) > 0 && !slices.Contains(of, a) {
				continue
			}
			for subject, is := range last {
				if strings.HasPrefix(subject, fmt.Sprintf("RS [%v]", a)) {
					if is != word {
						return fmt.Errorf("%s: %s is %s", l.Name, subject, is)
					}
					a = netip.Addr{}
				}
			}
			if a.IsValid() {
				return fmt.Errorf("%s: nothing is said of %v: %q", l.Name, a, l.saidOfServers())
			}
		}
		return nil
	}
}

// pipeBuilt: we have a pipe.
const pipeBuilt = true

// pipe reads a named pipe, which a program may remove and make anew.
type pipe struct {
	path string
	stop chan struct{}
	done chan struct{}

	mu   sync.Mutex
	text []byte
}

func follow(path string) *pipe {
	p := &pipe{path: path, stop: make(chan struct{}), done: make(chan struct{})}
	go p.run()
	return p
}

func (p *pipe) run() {
	defer close(p.done)
	fd, inode := -1, uint64(0)
	defer func() { _ = unix.Close(fd) }()
	buf := make([]byte, 4096)
	drain := func() {
		for fd >= 0 {
			n, err := unix.Read(fd, buf)
			if n <= 0 || err != nil {
				return
			}
			p.mu.Lock()
			p.text = append(p.text, buf[:n]...)
			p.mu.Unlock()
		}
	}
	for {
		drain()
		var st unix.Stat_t
		if unix.Stat(p.path, &st) == nil && st.Ino != inode && st.Mode&unix.S_IFMT == unix.S_IFIFO {
			drain()
			_ = unix.Close(fd)
			if fd, _ = unix.Open(p.path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); fd >= 0 {
				inode = st.Ino
			}
		}
		select {
		case <-p.stop:
			drain()
			return
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func (p *pipe) lines() (out []entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for line := range strings.Lines(string(p.text)) {
		if strings.HasSuffix(line, "\n") {
			out = append(out, entry(strings.TrimSuffix(line, "\n")))
		}
	}
	return out
}

func (p *pipe) close() {
	close(p.stop)
	<-p.done
}

// inside is the path of a file of the node.
func (l *life) inside(file string) string {
	l.t.Helper()
	path, err := l.Path(file)
	l.must(err)
	return path
}

// fail has every script of the configuration fail, or no more.
func (l *life) fail(on bool) {
	l.t.Helper()
	for _, spy := range l.checks {
		if on {
			l.must(l.WriteFile(spy+".fails", nil, 0o644))
			continue
		}
		l.must(os.Remove(l.inside(spy + ".fails")))
	}
}

// found is a condition: every script that an instance tracks has been found to fail, or
// to be well again, since so much was in the log.
func (l *life) found(word string, since int) func() error {
	return func() error {
		out := l.proc.Output()[since:]
		for _, name := range l.row.scripts(l.scene) {
			if !pattern(regexp.QuoteMeta("VRRP_Script("+name+") ") + word).Match([]byte(out)) {
				return fmt.Errorf("%s: %s has not %s", l.Name, name, word)
			}
		}
		return nil
	}
}

// priorities are what instances have now: they move without a word in a pipe.
func (l *life) priorities() (lines []string) {
	l.t.Helper()
	l.must(os.RemoveAll(l.inside(spyDir + "/keepalived.json")))
	var list []struct {
		Data struct {
			Iname              string
			Effective_priority int
			State              int
		}
	}
	l.must(l.proc.Signal(syscall.Signal(36)))
	l.wait(l.Name+"'s priorities", func() error {
		text, err := os.ReadFile(l.inside(spyDir + "/keepalived.json"))
		if err == nil {
			err = json.Unmarshal(text, &list)
		}
		return err
	})
	for _, in := range list {
		lines = append(lines, fmt.Sprintf("priority of %s: %d, %s", in.Data.Iname, in.Data.Effective_priority, exportedStates[in.Data.State]))
	}
	return lines
}
