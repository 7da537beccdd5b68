package keepalived

import (
	"fmt"
	"strings"
	"testing"
)

// one is an instance by its name, interface and VRID.
func one(name, iface string, vrid int, more ...string) string {
	return fmt.Sprintf("vrrp_instance %s {\n interface %s\n virtual_router_id %d\n virtual_ipaddress {\n  10.0.%d.1/24\n }\n %s\n}\n", name, iface, vrid, vrid, strings.Join(more, "\n "))
}

func sync(name string, members ...string) string {
	return "vrrp_sync_group " + name + " {\n group {\n  " + strings.Join(members, "\n  ") + "\n }\n}\n"
}

// What is the same on the wire is the same, whatever it is called.
func TestNamesStay(t *testing.T) {
	unicast := "unicast_src_ip 10.0.0.2\n unicast_peer {\n  10.0.0.3\n }"
	for _, tt := range []struct {
		name, before, now string
		want              string // NAME in the file=name here, of instances; then of groups
	}{
		{"nothing changes", one("a", "eth0", 1), one("a", "eth0", 1), "a=a"},
		{"renamed", one("a", "eth0", 1), one("b", "eth0", 1), "b=a"},
		{"two change their names", one("a", "eth0", 1) + one("b", "eth0", 2), one("b", "eth0", 1) + one("a", "eth0", 2), "b=a a=b"},
		{"a new one takes a name that is in use", one("a", "eth0", 1), one("b", "eth0", 1) + one("a", "eth0", 2), "b=a a=a-2"},
		{"another VRID", one("a", "eth0", 1), one("b", "eth0", 2), "b=b"},
		{"another interface", one("a", "eth0", 1), one("b", "eth1", 1), "b=b"},
		{"a virtual MAC", one("a", "eth0", 1), one("b", "eth0", 1, "use_vmac"), "b=b"},
		{"unicast", one("a", "eth0", 1), one("b", "eth0", 1, unicast), "b=b"},
		{"another source", one("a", "eth0", 1, unicast), one("b", "eth0", 1, strings.Replace(unicast, "0.2", "0.4", 1)), "b=b"},
		{"the same source", one("a", "eth0", 1, unicast), one("b", "eth0", 1, unicast), "b=a"},
		{"priority and addresses", one("a", "eth0", 1), one("b", "eth0", 1, "priority 7"), "b=a"},
		{"router_id", "global_defs {\n router_id one\n}\n" + one("a", "eth0", 1), "global_defs {\n router_id two\n}\n" + one("a", "eth0", 1), "node=one a=a"},
		{"a group is renamed", sync("g", "a", "b") + one("a", "eth0", 1) + one("b", "eth0", 2), sync("h", "a", "b") + one("a", "eth0", 1) + one("b", "eth0", 2), "a=a b=b h=g"},
		{"a group comes", one("a", "eth0", 1) + one("b", "eth0", 2), sync("g", "a", "b") + one("a", "eth0", 1) + one("b", "eth0", 2), "a=a b=b g=a"},
		{"a group goes", sync("g", "a", "b") + one("a", "eth0", 1) + one("b", "eth0", 2), one("a", "eth0", 1) + one("b", "eth0", 2), "a=a b=b alone:a=g"},
		{"one moves to a group that was there", sync("g", "a") + sync("h", "b") + one("a", "eth0", 1) + one("b", "eth0", 2),
			sync("g", "b") + one("a", "eth0", 1) + one("b", "eth0", 2), "a=a b=b g=g"},
		{"twice the same on the wire", one("a", "eth0", 1), one("b", "eth0", 1) + one("c", "eth0", 1), "b=a c=c"},
	} {
		f, _ := Parse("k.conf", []byte(tt.before), World{})
		first, _ := Convert(f, Options{}, World{})
		f, _ = Parse("k.conf", []byte(tt.now), World{})
		doc, _ := Convert(f, Options{Before: &first.Names}, World{})
		var got []string
		if f.Global.RouterID.Set {
			got = append(got, "node="+doc.Names.Node)
		}
		for _, in := range f.Instances {
			got = append(got, in.Name+"="+doc.Called["vrrp_instance "+in.Name])
		}
		for _, g := range f.Groups {
			got = append(got, g.Name+"="+doc.Called["vrrp_sync_group "+g.Name])
		}
		for _, in := range f.Instances {
			if own := doc.Called["vrrp_instance "+in.Name]; doc.Called["alone "+own] != "" {
				got = append(got, "alone:"+in.Name+"="+doc.Called["alone "+own])
			}
		}
		if g := strings.Join(got, " "); g != tt.want {
			t.Errorf("%s: %s, want %s\n%s", tt.name, g, tt.want, doc.TOML())
		}
		// And once more: names that were kept are kept.
		again, _ := Convert(f, Options{Before: &doc.Names}, World{})
		if doc.TOML() != again.TOML() {
			t.Errorf("%s: not the same the second time:\n%s\n%s", tt.name, doc.TOML(), again.TOML())
		}
	}
}

// A process is told by its file what it has to know before anything else.
func TestOfProcess(t *testing.T) {
	for _, text := range []string{"net_namespace ns\ninstance i\nuse_pid_dir\n", "global_defs {\n net_namespace ns\n instance i\n use_pid_dir\n}\n"} {
		f, said := Parse("k.conf", []byte(text), World{})
		if g := f.Global; g.Namespace.V != "ns" || g.Instance.V != "i" || !g.PIDDir.V || len(said) > 0 {
			t.Errorf("%q: %+v %v", text, g, said)
		}
	}
}

// Who runs programs: who is named, with the group that is; else who is there for it.
func TestScriptUser(t *testing.T) {
	there := World{User: func(name string) bool { return name == "keepalived_script" }}
	for _, tt := range []struct {
		global, line string
		world        World
		want         string
	}{
		{"", "notify /n", World{}, ""},
		{"", "notify /n", there, "keepalived_script"},
		{"script_user adm", "notify /n", there, "adm"},
		{"script_user adm staff", "notify /n", there, "adm:staff"},
		{"script_user adm", "notify /n nobody", there, "nobody"},
		{"script_user adm", "notify \"/n x\" nobody tty", there, "nobody:tty"},
	} {
		f, _ := Parse("k.conf", []byte("global_defs {\n"+tt.global+"\n}\n"+one("a", "eth0", 1, tt.line)), tt.world)
		if got := f.Instances[0].Notify[0].User; got != tt.want {
			t.Errorf("%s, %s: %q, want %q", tt.global, tt.line, got, tt.want)
		}
	}
}
