package keepalived

import (
	"slices"
)

// Test reads a configuration as `keepalived -t` does and returns what there is to
// say about it; see [ExitCode].
func Test(name string, src []byte, w World) []Message {
	f, list := Parse(name, src, w)
	_, more := Convert(f, Options{}, w)
	t := tester{file: f, world: w}
	t.interfaces()
	t.scripts()
	t.servers()
	list = append(append(list, more...), t.list...)
	slices.SortStableFunc(list, func(a, b Message) int {
		if a.File != b.File {
			return 0
		}
		return a.Line - b.Line
	})
	return list
}

type tester struct {
	messages
	file  *File
	world World
}

// interfaces complains of those that are not there, unless they may come later.
func (t *tester) interfaces() {
	if t.world.Interface == nil || t.file.Global.Dynamic.V {
		return
	}
	look := func(at Place, who, name string) {
		if name != "" && !t.world.Interface(name) {
			t.say(at, Fault, "WARNING - interface %s for %s doesn't exist", name, who)
		}
	}
	for _, in := range t.file.Instances {
		if in.Interface.Set {
			look(in.Interface.At, in.Name, in.Interface.V)
		}
		for _, a := range append(slices.Clone(in.Addresses), in.Excluded...) {
			look(a.At, in.Name, a.Dev)
		}
		for _, k := range in.Track {
			if k.Kind == "interface" {
				look(k.At, in.Name, k.Name)
			}
		}
	}
	for _, d := range t.file.Delays {
		if !t.world.Interface(d.Interface) {
			t.say(d.At, Fatal, "unknown interface %s specified for up/down delay", d.Interface)
		}
	}
}

// scripts complains of programs that run as root without anybody having said that
// they are looked at.
func (t *tester) scripts() {
	if t.file.Global.ScriptSecurity.V {
		return
	}
	look := func(at Place, argv []string, user string) {
		if len(argv) > 0 && (user == "" || user == "root") && t.world.Executable != nil && t.world.Executable(argv[0]) {
			t.say(at, Insecure, "SECURITY VIOLATION - scripts are being executed but script_security not enabled.")
		}
	}
	for _, h := range []Hook{t.file.Global.AtStart, t.file.Global.AtEnd} {
		look(h.Command.At, h.Command.V, h.User)
	}
	for _, in := range t.file.Instances {
		for _, n := range in.Notify {
			look(n.At, n.Command, n.User)
		}
	}
	for _, g := range t.file.Groups {
		for _, n := range g.Notify {
			look(n.At, n.Command, n.User)
		}
	}
	for _, s := range t.file.Scripts {
		look(s.At, s.Command.V, s.User)
	}
}

// servers complains of what a virtual_server must not say, or has to.
func (t *tester) servers() {
	for _, v := range t.file.VirtualServers {
		protocol := slices.IndexFunc(v.Options, func(o Option) bool { return o.Word == "protocol" })
		switch {
		case v.Address.IsValid() && protocol < 0:
			t.say(v.At, Fault, "Virtual server [%v]: no protocol set - defaulting to UDP", v.Address)
		case !v.Address.IsValid() && v.Group == "" && protocol >= 0:
			t.say(v.Options[protocol].At, Fault, "Virtual server fwmark %d: protocol ignored for fwmark", v.Mark)
		}
	}
}
