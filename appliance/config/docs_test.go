package config

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const (
	referenceFile = "../../etc/understudy.toml"
	docsFile      = "../../docs/configuration.md"
)

// same compares configurations, wherever they are from.
var same = cmp.Options{
	cmpopts.IgnoreFields(Config{}, "File", "Spoken"),
	cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{}),
}

func read(t *testing.T, path string) string {
	t.Helper()
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(src)
}

func parse(t *testing.T, name, src string) *Config {
	t.Helper()
	c, err := Parse(name, []byte(src), Options{ReadSecret: fakeSecrets})
	if err != nil {
		t.Fatalf("refused:\n%v", err)
	}
	assertUsable(t, c)
	return c
}

// TestReferenceStatesDefaults: without the lines that are said to be defaults,
// the reference configuration means the same.
func TestReferenceStatesDefaults(t *testing.T) {
	src := read(t, referenceFile)
	full := parse(t, referenceFile, src)
	stated := regexp.MustCompile(`(?m)^\w+ = .*  # default$`)
	n := len(stated.FindAllString(src, -1))
	if n < 10 {
		t.Errorf("only %d defaults stated", n)
	}
	if n != strings.Count(src, " # default\n") {
		t.Error("a line ends in # default but is no key with a value")
	}
	short := parse(t, referenceFile, stated.ReplaceAllString(src, ""))
	if diff := cmp.Diff(full, short, same); diff != "" {
		t.Errorf("-as written +without the defaults:\n%s", diff)
	}
}

// TestReferenceIsComplete: every key is in the reference, as a key.
func TestReferenceIsComplete(t *testing.T) {
	src := read(t, referenceFile)
	var tree map[string]any
	if _, err := toml.Decode(src, &tree); err != nil {
		t.Fatal(err)
	}
	position := regexp.MustCompile(`\[\d+\]`)
	written := map[string]bool{}
	walkTree("", tree, func(path string, _ any) { written[position.ReplaceAllString(path, "")] = true })
	walkKeys(reflect.TypeFor[rawFile](), "", func(k rawKey) {
		// One that only another mode has is there as an example.
		leaf := k.path[strings.LastIndexByte(k.path, '.')+1:]
		example := k.path == "sessions.mirror" && regexp.MustCompile(`(?m)^#   `+leaf+` = `).MatchString(src)
		if !written[k.path] && !example {
			t.Errorf("%s is not in %s", k.path, referenceFile)
		}
	})
}

