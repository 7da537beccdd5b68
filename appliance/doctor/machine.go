package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/config"
)

// privileges: what the process that runs this may do, the node will be able to do as well.
func (x *exam) privileges(context.Context) (out []Finding) {
	var data [2]unix.CapUserData
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&head, &data[0]); err != nil {
		return []Finding{{Severity: Unknown, Text: "the capabilities of this process cannot be read: " + err.Error()}}
	}
	have := uint64(data[0].Effective) | uint64(data[1].Effective)<<32
	for _, c := range []struct {
		name string
		bit  uint
	}{{"CAP_NET_ADMIN", unix.CAP_NET_ADMIN}, {"CAP_NET_RAW", unix.CAP_NET_RAW}} {
		if have&(1<<c.bit) == 0 {
			out = append(out, Finding{Severity: Error, Text: "no " + c.name + ": a gateway cannot work without, and neither can some of these checks",
				Fix: "run it as root, or by the systemd unit; in a container: --cap-add " + strings.TrimPrefix(c.name, "CAP_")})
		}
	}
	var rt unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_RTPRIO, &rt); have&(1<<unix.CAP_SYS_NICE) == 0 && (err != nil || rt.Cur == 0) {
		out = append(out, Finding{Severity: Warning, Text: "the real-time class is not allowed: on a busy machine adverts will be late, and a peer may take over for it",
			Fix: "CAP_SYS_NICE, or LimitRTPRIO=40 in the unit"})
	}
	if len(out) == 0 {
		out = append(out, Finding{Severity: OK, Text: "this process may do all that a gateway has to"})
	}
	return out
}

// oldest is the first kernel that has all that is used.
var oldest = [2]int{5, 18}

// kernel tries what is needed of it, in a network namespace that is gone afterwards.
func (x *exam) kernel(context.Context) (out []Finding) {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err == nil {
		release := unix.ByteSliceToString(uts.Release[:])
		var v [2]int
		fmt.Sscanf(release, "%d.%d", &v[0], &v[1])
		f := Finding{Severity: OK, Text: "Linux " + release}
		if slices.Compare(v[:], oldest[:]) < 0 {
			f.Severity, f.Fix = Error, fmt.Sprintf("a kernel of version %d.%d or newer (Debian 12 has one)", oldest[0], oldest[1])
			f.Text += " is too old"
		}
		out = append(out, f)
	}
	trials := []trial{{"nftables with translation and connection tracking", "nf_tables, nft_chain_nat, nft_ct", tryTables}}
	if x.cfg != nil && slices.ContainsFunc(x.cfg.Routers, func(r config.Router) bool { return r.MAC == config.MACVirtual }) {
		trials = append(trials, trial{"macvlan devices, for mac = \"virtual\"", "macvlan", tryMacvlan})
	}
	if x.cfg != nil && x.cfg.Sessions != nil {
		trials = append(trials, trial{"the connection table by netlink, for [sessions]", "nf_conntrack_netlink", tryConntrack})
	}
	done := make(chan []Finding)
	go func() {
		// The thread is in another namespace from now on, and ends with this goroutine.
		runtime.LockOSThread()
		var tried []Finding
		defer func() { done <- tried }()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			tried = append(tried, Finding{Severity: Unknown, Text: "the features of the kernel cannot be tried: " + err.Error(), Fix: "run it as root, outside of a container"})
			return
		}
		tried = append(tried, try(trials)...)
	}()
	return append(out, <-done...)
}

// trial is a feature of the kernel, the modules that have it, and what uses it.
type trial struct {
	what, module string
	do           func() error
}

// try tries features.
func try(trials []trial) (out []Finding) {
	for _, t := range trials {
		f := Finding{Severity: OK, Text: t.what}
		switch err := t.do(); {
		case errors.Is(err, errNoTrial):
			f = Finding{Severity: Unknown, Text: t.what + ": cannot be tried", Evidence: []string{err.Error()}}
		case err != nil:
			f = Finding{Severity: Error, Text: "this kernel lacks " + t.what, Evidence: []string{err.Error()},
				Fix: "modprobe " + strings.Split(t.module, ",")[0] + " (all: " + t.module + "), and etc/modules-load.d/understudy.conf for the next boot"}
		}
		out = append(out, f)
	}
	return out
}

func tryTables() error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	t := c.AddTable(&nftables.Table{Name: "doctor", Family: nftables.TableFamilyINet})
	c.AddChain(&nftables.Chain{Name: "pre", Table: t, Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest})
	c.AddChain(&nftables.Chain{Name: "raw", Table: t, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRaw})
	if err := c.AddSet(&nftables.Set{Table: t, Name: "gate", KeyType: nftables.TypeIPAddr}, nil); err != nil {
		return err
	}
	return c.Flush()
}

