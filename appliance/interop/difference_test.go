package interop

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// difference is what our kernel has otherwise than keepalived's, or what we say
// otherwise, on purpose. docs/keepalived.md has the list.
type difference struct {
	what string // in the documentation; several of one kind have the same
	why  string
	// theirs are lines of keepalived's; becomes is what we have in place of them, with
	// the parts of the line as $1; "": nothing.
	theirs  string
	becomes string
	// extra are lines that only we have.
	extra string
	rows  []string // where it may be; nil: anywhere
	// open: it is only not built yet. It may be gone before its line is.
	open bool
	// seldom: it is there or not, by what comes first.
	seldom bool
	// servers: only where there are virtual servers, in the guest.
	servers bool
}

var differences = []difference{
	{what: "Routes and rules carry the protocol 117", why: "by it they are known as ours after a crash",
		theirs: `^(. (?:route|rule) .*) proto 18$`, becomes: "$1 proto 117"},
	{what: "A route to a network without a gateway has the scope `link`", why: "as `ip route` makes it; keepalived says `global`",
		theirs: `^(. route \S+ table \d+ type 1 scope )universe( dev \S+ proto 117)$`, becomes: "${1}link$2"},
	{what: "An address in a network that its interface has an address of already is added alone, as /32 or /128", why: "it can be removed without the others of the network, and does not become the address that packets are sent from",
		theirs: `^\+ address (\S+\.\S+)/\d+ dev (\S+) scope (\w+)(?: secondary)?( brd \S+)?$`, becomes: "+ address $1/32 dev $2 scope $3$4"},
	{what: "IPv6 addresses that move are not preferred", why: "nothing is sent from one unless it is asked for; keepalived does so with those of /128 only",
		theirs: `^(\+ address \S+:\S+ dev \S+ scope \w+ nodad)$`, becomes: "$1 deprecated preferred 0"},
	{what: "An IPv6 address in a network that its interface has already is added alone", why: "as in IPv4",
		theirs: `^\+ address (\S+:\S*)/\d+ dev (\S+) (scope link nodad deprecated preferred 0)$`, becomes: "+ address $1/128 dev $2 $3", rows: []string{"neutron.conf"}},
	{what: "There is a table of nftables, `inet understudy`, and none called `keepalived`", why: "its gate keeps what belongs to the other node from being answered here; what `no_accept`, strict mode and virtual MACs need is in it too",
		theirs: `^\+ nftables: table ip6? keepalived$`, extra: `^\+ nftables: table inet understudy$`},
	{what: "Virtual servers are in the table `inet understudy_entries`", why: "where there are any by NAT; nothing of theirs is in IPVS", servers: true,
		extra: `^\+ nftables: table inet understudy_entries$`},
	{what: "`ping_group_range` is left alone where there is a `PING_CHECK`", why: "pings go by a raw socket", servers: true,
		theirs: `^[-+] sysctl ipv4/ping_group_range = \d+ \d+$`, rows: []string{"PING_CHECK"}},
	{what: "`promote_secondaries` and `arp_announce` are set on the interfaces of instances", why: "without the first, removing an address removes others of its network; without the second, the kernel asks for neighbours in the name of an address that has just moved",
		extra: `^[-+] sysctl ipv4/conf/\S+/(?:promote_secondaries|arp_announce) = \d$`},
	{what: "The device of a virtual MAC has a name of ours, `us4-51-eth0`", why: "it is known as ours by its name",
		theirs: `^\+ link vmac\S+: name (?:vrrp\S+|eth1v10v4)$`, extra: `^\+ link vmac(\d)-(\d+): name us\d-\d+-\S+$`},
	{what: "It is in bridge mode", why: "in private mode two nodes with one MAC cannot hear each other through their own devices",
		theirs: `^(\+ link vmac\S+: mode) private$`, becomes: "$1 bridge"},
	{what: "It is down while the addresses are not here", why: "a device that is up takes part: it forwards, and answers",
		theirs: `^(\+ link vmac\S+ is) up$`, becomes: "$1 down"},
	{what: "It does not take packets from the node's own addresses (`accept_local`), asks for neighbours as its parent does (`arp_announce`), and has no IPv6 in a virtual router of IPv4", why: "adverts of a rival are read before the kernel looks at their source",
		theirs: `^\+ sysctl ipv[46]/conf/vmac4-\d+/(?:accept_local = 1|arp_announce = 0|addr_gen_mode = 1)$`,
		extra:  `^\+ sysctl ipv[46]/conf/vmac4-\d+/(?:accept_local = 0|arp_announce = 2|addr_gen_mode = 0)$`},
	{what: "A device of IPv6 does not look whether somebody else has its addresses (`accept_dad`), takes no router advertisements, and answers no ARP", why: "a takeover cannot wait a second; a router does not learn from others; the addresses of IPv4 are not its own",
		theirs: `^\+ sysctl ipv[46]/conf/vmac6-\d+/(?:accept_dad|accept_ra|arp_ignore) = [01]$`,
		extra:  `^\+ sysctl ipv[46]/conf/vmac6-\d+/(?:accept_dad = 0|accept_ra = 0|arp_ignore = 8)$`},
	{what: "`arp_filter` of its parent is left alone, and `arp_ignore` is as it was after the end", why: "`arp_ignore` alone does what both are for; keepalived leaves both as they are not",
		theirs: `^[-+] sysctl ipv4/conf/(?:eth0|eth1)/arp_(?:filter|ignore) = [01]$`},
	{what: "The link-local address of the parent is not on the device of IPv6", why: "adverts come from it all the same",
		theirs: `^\+ address fe80::1a:b0ff:\S+ dev vmac6-\d+ scope link nodad deprecated preferred 0$`},
	{what: "`\\\\` in the command of a script is `\\`", why: "keepalived takes backslashes away twice",
		theirs: `^(call .*\|back)(slash\|.*)$`, becomes: `$1\$2`, rows: []string{"torture.conf"}},
	{what: "A reload does not end the program that reads a pipe, and does not make the pipe anew", why: "nothing is lost between two readers",
		theirs: `^call /run/spy/keepalived-fifo.py #2: .*`, rows: []string{"vyos.conf"}},
	{what: "A static address with `peer` is gone at the end", why: "keepalived leaves it",
		theirs: `^\+ address 10\.95\.5\.5/32 dev eth1 scope universe peer 10\.95\.6\.6/32$`, extra: `^\+ address 10\.95\.5\.5/32 dev eth1 scope universe peer 10\.95\.6\.6/32$`,
		rows: []string{"static.conf"}},
	{what: "A `nexthop` with `encap` wraps its packets, and so does `encap ip6` with `src` and `dst`", why: "keepalived leaves the first out, and has no room for the second",
		extra: `^\+ route (?:10\.97\.26\.0/24 of table 254: a nexthop wraps packets into \w+|2001:db8:9732::/48 of table 254 wraps packets(?:, kind 0400| into \w+))$`, rows: []string{"rare.conf"}},
	{what: "An IPv4 address with `preferred_lft 0` is there, and not preferred", why: "keepalived asks for a lifetime that the kernel refuses or takes for ever",
		theirs: `^\+ address 10.61.0.3/\d+ .*`, extra: `^\+ address 10.61.0.3/32 dev vmac4-61 scope universe deprecated noprefixroute$`, rows: []string{"everything.conf"}},
	{what: "`fifo_write_vrrp_states_on_reload` has all states said again", why: "keepalived says nothing of an instance that is master",
		theirs: `^(pipe INSTANCE (?:one|two|uni)) #3(: INSTANCE "\w+" STOP \d+)$`, becomes: "$1 #4$2",
		extra: `^pipe INSTANCE (three #6|(one|two|uni) #3): INSTANCE "\w+" MASTER \d+$`, rows: []string{"everything.conf"}},
	{what: "`fifo_write_vrrp_states_on_reload` has all states said again", why: "keepalived says nothing of an instance that is master",
		theirs: `^(pipe INSTANCE three) #6(: INSTANCE "three" STOP 100)$`, becomes: "$1 #7$2", rows: []string{"everything.conf"}},
	{what: "Programs that are told of states are told more, in their environment (`UNDERSTUDY_STATE`, …)", why: "beside what keepalived hands down, which is all of its own",
		extra: `^environment(?: at times)? of \S+: UNDERSTUDY_\w+=`},
	{what: "`IFS` is not handed down to any program", why: "it changes what a shell makes of a line; keepalived keeps it from some programs only",
		theirs: `^environment of \S+: IFS=:$`},
	{what: "A script that fails from the beginning counts after `fall` failures", why: "as it does later; keepalived counts the first one, and says `MASTER` with less",
		theirs: `^(pipe INSTANCE VI_1 #2: INSTANCE "VI_1" MASTER) 92$`, becomes: "$1 96", seldom: true, rows: []string{"vrrp.localcheck"}},
	{what: "The priority in the first word of an instance may count what its scripts have found", why: "they run while the node comes up; keepalived runs them after that word",
		theirs: `^(?:pipe INSTANCE \w+ #1: INSTANCE "\w+" BACKUP|call \S+ INSTANCE \w+ #1: .*\|BACKUP\|)\s*\d+$`, seldom: true,
		extra: `^(?:pipe INSTANCE \w+ #1: INSTANCE "\w+" BACKUP|call \S+ INSTANCE \w+ #1: .*\|BACKUP\|)\s*\d+$`,
		rows:  []string{"vrrp.localcheck", "kubernetes.conf", "openshift.conf", "everything.conf"}},
}

