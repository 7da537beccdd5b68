package config

import (
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	minEvery   = 10 * time.Millisecond
	maxEvery   = time.Hour
	maxInARow  = 100     // rise and fall
	maxRunning = 1 << 20 // processes
	mainTable  = 254     // RT_TABLE_MAIN
)

// The keys of checks that try a host.
var hostKeys = []string{"target", "source", "source_port", "interface", "fwmark"}

// kindKeys are the keys that only some kinds of checks have, by kind.
var kindKeys = map[CheckKind][]string{
	CheckICMP:    {"target", "source", "interface", "fwmark"},
	CheckTCP:     hostKeys,
	CheckFile:    {"path", "absent", "value", "init", "init_overwrite"},
	CheckProcess: {"process", "args", "min", "max"},
	CheckRoute:   {"to", "prefix", "table", "interface"},
	CheckScript:  {"command", "user", "value"},

	CheckHTTP:      slices.Concat(hostKeys, httpKeys),
	CheckHTTPS:     slices.Concat(hostKeys, httpKeys, []string{"verify", "server_name", "ca_file", "cert_file", "key_file"}),
	CheckDNS:       slices.Concat(hostKeys, []string{"query", "type", "rcode", "answers"}),
	CheckUDP:       slices.Concat(hostKeys, []string{"send", "expect", "silence"}),
	CheckSMTP:      slices.Concat(hostKeys, []string{"helo"}),
	CheckHeartbeat: slices.Concat([]string{"listen"}, hostKeys, []string{"server", "secret_file"}),
	CheckWatchdog:  {"socket", "user", "pid_file"},

	CheckAll:    {"checks"},
	CheckAny:    {"checks"},
	CheckQuorum: {"checks", "min"},
}

var httpKeys = []string{"path", "method", "host", "status", "body", "match", "match_not", "match_from", "match_until", "digest"}

// checkKinds are the kinds, as they are listed to whoever wrote another.
var checkKinds = []CheckKind{CheckICMP, CheckTCP, CheckHTTP, CheckHTTPS, CheckDNS, CheckUDP, CheckSMTP, CheckFile, CheckProcess, CheckRoute, CheckScript,
	CheckHeartbeat, CheckWatchdog, CheckAll, CheckAny, CheckQuorum}

// combining tells that a check of the kind follows others: it has no pace of its
// own.
func combining(k CheckKind) bool { return k == CheckAll || k == CheckAny || k == CheckQuorum }

func (c *checker) checkChecks(raw []*rawCheck) {
	c.checks, c.templates = map[string]string{}, map[string]*template{}
	for i, rc := range raw {
		if rc == nil {
			continue
		}
		path := at("check", i)
		k := c.healthCheck(path, rc)
		c.unique(c.checks, path, k.Name, "check", "give each check a name of its own")
		c.config.Checks = append(c.config.Checks, k)
	}
	c.checkCombined(raw)
	c.spreadTemplates(raw)
	c.checkShared(raw)
}

func (c *checker) hasCheck(name string) bool { return c.checks[name] != "" }

func (c *checker) checkNames() []string { return slices.Sorted(maps.Keys(c.checks)) }

// healthCheck reads one check by itself.
func (c *checker) healthCheck(path string, raw *rawCheck) Check {
	def := c.defaults.Check
	k := Check{Name: c.name(join(path, "name"), raw.Name, `name the check, like name = "uplink"`)}
	k.Every = c.pace(join(path, "every"), raw.Every, def.Every)
	k.Timeout = c.pace(join(path, "timeout"), raw.Timeout, k.Every)
	k.Rise = c.count(join(path, "rise"), raw.Rise, def.Rise, 1, maxInARow)
	k.Fall = c.count(join(path, "fall"), raw.Fall, def.Fall, 1, maxInARow)
	k.Retry = c.pace(join(path, "retry_every"), raw.Retry, 0)
	k.Damp = c.damp(join(path, "damp"), raw.Damp)
	if raw.Kind == nil {
		c.add(join(path, "kind"), "missing", `say how to check, like kind = "icmp"`)
		return k
	}
	k.Kind = known(c, join(path, "kind"), raw.Kind, "", checkKinds, "bond")
	c.foreignKeys(path, raw, k.Kind)
	switch k.Kind {
	case CheckICMP, CheckTCP:
		c.reach(path, raw, &k)
	case CheckFile:
		c.file(path, raw, &k)
	case CheckProcess:
		c.process(path, raw, &k)
	case CheckRoute:
		c.route(path, raw, &k)
	case CheckScript:
		c.script(path, raw, &k)
	case CheckHTTP, CheckHTTPS:
		c.web(path, raw, &k)
	case CheckDNS:
		c.dns(path, raw, &k)
	case CheckUDP:
		c.udp(path, raw, &k)
	case CheckSMTP:
		c.smtp(path, raw, &k)
	case CheckHeartbeat:
		c.heartbeat(path, raw, &k)
	case CheckWatchdog:
		c.watchdogCheck(path, raw, &k)
	}
	if raw.Retry != nil && k.Pace().Pushed {
		c.add(join(path, "retry_every"), "nothing is tried: results come by themselves", "remove it")
	}
	return k
}