// errNoTrial: it could not be tried.
var errNoTrial = errors.New("there is no device to try it on")

func tryMacvlan() error {
	err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "parent"}, PeerName: "peer"})
	if err != nil {
		err = netlink.LinkAdd(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: "parent"}})
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errNoTrial, err)
	}
	parent, err := netlink.LinkByName("parent")
	if err != nil {
		return fmt.Errorf("%w: %w", errNoTrial, err)
	}
	return netlink.LinkAdd(&netlink.Macvlan{LinkAttrs: netlink.LinkAttrs{Name: "virtual", ParentIndex: parent.Attrs().Index}, Mode: netlink.MACVLAN_MODE_BRIDGE})
}

func tryConntrack() error {
	_, err := netlink.ConntrackTableList(netlink.ConntrackTable, netlink.FAMILY_V4)
	return err
}

// process is one that runs in our network namespace.
type process struct {
	pid  int
	name string
}

func processes() (out []process) {
	ours, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return nil
	}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		comm, err := os.ReadFile(filepath.Join(d, "comm"))
		if err != nil {
			continue
		}
		if ns, err := os.Readlink(filepath.Join(d, "ns/net")); err == nil && ns == ours {
			pid, _ := strconv.Atoi(filepath.Base(d))
			out = append(out, process{pid, strings.TrimSpace(string(comm))})
		}
	}
	return out
}

// others: programs that want the same of the kernel.
func (x *exam) others(context.Context) (out []Finding) {
	all := processes()
	running := func(name string) *process {
		if i := slices.IndexFunc(all, func(p process) bool { return p.name == name }); i >= 0 {
			return &all[i]
		}
		return nil
	}
	for _, o := range []struct{ name, harm, fix string }{
		{"keepalived", "it may speak for the same virtual routers, and two on one machine do not hear each other", "systemctl disable --now keepalived (understudy import reads its configuration)"},
		{"conntrackd", "it writes into the same connection table", "systemctl disable --now conntrackd ([sessions] does what it did)"},
		{"vrrpd", "FRR's VRRP may speak for the same virtual routers", "take vrrp out of FRR's configuration, or see that the VRIDs differ"},
	} {
		if p := running(o.name); p != nil {
			out = append(out, Finding{Severity: Warning, Subject: o.name, Text: fmt.Sprintf("%s runs here: %s", o.name, o.harm), Evidence: []string{fmt.Sprintf("process %d", p.pid)}, Fix: o.fix})
		}
	}
	if p := running("systemd-network"); p != nil && x.cfg != nil {
		names, _ := x.interfaces()
		for _, name := range names {
			b, err := os.ReadFile(fmt.Sprintf("/run/systemd/netif/links/%d", indexOf(name)))
			if err == nil && strings.Contains(string(b), "ADMIN_STATE=configured") {
				out = append(out, Finding{Severity: Info, Subject: name, Text: "systemd-networkd manages this interface, and removes addresses, routes and rules of others when it is restarted; they are put back, as the alarm log shows",
					Fix: "KeepConfiguration=yes in its .network file; ManageForeignRoutes=no and ManageForeignRoutingPolicyRules=no in networkd.conf"})
			}
		}
	}
	if len(out) == 0 {
		out = append(out, Finding{Severity: OK, Text: "no program runs here that would get in the way"})
	}
	return out
}

// stepWatch is how long the clock is watched for steps, and stepBound what is one.
const (
	stepWatch = 300 * time.Millisecond
	stepBound = 20 * time.Millisecond
)

// clock: the election does without it, but logs, certificates of checks and heartbeats of
// servers do not.
func (x *exam) clock(ctx context.Context) (out []Finding) {
	kept, err := x.kept()
	switch {
	case err != nil:
		out = append(out, Finding{Severity: Unknown, Text: "the clock's state cannot be read: " + err.Error()})
	case !kept:
		out = append(out, Finding{Severity: Warning, Text: "nothing keeps the clock right: the logs of two nodes cannot be compared, and pushed heartbeats of servers are refused when it is off by too much. The election does not depend on it",
			Evidence: []string{"adjtimex: not synchronised"}, Fix: "run chrony or systemd-timesyncd"})
	default:
		out = append(out, Finding{Severity: OK, Text: "the clock is kept right"})
	}
	before := x.ahead()
	select {
	case <-ctx.Done():
	case <-time.After(stepWatch):
	}
	if d := x.ahead() - before; d.Abs() > stepBound {
		out = append(out, Finding{Severity: Warning, Text: "the clock jumps", Evidence: []string{fmt.Sprintf("by %v within %v", d, stepWatch)},
			Fix: "let chrony slew it (makestep only at the start), and see that no two programs set it"})
	}
	return out
}

