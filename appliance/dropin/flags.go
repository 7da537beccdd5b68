package dropin

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Options is what a command line of keepalived says.
type Options struct {
	File string // -f
	ID   string `json:",omitempty"` // -i: config-id of @conditions

	ConfigTest bool   `json:",omitempty"` // -t
	TestLog    string `json:",omitempty"` // -t's file; "": standard error
	AllConfig  bool   `json:",omitempty"` // -e: files that are included have to be there
	Signum     string `json:",omitempty"` // --signum
	Version    bool   `json:",omitempty"` // -v
	Help       bool   `json:",omitempty"` // -h

	Foreground bool `json:",omitempty"` // -n
	Console    bool `json:",omitempty"` // -l
	Detail     int  `json:",omitempty"` // how often -D
	DumpConf   bool `json:",omitempty"` // -d

	Facility string `json:",omitempty"` // -S; "": daemon
	LogFile  string `json:",omitempty"` // -g
	NoSyslog bool   `json:",omitempty"` // -G
	Umask    int    // -u; -1: not given

	VRRP, Check bool `json:",omitempty"` // -P, -C: only that

	PIDFile      string `json:",omitempty"` // -p
	VRRPPIDFile  string `json:",omitempty"` // -r
	CheckPIDFile string `json:",omitempty"` // -c
	Namespace    string `json:",omitempty"` // -s, or in the file
	Instance     string `json:",omitempty"` // in the file: names of pid files
	PIDDir       bool   `json:",omitempty"` // in the file: they are in a directory of their own

	// Idle are the flags that were given and have no effect, with the reason.
	Idle []string `json:",omitempty"`
	// Stray are arguments that are no flags. keepalived says so, and goes on.
	Stray []string `json:",omitempty"`
}

// DefaultFile is where keepalived looks for its configuration.
const DefaultFile = "/etc/keepalived/keepalived.conf"

// argument tells whether a flag has one, as getopt does.
type argument uint8

const (
	without  argument = iota
	required          // -f FILE, -fFILE, --use-file FILE, --use-file=FILE
	optional          // -tFILE, --config-test=FILE
)

// option is one of keepalived's.
type option struct {
	short byte // 0: none
	long  string
	arg   argument
	name  string // of the argument
	help  string
	idle  string // why it has no effect; "": it has one
	set   func(o *Options, v string) error
}

func yes(of func(*Options) *bool) func(*Options, string) error {
	return func(o *Options, _ string) error { *of(o) = true; return nil }
}

func text(of func(*Options) *string) func(*Options, string) error {
	return func(o *Options, v string) error { *of(o) = v; return nil }
}

func nothing(*Options, string) error { return nil }

// DefaultLogFile is what -g writes to if it names nothing.
const DefaultLogFile = "/tmp/keepalived.log"

// flags are all of 2.2.7, in the order of its help.
var flags = []option{
	{'f', "use-file", required, "FILE", "use this configuration file", "", text(func(o *Options) *string { return &o.File })},
	{'P', "vrrp", without, "", "only the VRRP part", "", yes(func(o *Options) *bool { return &o.VRRP })},
	{'C', "check", without, "", "only the part that checks servers", "", yes(func(o *Options) *bool { return &o.Check })},
	{'B', "no_bfd", without, "", "without BFD", "BFD is not spoken", nothing},
	{0, "all", without, "", "all parts, even without a configuration", "there are no parts to start", nothing},
	{'l', "log-console", without, "", "log to the console", "", yes(func(o *Options) *bool { return &o.Console })},
	{'D', "log-detail", without, "", "log details; twice for more", "", func(o *Options, _ string) error { o.Detail++; return nil }},
	{'S', "log-facility", required, "{0-7|local{0-7}|user|daemon}", "facility of syslog", "", facilityFlag},
	{'g', "log-file", optional, "FILE", "log to FILE, and with _vrrp before its suffix", "", func(o *Options, v string) error {
		o.LogFile = v
		if v == "" {
			o.LogFile = DefaultLogFile
		}
		return nil
	}},
	{0, "flush-log-file", without, "", "flush the log file after each line", "each line is written as it comes", nothing},
	{'G', "no-syslog", without, "", "do not log to syslog", "", yes(func(o *Options) *bool { return &o.NoSyslog })},
	{'u', "umask", required, "MASK", "of files that are created", "", umaskFlag},
	{'X', "release-vips", without, "", "drop addresses that are left at the start", "what a dead process has left is always removed", nothing},
	{'V', "dont-release-vrrp", without, "", "leave addresses at the stop", "a stop always removes addresses: a box that has stopped must not answer for them", nothing},
	{'I', "dont-release-ipvs", without, "", "leave IPVS at the stop", "a stop removes what is ours", nothing},
	{'R', "dont-respawn", without, "", "do not restart a process that died", "a process that died is restarted, and addresses stay where they are", nothing},
	{'n', "dont-fork", without, "", "stay in the foreground", "", yes(func(o *Options) *bool { return &o.Foreground })},
	{'d', "dump-conf", without, "", "log the configuration", "", yes(func(o *Options) *bool { return &o.DumpConf })},
	{'p', "pid", required, "FILE", "file with the number of the process", "", text(func(o *Options) *string { return &o.PIDFile })},
	{'r', "vrrp_pid", required, "FILE", "the same, of the VRRP part", "", text(func(o *Options) *string { return &o.VRRPPIDFile })},
	{'c', "checkers_pid", required, "FILE", "the same, of the checks", "", text(func(o *Options) *string { return &o.CheckPIDFile })},
	{'b', "bfd_pid", required, "FILE", "the same, of BFD", "BFD is not spoken", nothing},
	{'a', "address-monitoring", without, "", "log addresses that come and go", "addresses of ours that go are put back, and the log says so", nothing},
	{'s', "namespace", required, "NAME", "run in this network namespace", "", text(func(o *Options) *string { return &o.Namespace })},
	{'e', "all-config", without, "", "files that are included have to be there", "", yes(func(o *Options) *bool { return &o.AllConfig })},
	{'i', "config-id", required, "ID", "config-id of @conditions", "", text(func(o *Options) *string { return &o.ID })},
	{'x', "snmp", without, "", "SNMP", "SNMP is not spoken: see /metrics", nothing},
	{'A', "snmp-agent-socket", required, "FILE", "socket of the SNMP agent", "SNMP is not spoken: see /metrics", nothing},
	{'m', "core-dump", without, "", "dump core", "set the limit of the service", nothing},
	{'M', "core-dump-pattern", optional, "PATTERN", "pattern of core files", "the kernel's settings are left alone", nothing},
	{0, "signum", required, "SIGFUNC", "print the number of a signal: STOP, RELOAD, DATA, STATS, STATS_CLEAR, JSON", "", text(func(o *Options) *string { return &o.Signum })},
	{'t', "config-test", optional, "LOG", "test the configuration: 0 right, 4 cannot run, 5 would run in spite of errors, 6 insecure scripts", "", func(o *Options, v string) error {
		o.ConfigTest, o.TestLog = true, v
		return nil
	}},
	{0, "perf", optional, "all|run|end", "record performance data", "use perf", nothing},
	{0, "debug", optional, "OPTIONS", "debugging", "see understudy run --verbose", nothing},
	{0, "no-mem-check", without, "", "no checks of memory", "there are none", nothing},
	{0, "mem-check-log", without, "", "log checks of memory", "there are none", nothing},
	{'L', "openssl-mem-check", without, "", "checks of OpenSSL's memory", "there are none", nothing},
	{0, "ignore-sigint", without, "", "go on at SIGINT", "SIGINT stops", nothing},
	{'v', "version", without, "", "print the version", "", yes(func(o *Options) *bool { return &o.Version })},
	{'h', "help", without, "", "print this", "", yes(func(o *Options) *bool { return &o.Help })},
}