// TestDocumentation compares the tables of docs/configuration.md with the raw
// structs and with Default.
func TestDocumentation(t *testing.T) {
	d := Default()
	defaults := map[string]any{
		"forwarding": d.Forwarding, "router.priority": d.Router.Priority, "router.advertise": d.Router.Advertise, "router.mac": d.Router.MAC,
		"router.preempt": d.Router.Preempt, "router.preempt_delay": d.Router.PreemptDelay, "router.settle": d.Router.Settle, "router.accept": d.Router.Accept,
		"router.link_local": d.Router.LinkLocal, "router.down_adverts": d.Router.DownAdverts, "router.assert": d.Router.Assert,
		"router.announce.repeat": d.Pace.Repeat, "router.announce.again": d.Pace.Again, "router.announce.refresh": d.Pace.Refresh,
		"router.announce.refresh_repeat": d.Pace.RefreshRepeat, "router.announce.gap": d.Pace.Gap,
		"router.ra.interval": plain(d.RA.Interval), "router.ra.preference": d.RA.Preference, "router.ra.autonomous": d.RA.Autonomous,
		"router.ra.onlink": d.RA.OnLink, "router.ra.valid": plain(d.RA.Valid), "router.ra.preferred": plain(d.RA.Preferred),
		"router.ra.managed": d.RA.Managed, "router.ra.other": d.RA.Other, "router.ra.hop_limit": d.RA.HopLimit,
		"router.checksum": d.Router.Checksum, "router.version": d.Router.Version, "router.auth_type": d.Router.AuthType, "nat.unknown": d.Mappings.Unknown, "nat.move_memory": d.Mappings.Moves.Memory, "nat.move_connection": d.Mappings.Moves.Connection, "nat.move_age": d.Mappings.Moves.Age, "nat.source.ports": d.Source.Ports,
		"nat.source.onlink": d.Source.Onlink, "nat.static.onlink": d.Static.Onlink, "nat.forward.onlink": d.Forward.Onlink,
		"nat.entry.steer": d.Entry.Steer, "nat.entry.on_failure": d.Entry.OnFailure, "nat.entry.servers.weight": d.Server.Weight, "nat.entry.forward": "nat", "nat.entry.tunnel": "ipip", "nat.entry.move": d.Entry.How,
		"router.notify.when": d.Notify.When, "router.notify.arguments": d.Notify.Arguments,
		"group.notify.when": d.Notify.When, "group.notify.arguments": d.Notify.Arguments,
		"router.routes.type": d.Route.Kind, "router.routes.table": d.Route.Table, "router.routes.metric": d.Route.Metric,
		"router.routes.onlink": d.Hop.Onlink, "router.routes.nexthops.onlink": d.Hop.Onlink, "router.routes.nexthops.weight": d.Hop.Weight,
		"static.routes.type": d.Route.Kind, "static.routes.table": d.Route.Table, "static.routes.metric": d.Route.Metric,
		"static.routes.onlink": d.Hop.Onlink, "static.routes.nexthops.onlink": d.Hop.Onlink, "static.routes.nexthops.weight": d.Hop.Weight,
		"check.every": d.Check.Every, "check.rise": d.Check.Rise, "check.fall": d.Check.Fall, "check.min": d.Check.Min, "check.table": d.Check.Table,
		"check.method": d.Check.Method, "check.verify": d.Check.Verify, "check.query": d.Check.Query, "check.type": d.Check.Type, "check.rcode": d.Check.RCode,
		"check.helo": d.Check.Helo, "check.damp.suppress": d.Check.Damp.Suppress, "check.damp.reuse": d.Check.Damp.Reuse, "watchdog_timeout": d.Watchdog.Timeout, "startup_delay": "0s", "delay_after_boot": "0s", "link.down_delay": "0s", "link.up_delay": "0s",
		"bond.min_links": d.Bond.MinLinks, "bond.fail_on": d.Bond.FailOn,
		"guard": d.Guard.Mode, "guard_limit": d.Guard.Limit, "sessions.mode": d.Sessions.Mode, "sessions.install": d.Sessions.Install,
		"sessions.journal": d.Sessions.Journal, "sessions.journal_dir": d.Sessions.JournalDir,
		"sessions.filter": d.Sessions.Filter, "sessions.routed": d.Sessions.Routed, "sessions.class.replicate": d.Class.Replicate, "sessions.class.min_age": "0s",
		"web.listen": d.Web.Listen, "pipe.repeat": false, "mail.timeout": d.Mail.Timeout, "mail.faults": d.Mail.Faults, "router.tell_priority": d.Router.TellPriority,
		"router.track_own": d.Router.TrackOwn, "router.unicast_ttl": int(d.Router.UnicastTTL),
	}
	rows := map[string][]string{}
	for line := range strings.Lines(read(t, docsFile)) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		var cells []string
		for c := range strings.SplitSeq(strings.Trim(line, "|\n"), "|") {
			cells = append(cells, strings.TrimSpace(c))
		}
		key := strings.Trim(cells[0], "`")
		if rows[key] != nil {
			t.Errorf("%s is there twice", key)
		}
		rows[key] = cells[1:]
	}
	walkKeys(reflect.TypeFor[rawFile](), "", func(k rawKey) {
		if !k.leaf {
			return
		}
		row := rows[k.path]
		delete(rows, k.path)
		switch {
		case len(row) != 3:
			t.Errorf("%s: want type, default and meaning, got %q", k.path, row)
		default:
			v, has := defaults[k.path]
			want := fmt.Sprintf("`%v`", v)
			if has && row[1] != want || !has && strings.Contains(row[1], "`") {
				t.Errorf("%s: want default %s, got %s", k.path, want, row[1])
			}
		}
	})
	for key := range rows {
		t.Errorf("%s is documented, but there is no such key", key)
	}
}

// TestExamples: the pair of examples fits together.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../etc/examples/*.toml")
	if err != nil || len(files) != 2 {
		t.Fatalf("%v (%v)", files, err)
	}
	one, two := parse(t, files[0], read(t, files[0])), parse(t, files[1], read(t, files[1]))
	if one.Hash() != two.Hash() {
		t.Errorf("they do not agree:\n%s", cmp.Diff(one.Agreement(), two.Agreement()))
	}
	for _, pair := range [][2]*Config{{one, two}, {two, one}} {
		want := Peer{Name: pair[1].Node, Addresses: pair[1].Sessions.Listen}
		if got := pair[0].Sessions.Peers[0]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: want peer %v, got %v", pair[0].Node, want, got)
		}
	}
	for i := range one.Routers {
		if one.Routers[i].Priority <= two.Routers[i].Priority {
			t.Errorf("gw1 is not preferred on %s", one.Routers[i].Name)
		}
	}
}

// TestSysctls: the file for systemd-sysctl sets what sessions depend on.
func TestSysctls(t *testing.T) {
	set := map[string]string{}
	for line := range strings.Lines(read(t, "../../etc/sysctl.d/60-understudy.conf")) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			t.Errorf("no setting: %q", line)
		}
		set[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	if want := map[string]string{"net.netfilter.nf_conntrack_events": "1"}; !reflect.DeepEqual(want, set) {
		t.Errorf("want %v, got %v", want, set)
	}
}