// foreignKeys refuses keys of other kinds: whoever wrote them expects something
// of them.
func (c *checker) foreignKeys(path string, raw *rawCheck, kind CheckKind) {
	if kind == "" {
		return
	}
	written := map[string]bool{
		"target": raw.Target != nil, "source": raw.Source != nil, "interface": raw.Interface != nil,
		"source_port": raw.SourcePort != nil, "fwmark": raw.FwMark != nil,
		"path": raw.Path != nil, "absent": raw.Absent != nil, "value": raw.Value != nil,
		"init": raw.Init != nil, "init_overwrite": raw.Overwrite != nil,
		"process": raw.Process != nil, "args": raw.Args != nil, "min": raw.Min != nil, "max": raw.Max != nil,
		"to": raw.To != nil, "prefix": raw.Prefix != nil, "table": raw.Table != nil,
		"command": raw.Command != nil, "user": raw.User != nil,
		"method": raw.Method != nil, "host": raw.Host != nil, "status": raw.Status != nil, "body": raw.Body != nil,
		"match": raw.Match != nil, "match_not": raw.MatchNot != nil,
		"match_from": raw.MatchFrom != nil, "match_until": raw.MatchUntil != nil, "digest": raw.Digest != nil, "verify": raw.Verify != nil, "server_name": raw.ServerName != nil,
		"ca_file": raw.CAFile != nil, "cert_file": raw.CertFile != nil, "key_file": raw.KeyFile != nil,
		"query": raw.Query != nil, "type": raw.Type != nil, "rcode": raw.RCode != nil, "answers": raw.Answers != nil,
		"send": raw.Send != nil, "expect": raw.Expect != nil, "silence": raw.Silence != nil, "helo": raw.Helo != nil,
		"listen": raw.Listen != nil, "server": raw.Server != nil, "secret_file": raw.SecretFile != nil,
		"socket": raw.Socket != nil, "pid_file": raw.PIDFile != nil, "checks": raw.Checks != nil,
	}
	if combining(kind) {
		written["every"], written["timeout"] = raw.Every != nil, raw.Timeout != nil
		written["rise"], written["fall"] = raw.Rise != nil, raw.Fall != nil
		written["retry_every"] = raw.Retry != nil
	}
	for key, is := range written {
		if is && !slices.Contains(kindKeys[kind], key) {
			c.add(join(path, key), fmt.Sprintf("a check of kind %s has no %s", quote(string(kind)), key),
				"remove it; its own keys: "+strings.Join(kindKeys[kind], ", "))
		}
	}
}

func (c *checker) pace(path string, v *string, def time.Duration) time.Duration {
	d := c.duration(path, v, "200ms")
	if d == nil {
		return def
	}
	if *d < minEvery || *d > maxEvery {
		c.add(path, *v+" is out of range", "use 10ms to 1h")
	}
	return *d
}

func (c *checker) count(path string, v *int64, def, least, most int) int {
	n := or(v, int64(def))
	if n < int64(least) || n > int64(most) {
		c.add(path, fmt.Sprintf("%d is out of range", n), fmt.Sprintf("use %d to %d", least, most))
		return def
	}
	return int(n)
}

// reach reads what icmp and tcp have in common, and their targets.
func (c *checker) reach(path string, raw *rawCheck, k *Check) {
	if k.Kind != CheckICMP {
		c.connects(path, raw, k, 0)
		return
	}
	if !c.hostless(path, raw, k, 0) {
		if a, ok := c.host(join(path, "target"), raw.Target, sayPing); ok {
			k.Target = netip.AddrPortFrom(a, 0)
		}
	}
	c.from(path, raw, k)
}

// connects reads the target of what connects to a port; usual is the one that is
// meant where none is written, 0: there is none.
func (c *checker) connects(path string, raw *rawCheck, k *Check, usual uint16) {
	target := join(path, "target")
	switch {
	case c.hostless(path, raw, k, usual):
	case raw.Target == nil:
		c.add(target, "missing", sayConnect)
	default:
		v := *raw.Target
		if a, err := netip.ParseAddr(v); err == nil && usual != 0 {
			v = netip.AddrPortFrom(a, usual).String()
		}
		// A service of this node's own is as good as any.
		if ap, ok := c.addrPort(target, v, "10.0.0.20:80"); ok && (ap.Addr().IsLoopback() && !ap.Addr().Is4In6() || c.hostAddr(target, ap.Addr())) {
			k.Target = ap
		}
	}
	c.from(path, raw, k)
}