// keptRight tells whether something keeps the clock right.
func keptRight() (bool, error) {
	var tx unix.Timex
	state, err := unix.Adjtimex(&tx)
	return state != unix.TIME_ERROR && tx.Status&unix.STA_UNSYNC == 0, err
}

// aheadOfUptime is how much more the clock shows than the time since the boot.
func aheadOfUptime() time.Duration {
	var wall, up unix.Timespec
	_, _ = unix.ClockGettime(unix.CLOCK_REALTIME, &wall), unix.ClockGettime(unix.CLOCK_BOOTTIME, &up)
	return time.Duration(wall.Nano() - up.Nano())
}

// conntrack: the size of the table of connections.
func (x *exam) conntrack(context.Context) (out []Finding) {
	read := func(name string) (int, error) {
		b, err := os.ReadFile(filepath.Join(x.proc, "sys/net/netfilter", name))
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(strings.TrimSpace(string(b)))
	}
	limit, err := read("nf_conntrack_max")
	if err != nil {
		if x.cfg != nil && (x.cfg.Mappings != nil || x.cfg.Sessions != nil) {
			return []Finding{{Severity: Warning, Text: "connections are not tracked: the module is not loaded yet", Evidence: []string{err.Error()}, Fix: "modprobe nf_conntrack; etc/modules-load.d/understudy.conf for the next boot"}}
		}
		return []Finding{{Severity: Info, Text: "connections are not tracked, and need not be"}}
	}
	count, err1 := read("nf_conntrack_count")
	buckets, err2 := read("nf_conntrack_buckets")
	if err := errors.Join(err1, err2); err != nil {
		return []Finding{{Severity: Unknown, Text: "the table of connections cannot be read: " + err.Error()}}
	}
	evidence := []string{fmt.Sprintf("nf_conntrack_count %d, nf_conntrack_max %d, nf_conntrack_buckets %d", count, limit, buckets)}
	switch {
	case count*10 >= limit*9:
		out = append(out, Finding{Severity: Error, Text: "the table of connections is nearly full: new connections will be refused", Evidence: evidence,
			Fix: fmt.Sprintf("sysctl -w net.netfilter.nf_conntrack_max=%d on every node (a file in /etc/sysctl.d)", 4*limit)})
	case count*10 >= limit*7:
		out = append(out, Finding{Severity: Warning, Text: "the table of connections is more than 70 % full", Evidence: evidence,
			Fix: fmt.Sprintf("sysctl -w net.netfilter.nf_conntrack_max=%d on every node", 2*limit)})
	}
	if buckets > 0 && limit/buckets > 8 {
		out = append(out, Finding{Severity: Warning, Text: "the table of connections has few buckets for its size: when it fills, each packet searches long chains", Evidence: evidence,
			Fix: fmt.Sprintf("sysctl -w net.netfilter.nf_conntrack_buckets=%d, in the first network namespace", limit)})
	}
	if x.Status != nil && x.Status.Sessions != nil {
		for _, p := range x.Status.Sessions.Peers {
			if p.TableMax > uint64(limit) {
				out = append(out, Finding{Severity: Warning, Subject: p.Name, Text: "the table of connections is smaller here than at the peer, and cannot hold all that it may have", Evidence: append(evidence, fmt.Sprintf("at %s: %d", p.Name, p.TableMax)),
					Fix: fmt.Sprintf("sysctl -w net.netfilter.nf_conntrack_max=%d here", p.TableMax)})
			}
		}
	}
	if len(out) == 0 {
		out = append(out, Finding{Severity: OK, Text: "the table of connections has room", Evidence: evidence})
	}
	return out
}

// node: what a node that runs here says of itself.
func (x *exam) node(context.Context) (out []Finding) {
	if x.Status == nil {
		return []Finding{{Severity: Info, Text: "no node answers here: what it would say of itself is missing"}}
	}
	for _, a := range x.Status.Alarms {
		out = append(out, Finding{Severity: Warning, Subject: a.Name, Text: a.Detail, Evidence: []string{"alarm since " + a.Since.Local().Format(time.DateTime)}, Fix: "docs/troubleshooting.md#" + a.Name})
	}
	if len(out) == 0 {
		out = append(out, Finding{Severity: OK, Text: fmt.Sprintf("the node runs (version %s) and has no alarm", x.Status.Version)})
	}
	return out
}
