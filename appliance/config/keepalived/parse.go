package keepalived

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Parse reads a configuration and everything that it includes. It never fails: what
// is wrong is in the messages.
func Parse(name string, src []byte, w World) (*File, []Message) {
	p := &parser{world: w, file: &File{}, names: map[string]bool{}}
	lines := readLines(name, src, w, p.say)
	p.file.Root = treeOf(lines, p.say)
	theGrammar.judge(p.file.Root, "", p.say)
	p.root(p.file.Root)
	return p.file, p.list
}

type parser struct {
	messages
	world World
	file  *File
	names map[string]bool // of what can have one name once: "vrrp_instance VI_1"
}

// once notes a name, and tells whether it is new.
func (p *parser) once(n *Node) bool {
	key := n.Word + " " + n.arg(0)
	if n.arg(0) == "" {
		p.say(n.At, Fault, "%s must have a name - skipping", n.Word)
		return false
	}
	if p.names[key] {
		p.say(n.At, Fault, "%s %s already defined", strings.ReplaceAll(n.Word, "_", " "), n.arg(0))
		return false
	}
	p.names[key] = true
	return true
}

func (p *parser) root(root *Node) {
	for _, n := range root.Children {
		if n.Word == "global_defs" { // the rest goes by it, wherever it stands
			p.global(n)
		}
	}
	p.ofProcess(root)
	for _, n := range root.Children {
		switch n.Word {
		case "vrrp_instance":
			if p.once(n) {
				p.file.Instances = append(p.file.Instances, p.instance(n))
			}
		case "vrrp_sync_group":
			if p.once(n) {
				p.file.Groups = append(p.file.Groups, p.group(n))
			}
		case "vrrp_script":
			if p.once(n) {
				p.file.Scripts = append(p.file.Scripts, p.script(n))
			}
		case "vrrp_track_process":
			if p.once(n) {
				p.file.Processes = append(p.file.Processes, p.process(n))
			}
		case "track_file", "vrrp_track_file":
			if p.once(n) {
				p.file.Files = append(p.file.Files, p.trackFile(n))
			}
		case "static_ipaddress", "static_routes", "static_rules":
			p.static(n)
		case "track_group":
			if p.once(n) {
				p.file.Static.Groups = append(p.file.Static.Groups, TrackGroup{Name: n.arg(0), At: n.At, Members: p.group(n).Members})
			}
		case "bfd_instance":
			p.file.BFDs = append(p.file.BFDs, n)
		case "virtual_server":
			if p.world.VRRPOnly {
				continue
			}
			p.file.VirtualServers = append(p.file.VirtualServers, p.virtualServer(n))
		case "interface_up_down_delays":
			p.linkDelays(n)
		case "garp_group":
			p.file.Gaps = append(p.file.Gaps, p.gapGroup(n))
		case "SSL":
			for _, c := range n.Children {
				p.file.SSL = append(p.file.SSL, option(c))
			}
		case "virtual_server_group":
			g := &ServerGroup{Name: n.arg(0), At: n.At}
			for _, c := range n.Children {
				g.Lines = append(g.Lines, option(c))
			}
			p.file.ServerGroups = append(p.file.ServerGroups, g)
		}
	}
}

// withGroup is a user, and the group that is named behind it.
func withGroup(user, group string) string {
	if group == "" {
		return user
	}
	return user + ":" + group
}

// defaultScriptUser runs programs, if there is such a user and no other is named.
const defaultScriptUser = "keepalived_script"

func (p *parser) scriptUser() string {
	if u := p.file.Global.ScriptUser; u.Set || p.world.User == nil || !p.world.User(defaultScriptUser) {
		return u.V
	}
	return defaultScriptUser
}

// pipeWords are the keywords of pipes, in the order of [Global.Pipes].
var pipeWords = [3]string{"notify_fifo", "vrrp_notify_fifo", "lvs_notify_fifo"}

