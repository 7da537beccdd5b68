package dropin

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What units and init scripts pass, and what getopt makes of it.
func TestParse(t *testing.T) {
	plain := func(change func(*Options)) Options {
		o := Options{File: DefaultFile, Umask: -1}
		change(&o)
		return o
	}
	for _, tt := range []struct {
		name, line string
		want       Options
		err        string
	}{
		{"nothing", "", plain(func(*Options) {}), ""},
		{"Debian's unit", "--dont-fork", plain(func(o *Options) { o.Foreground = true }), ""},
		{"a container", "-n -l -D -f /k.conf", plain(func(o *Options) { o.Foreground, o.Console, o.Detail, o.File = true, true, 1, "/k.conf" }), ""},
		{"joined", "-nlDDdf/k.conf", plain(func(o *Options) {
			o.Foreground, o.Console, o.Detail, o.DumpConf, o.File = true, true, 2, true, "/k.conf"
		}), ""},
		{"Neutron", "-P -f /n.conf -p /n.pid -r /n.pid-vrrp", plain(func(o *Options) {
			o.VRRP, o.File, o.PIDFile, o.VRRPPIDFile = true, "/n.conf", "/n.pid", "/n.pid-vrrp"
		}), ""},
		{"long ones", "--use-file=/a --config-id id --pid /p --vrrp_pid=/r --checkers_pid=/c --namespace ns --log-facility=local3",
			plain(func(o *Options) {
				o.File, o.ID, o.PIDFile, o.VRRPPIDFile, o.CheckPIDFile, o.Namespace, o.Facility = "/a", "id", "/p", "/r", "/c", "ns", "local3"
			}), ""},
		{"a long one cut short", "--use=/a --dont-f", plain(func(o *Options) { o.File, o.Foreground = "/a", true }), ""},
		{"cut too short", "--log", Options{}, "ambiguous"},
		{"a test", "-t", plain(func(o *Options) { o.ConfigTest = true }), ""},
		{"a test into a file", "-t/tmp/x", plain(func(o *Options) { o.ConfigTest, o.TestLog = true, "/tmp/x" }), ""},
		{"an optional argument is never the next word", "-t x", plain(func(o *Options) { o.ConfigTest, o.Stray = true, []string{"x"} }), ""},
		{"a log file", "--log-file=/l -G", plain(func(o *Options) { o.LogFile, o.NoSyslog = "/l", true }), ""},
		{"a log file of no name", "-g", plain(func(o *Options) { o.LogFile = DefaultLogFile }), ""},
		{"umask, octal", "-u 022", plain(func(o *Options) { o.Umask = 0o22 }), ""},
		{"no umask", "-u 8888", Options{}, "invalid umask"},
		{"no facility", "-S local9", Options{}, "invalid log facility"},
		{"facility by number", "-S 3", plain(func(o *Options) { o.Facility = "3" }), ""},
		{"no such flag", "-n -Z", Options{}, "invalid option -- 'Z'"},
		{"no such long one", "--nonsense", Options{}, "unrecognized option '--nonsense'"},
		{"no argument", "-f", Options{}, "requires an argument -- 'f'"},
		{"too many arguments", "--vrrp=x", Options{}, "doesn't allow an argument"},
		{"the end of flags", "-n -- -f x", plain(func(o *Options) { o.Foreground, o.Stray = true, []string{"-f", "x"} }), ""},
		{"a signal", "--signum=JSON", plain(func(o *Options) { o.Signum = "JSON" }), ""},
	} {
		got, err := Parse(strings.Fields(tt.line))
		switch {
		case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("%s: %v", tt.name, err)
		case tt.err == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.err == "":
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("%s: -want +got\n%s", tt.name, d)
			}
		}
	}
}

// A flag without an effect is taken, and the reason is said.
func TestIdleFlags(t *testing.T) {
	got, err := Parse(strings.Fields("-B --all -X -V -I -R -x -A /s -m -M -a -b /b --perf --debug=X --no-mem-check --mem-check-log -L --flush-log-file --ignore-sigint"))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Idle) != 19 {
		t.Errorf("%d reasons: %q", len(got.Idle), got.Idle)
	}
	for _, why := range got.Idle {
		if !strings.Contains(why, " has no effect: ") {
			t.Error(why)
		}
	}
}

// Every flag is in the help, and none is there twice.
func TestUsage(t *testing.T) {
	text := Usage()
	seen := map[string]bool{}
	for _, f := range flags {
		if !strings.Contains(text, "--"+f.long) || f.short != 0 && !strings.Contains(text, "-"+string(f.short)+", --"+f.long) {
			t.Errorf("--%s is not in the help", f.long)
		}
		if seen[f.long] || f.short != 0 && seen[string(f.short)] {
			t.Errorf("--%s is there twice", f.long)
		}
		seen[f.long] = true
		if f.short != 0 {
			seen[string(f.short)] = true
		}
	}
}

func TestSignum(t *testing.T) {
	for name, want := range map[string]int{"STOP": 15, "RELOAD": 1, "DATA": 10, "STATS": 12, "STATS_CLEAR": 63, "JSON": 36} {
		if n, ok := Signum(name); !ok || n != want {
			t.Errorf("%s is %d", name, n)
		}
	}
	if _, ok := Signum("stop"); ok {
		t.Error("there is a signal stop")
	}
}