func facilityFlag(o *Options, v string) error {
	if _, err := facility(v); err != nil {
		return err
	}
	o.Facility = v
	return nil
}

func umaskFlag(o *Options, v string) error {
	n, err := strconv.ParseInt(v, 0, 32)
	if err != nil || n < 0 || n > 0o777 {
		return fmt.Errorf("invalid umask '%s'", v)
	}
	o.Umask = int(n)
	return nil
}

// Parse reads a command line as getopt_long does: short flags may be joined, long ones
// cut to what is theirs alone, and "--" ends them.
func Parse(args []string) (Options, error) {
	o := Options{File: DefaultFile, Umask: -1}
	for len(args) > 0 {
		a := args[0]
		args = args[1:]
		var err error
		switch {
		case a == "--":
			o.Stray = append(o.Stray, args...)
			return o, nil
		case strings.HasPrefix(a, "--"):
			args, err = o.long(a[2:], args)
		case len(a) > 1 && a[0] == '-':
			args, err = o.short(a[1:], args)
		default:
			o.Stray = append(o.Stray, a)
		}
		if err != nil {
			return o, err
		}
	}
	return o, nil
}

func (o *Options) long(a string, args []string) ([]string, error) {
	name, v, given := strings.Cut(a, "=")
	f, err := byLong(name)
	switch {
	case err != nil:
		return nil, err
	case f.arg == without && given:
		return nil, fmt.Errorf("option '--%s' doesn't allow an argument", f.long)
	case f.arg == required && !given:
		if len(args) == 0 {
			return nil, fmt.Errorf("option '--%s' requires an argument", f.long)
		}
		v, args = args[0], args[1:]
	}
	return args, o.take(f, v)
}

func byLong(name string) (option, error) {
	var found []option
	for _, f := range flags {
		if f.long == name {
			return f, nil
		}
		if strings.HasPrefix(f.long, name) {
			found = append(found, f)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return option{}, fmt.Errorf("unrecognized option '--%s'", name)
	}
	return option{}, fmt.Errorf("option '--%s' is ambiguous", name)
}

func (o *Options) short(a string, args []string) ([]string, error) {
	for ; a != ""; a = a[1:] {
		i := slices.IndexFunc(flags, func(f option) bool { return f.short == a[0] })
		if i < 0 {
			return nil, fmt.Errorf("invalid option -- '%s'", a[:1])
		}
		f, v := flags[i], a[1:]
		switch {
		case f.arg == without:
			if err := o.take(f, ""); err != nil {
				return nil, err
			}
			continue
		case f.arg == required && v == "":
			if len(args) == 0 {
				return nil, fmt.Errorf("option requires an argument -- '%s'", a[:1])
			}
			v, args = args[0], args[1:]
		}
		return args, o.take(f, v)
	}
	return args, nil
}

func (o *Options) take(f option, v string) error {
	if f.idle != "" {
		o.Idle = append(o.Idle, fmt.Sprintf("--%s has no effect: %s", f.long, f.idle))
	}
	return f.set(o, v)
}

// Usage is the text of --help.
func Usage() string {
	var b strings.Builder
	b.WriteString("Usage: keepalived [OPTION...]\n")
	for _, f := range flags {
		short, arg := "    ", ""
		if f.short != 0 {
			short = "-" + string(f.short) + ", "
		}
		switch f.arg {
		case required:
			arg = "=" + f.name
		case optional:
			arg = "[=" + f.name + "]"
		}
		help := f.help
		if f.idle != "" {
			help += " (no effect: " + f.idle + ")"
		}
		fmt.Fprintf(&b, "  %s--%-34s %s\n", short, f.long+arg, help)
	}
	return b.String()
}