// pipes reads them when everything that they depend on has been read.
func (p *parser) pipes(block *Node) {
	for _, n := range block.Children {
		i := slices.Index(pipeWords[:], strings.TrimSuffix(n.Word, "_script"))
		if i < 0 {
			continue
		}
		one := &p.file.Global.Pipes[i]
		if strings.HasSuffix(n.Word, "_script") {
			if argv, user, ok := p.command(n, n.Word); ok {
				one.Script = of(argv, n.At)
				if one.User == "" {
					one.User = user
				}
			}
			continue
		}
		if one.Path.Set {
			p.say(n.At, Fault, "%s already specified - ignoring %s", n.Word, n.arg(0))
			continue
		}
		set(p, n, &one.Path, n.arg(0))
		if one.User = withGroup(n.arg(1), n.arg(2)); one.User == "" {
			one.User = p.scriptUser()
		}
	}
}

// ofProcess reads what a keepalived.conf says of the process, at the top or in global_defs.
func (p *parser) ofProcess(block *Node) {
	g := &p.file.Global
	for _, n := range block.Children {
		switch n.Word {
		case "net_namespace":
			set(p, n, &g.Namespace, n.arg(0))
		case "instance":
			set(p, n, &g.Instance, n.arg(0))
		case "use_pid_dir":
			g.PIDDir = of(true, n.At)
		}
	}
}

func (p *parser) global(block *Node) {
	g := &p.file.Global
	defer p.pipes(block)
	defer func() { // when script_user has been read
		for _, n := range block.Children {
			p.hook(n)
		}
	}()
	p.ofProcess(block)
	for _, n := range block.Children {
		switch n.Word {
		case "router_id":
			set(p, n, &g.RouterID, n.arg(0))
		case "vrrp_version":
			if v, ok := p.number(n, 2, 3); ok {
				g.Version = of(uint8(v), n.At)
			}
		case "vrrp_strict":
			g.Strict = p.boolean(n)
		case "default_interface":
			set(p, n, &g.DefaultInterface, n.arg(0))
		case "script_user":
			set(p, n, &g.ScriptUser, withGroup(n.arg(0), n.arg(1)))
		case "fifo_write_vrrp_states_on_reload":
			g.Repeat = p.boolean(n)
		case "enable_script_security":
			g.ScriptSecurity = p.boolean(n)
		case "dynamic_interfaces":
			g.Dynamic = of(true, n.At)
		case "v3_checksum_as_v2":
			g.ChecksumV2 = p.boolean(n)
		case "vrrp_garp_interval":
			g.GapARP = p.gap(n)
		case "vrrp_gna_interval":
			g.GapNA = p.gap(n)
		case "vrrp_mcast_group4":
			g.Group4 = p.multicast(n, false)
		case "vrrp_mcast_group6":
			g.Group6 = p.multicast(n, true)
		case "lvs_sync_daemon":
			if n.arg(0) == "" {
				p.say(n.At, Fault, "lvs_sync_daemon is missing its interface")
			} else if !g.Sync.Set {
				g.Sync = of(n.Args, n.At)
			}
		case "umask":
			g.Umask = p.umask(n)
		case "data_use_instance":
			g.DataOfInstance = p.boolean(n)
		case "state_dump_file":
			p.dumpFile(n, &g.StateFile)
		case "stats_dump_file":
			p.dumpFile(n, &g.StatsFile)
		case "json_dump_file":
			p.dumpFile(n, &g.JSONFile)
		case "json_version":
			if v, ok := p.number(n, 1, 2); ok {
				g.JSONVersion = of(v, n.At)
			}
		case "vrrp_notify_priority_changes":
			g.TellPriority = p.boolean(n)
		case "vrrp_startup_delay":
			g.Startup = p.delay(n)
		case "vrrp_delay_after_boot":
			g.Boot = p.delay(n)
		case "vrrp_min_garp":
			g.MinPace = p.boolean(n)
		default:
			p.alerts(n)
			if word, ok := strings.CutPrefix(n.Word, "vrrp_"); ok {
				p.pace(&g.Pace, n, word)
				p.wire(&g.Wire, n, word)
			}
		}
	}
}

// set notes the value of a keyword that has to have one.
func set(p *parser, n *Node, to *Of[string], v string) {
	if v == "" {
		p.say(n.At, Fault, "%s is missing its parameter", n.Word)
		return
	}
	*to = of(v, n.At)
}

// dumpFile reads the path of a dump.
func (p *parser) dumpFile(n *Node, to *Of[string]) {
	if len(n.Args) != 1 || n.arg(0) == "" {
		p.say(n.At, Fault, "%s requires a non-empty path", n.Word)
		return
	}
	*to = of(n.arg(0), n.At)
}