// from reads where something that tries a host does it from.
func (c *checker) from(path string, raw *rawCheck, k *Check) {
	if raw.Source != nil {
		k.Source, _ = c.host(join(path, "source"), raw.Source, "")
	}
	if raw.SourcePort != nil {
		k.SourcePort = uint16(c.count(join(path, "source_port"), raw.SourcePort, 1, 1, 65535))
	}
	if raw.FwMark != nil {
		k.Mark = c.packetMark(join(path, "fwmark"), *raw.FwMark, `write a number other than 0, like "0x10", that a rule of your own looks for`)
	}
	c.outgoing(path, raw, k)
	c.reachable(path, raw, k)
}

func (c *checker) outgoing(path string, raw *rawCheck, k *Check) {
	if raw.Interface != nil {
		k.Interface = c.interfaceName(join(path, "interface"), raw.Interface, "")
	}
}

// checkSources looks at what needs the routers: a source that moves is not there
// on a node that stands by.
func (c *checker) checkSources(raw []*rawCheck) {
	k := 0
	for i, rc := range raw {
		if rc == nil {
			continue
		}
		if a := c.config.Checks[k].Source; a.IsValid() {
			c.notMoving(join(at("check", i), "source"), a, "this node")
		}
		if a := c.config.Checks[k].Listen; a.IsValid() && !a.Addr().IsUnspecified() {
			c.notMoving(join(at("check", i), "listen"), a.Addr(), "this node")
		}
		k++
	}
}

func (c *checker) absolute(path, v string) string {
	if !filepath.IsAbs(v) || strings.ContainsRune(v, 0) {
		c.add(path, quote(v)+" is not an absolute path", "begin it with /")
		return ""
	}
	return v
}

func (c *checker) file(path string, raw *rawCheck, k *Check) {
	if raw.Path == nil {
		c.add(join(path, "path"), "missing", `name the file to look for, like path = "/run/maintenance"`)
	} else {
		k.Path = c.absolute(join(path, "path"), *raw.Path)
	}
	k.Absent, k.Value = or(raw.Absent, false), or(raw.Value, false)
	if k.Absent && k.Value {
		c.add(join(path, "value"), "a file that must not be there has no value", "remove value or absent")
	}
	c.init(path, raw, k)
}

func (c *checker) process(path string, raw *rawCheck, k *Check) {
	switch {
	case raw.Process == nil:
		c.add(join(path, "process"), "missing", `name the program, like process = "named"`)
	case *raw.Process == "" || strings.ContainsAny(*raw.Process, "/\x00"):
		c.add(join(path, "process"), quote(*raw.Process)+" is not the name of a program", "write the last part of its path")
	default:
		k.Process = *raw.Process
	}
	for _, a := range raw.Args {
		if a != nil {
			k.Args = append(k.Args, *a)
		}
	}
	k.Min = c.count(join(path, "min"), raw.Min, c.defaults.Check.Min, 1, maxRunning)
	if raw.Max != nil {
		k.Max = c.count(join(path, "max"), raw.Max, k.Min, k.Min, maxRunning)
	}
}

func (c *checker) route(path string, raw *rawCheck, k *Check) {
	c.outgoing(path, raw, k)
	switch {
	case raw.To != nil && raw.Prefix != nil:
		c.add(join(path, "prefix"), "to and prefix are two questions", "keep one: to asks for the way to an address, prefix for a route to exactly that")
	case raw.To != nil:
		k.To, _ = c.host(join(path, "to"), raw.To, "")
		c.routed(join(path, "to"), k.To)
	case raw.Prefix != nil:
		k.Prefix = c.prefix(join(path, "prefix"), *raw.Prefix)
	default:
		c.add(join(path, "to"), "missing", `ask for the way to an address, like to = "192.0.2.1", or for a route, like prefix = "0.0.0.0/0"`)
	}
	if raw.Table != nil && raw.Prefix == nil {
		c.add(join(path, "table"), "the way to an address is looked for as the kernel does, in all tables", "remove it, or ask for a prefix")
	}
	if k.Prefix.IsValid() {
		k.Table = c.count(join(path, "table"), raw.Table, c.defaults.Check.Table, 1, 1<<31-1)
	}
}

// prefix reads a network that may be 0.0.0.0/0 or ::/0.
func (c *checker) prefix(path, v string) netip.Prefix {
	p, err := netip.ParsePrefix(v)
	switch {
	case err != nil:
		c.add(path, quote(v)+" is not a network", `write it like "0.0.0.0/0"`)
	case c.mapped(path, p.Addr()):
	case p != p.Masked():
		c.add(path, fmt.Sprintf("%s has bits set beyond its prefix length", v), "write "+p.Masked().String())
	default:
		return p
	}
	return netip.Prefix{}
}

func (c *checker) script(path string, raw *rawCheck, k *Check) {
	k.Command = c.commandLine(join(path, "command"), raw.Command, `write the program and its arguments, like command = ["/usr/local/bin/check-uplink", "fast"]`)
	k.User = or(raw.User, "")
	k.Value = or(raw.Value, false)
}