var update = flag.Bool("update", false, "write the list of differences in the documentation anew")

// TestDocsDifferences: docs/keepalived.md has the differences that the suite allows, all
// of them and no others.
func TestDocsDifferences(t *testing.T) {
	const file, from, to = "../../docs/keepalived.md", "<!-- differences -->\n", "<!-- end of differences -->\n"
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(src), from)
	have, tail, ok2 := strings.Cut(rest, to)
	if !ok || !ok2 {
		t.Fatal("there is no place for the list")
	}
	var b strings.Builder
	for i, d := range differences {
		if !d.open && (i == 0 || differences[i-1].what != d.what) {
			fmt.Fprintf(&b, "- %s: %s.\n", d.what, d.why)
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(head+from+b.String()+to+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		have = b.String()
	}
	if diff := cmp.Diff(b.String(), have); diff != "" {
		t.Errorf("write it anew with -update: -want +have:\n%s", diff)
	}
}

// judge compares what keepalived has and said with ours, and notes which differences
// there were.
type judge struct {
	mu   sync.Mutex
	used map[string]bool
	rows []string // that were lived to the end
}

func (j *judge) done(row string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.rows = append(j.rows, row)
}

// compare returns what is not accounted for: lines of theirs alone and of ours alone.
// Differences count as used when nothing is left, or always if so asked.
func (j *judge) compare(row string, theirs, ours []string) (missing, more []string) {
	var used []string
	mine := map[string]bool{}
	for _, l := range ours {
		mine[l] = true
	}
	expected := map[string]bool{}
	for _, l := range theirs {
		if !mine[l] {
			var name string
			if l, name = rewrite(row, l); name != "" {
				used = append(used, name)
			}
		}
		if l != "" {
			expected[l] = true
		}
	}
	for l := range expected {
		if !mine[l] {
			missing = append(missing, l)
		}
	}
	for l := range mine {
		if expected[l] {
			continue
		}
		if i := slices.IndexFunc(differences, func(d difference) bool {
			return d.extra != "" && d.in(row) && pattern(d.extra).MatchString(l)
		}); i >= 0 {
			used = append(used, differences[i].what)
			continue
		}
		more = append(more, l)
	}
	slices.Sort(missing)
	slices.Sort(more)
	if len(missing)+len(more) == 0 {
		j.mu.Lock()
		defer j.mu.Unlock()
		if j.used == nil {
			j.used = map[string]bool{}
		}
		for _, name := range used {
			j.used[name] = true
		}
	}
	return missing, more
}

func (d difference) in(row string) bool { return d.rows == nil || slices.Contains(d.rows, row) }

// rewrite says what we have in place of a line of theirs, and why.
func rewrite(row, line string) (becomes, name string) {
	for _, d := range differences {
		if d.theirs == "" || !d.in(row) {
			continue
		}
		if p := pattern(d.theirs); p.MatchString(line) {
			line, name = p.ReplaceAllString(line, d.becomes), d.what
			if line == "" {
				break
			}
		}
	}
	return line, name
}

var patterns sync.Map

func pattern(text string) *regexp.Regexp {
	if p, ok := patterns.Load(text); ok {
		return p.(*regexp.Regexp)
	}
	p := regexp.MustCompile(text)
	patterns.Store(text, p)
	return p
}

// indented is a list of lines for a message.
func indented(lines []string) string { return "\t" + strings.Join(lines, "\n\t") }