// boolean reads on, off, true, false, yes, no; a keyword alone is true.
func (p *parser) boolean(n *Node) Of[bool] {
	switch v := strings.ToLower(n.arg(0)); v {
	case "", "on", "true", "yes":
		return of(true, n.At)
	case "off", "false", "no":
		return of(false, n.At)
	default:
		p.say(n.At, Fault, "invalid %s specified: %s", n.Word, n.arg(0))
		return Of[bool]{}
	}
}

// number reads a whole number of a range.
func (p *parser) number(n *Node, least, most int) (int, bool) {
	v, err := strconv.Atoi(n.arg(0))
	switch {
	case n.arg(0) == "":
		p.say(n.At, Fault, "%s is missing its parameter", n.Word)
	case err != nil:
		p.say(n.At, Fault, "%s '%s' is not a valid number", n.Word, n.arg(0))
	case v < least || v > most:
		p.say(n.At, Fault, "%s '%s' - must be between %d and %d", n.Word, n.arg(0), least, most)
	default:
		return v, true
	}
	return 0, false
}

// seconds reads seconds with a fraction.
func (p *parser) seconds(n *Node, least, most time.Duration) (time.Duration, bool) {
	f, err := strconv.ParseFloat(n.arg(0), 64)
	d := time.Duration(0)
	if err == nil && f >= -1e6 && f <= 1e6 {
		d = time.Duration(f*1e6+0.5) * time.Microsecond
	}
	switch {
	case n.arg(0) == "":
		p.say(n.At, Fault, "%s is missing its parameter", n.Word)
	case err != nil || f != f || strings.ContainsAny(n.arg(0), "xXpP_iInN"):
		p.say(n.At, Fault, "%s '%s' is not a valid number", n.Word, n.arg(0))
	case f > 1e6 || d < least || d > most:
		p.say(n.At, Fault, "%s '%s' - must be between %v and %v seconds", n.Word, n.arg(0), least.Seconds(), most.Seconds())
	default:
		return d, true
	}
	return 0, false
}

func option(n *Node) Option { return Option{Word: n.Word, Args: n.Args, At: n.At} }

// command reads a program and its arguments, and the user that it is to run as: the
// first word holds both program and arguments, what is behind are user and group.
func (p *parser) command(n *Node, what string) (argv []string, user string, ok bool) {
	if n.arg(0) == "" {
		p.say(n.At, Fault, "%s is missing its program", what)
		return nil, "", false
	}
	argv, closed := splitCommand(n.arg(0))
	if !closed {
		p.say(n.At, Fault, "Unmatched quote: '%s'", n.arg(0))
	}
	if len(argv) == 0 {
		p.say(n.At, Fault, "%s is missing its program", what)
		return nil, "", false
	}
	user = withGroup(n.arg(1), n.arg(2))
	if user == "" {
		user = p.scriptUser()
	}
	return p.program(n, what, argv, n.arg(0)), user, true
}

// program finds the program of a command: as keepalived, by PATH if it has no slash,
// and by a shell if it is something that only a shell knows.
func (p *parser) program(n *Node, what string, argv []string, text string) []string {
	name := argv[0]
	switch {
	case strings.ContainsAny(name, "<>|&;(){}$`*?~="):
		return []string{"/bin/sh", "-c", text}
	case filepath.IsAbs(name):
		return argv
	case strings.Contains(name, "/"):
		p.say(n.At, Warning, "%s '%s' has a relative path: it is taken to be relative to /", what, name)
		argv[0] = filepath.Join("/", name)
		return argv
	case p.world.LookPath != nil:
		if found, err := p.world.LookPath(name); err == nil && filepath.IsAbs(found) {
			p.say(n.At, Note, "%s '%s' is found as %s", what, name, found)
			argv[0] = found
			return argv
		}
	}
	p.say(n.At, Warning, "%s '%s' is in no directory of PATH: a shell is asked", what, name)
	return []string{"/bin/sh", "-c", text}
}

// address reads "ADDR[/LEN]".
func address(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err == nil && p.Addr().Is4In6() {
		err = fmt.Errorf("IPv4 written as IPv6")
	}
	return p, err
}
