package interop

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	conf "understudy/appliance/config/keepalived"
)

// rowID is the config-id of every row.
const rowID = "big"

// corpusRow is a configuration that both programs live by.
type corpusRow struct {
	file string // a sample of keepalived's authors, or one of ours if it ends in .conf
	on   string // "IFACE ADDRESS ADDRESS, IFACE …": the node; "": that of the samples
	// edit is what is replaced in the text, in pairs: to have it sooner, or where a
	// namespace has it.
	edit     []string
	vrrpOnly bool   // its virtual servers need IPVS, which is not here
	cut      string // the interface whose cable is broken; "": the first
	server   bool   // the node is none that forwards

	// Of those with virtual servers, which are lived by in the guest: what real servers
	// speak where, what clients call, and what is appended to the file.
	servers string // "tcp ADDRESS:PORT ADDRESS:PORT, smtp …"; the first address fails before the others
	calls   string // "tcp ADDRESS:PORT, udp …"
	more    string
	marked  string // "ADDRESS MARK": packets to that address have the mark
}

// sampleNode is a node that the samples can run on.
const sampleNode = "eth0 192.168.200.2/24 192.168.100.1/24 192.168.0.2/24, eth1 192.168.201.2/24 192.168.200.3/24, eth2 192.168.202.2/24, eth3 192.168.203.2/24"

var corpus = []corpusRow{
	{file: "vrrp"},
	{file: "vrrp.sync"},
	{file: "vrrp.scripts"},
	{file: "vrrp.localcheck"},
	{file: "vrrp.routes"},
	{file: "vrrp.rules"},
	{file: "vrrp.static_ipaddress"},
	{file: "vrrp.lvs_syncd", vrrpOnly: true, edit: []string{"lvs_sync_daemon_interface eth1", ""}},
	{file: "track_interface", on: sampleNode + ", eth0.1 192.168.204.2/24", cut: "eth0.1"},
	{file: "conditional_conf", edit: []string{"@high net_namespace", "#", "@low net_namespace", "#", "@high", "@big", "advert_int 12", "advert_int 1"}},
	{file: "sample", vrrpOnly: true},
	{file: "SSL_GET", vrrpOnly: true},
	{file: "default", vrrpOnly: true},
	{file: "neutron.conf", on: "ha-4a7c1d20-0f 169.254.192.5/18, qr-81f3a2b4-11, qg-5d0e9c71-22, qr-9c3b7d55-33", edit: []string{"advert_int 2", "advert_int 1"}},
	{file: "amphora.conf", on: "eth1 10.30.0.11/24", edit: []string{"interval 5", "interval 1"}},
	{file: "vyos.conf", on: "eth1 10.40.0.2/24, eth0 203.0.113.2/24"},
	{file: "vyos-servers.conf", on: "eth0 203.0.113.2/24", vrrpOnly: true},
	{file: "kubernetes.conf", on: "ens192 10.60.0.11/24", edit: []string{"interval 3", "interval 1", "interval 2", "interval 1", "fall 10", "fall 2"}, server: true},
	{file: "cloud.conf", on: "eth0 10.70.0.11/24", server: true},
	{file: "firewall.conf", on: "eth1 192.168.0.2/24, eth2 203.0.113.2/24", edit: []string{"advert_int 3", "advert_int 1"}},
	{file: "dual.conf", on: "eth0 10.66.0.2/24", server: true}, // with virtual MACs of both families
	{file: "static.conf", on: "eth0 10.95.0.2/24, eth1 10.95.4.2/24, eth2", cut: "eth2", server: true,
		// And what the kernel refuses: a source that is nobody's address, a gateway in no network, a rule that leads back.
		edit: []string{"10.98.1.0/24 dev eth1 track_group far", "10.98.1.0/24 dev eth1 track_group far\n        10.98.3.0/24 via 10.95.0.253 src 10.95.0.77\n        10.98.4.0/24 via 10.97.0.254 dev eth0",
			"from 10.98.2.0/24 table 100 priority 904", "from 10.98.2.0/24 table 100 priority 904\n        from 10.98.5.0/24 goto 100 priority 905"}},
	{file: "strict.conf", on: "eth0 10.99.0.2/24, eth1 10.99.1.2/24", server: true},
	{file: "rare.conf", on: "eth0 10.97.0.2/24 2001:db8:97::2/64, eth1 10.97.4.2/24", cut: "eth1", server: true},
	{file: "drain.conf", on: "eth0 10.71.0.2/24, eth1, eth2", edit: []string{"/etc/keepalived/", spyDir + "/"}},
	{file: "big.conf", on: "eth0.1 10.80.1.2/24, eth0.2 10.80.2.2/24, eth0.3 10.80.3.2/24, eth0.4 10.80.4.2/24, eth0.5 10.80.5.2/24, " +
		"eth0.6 10.80.6.2/24, eth0.7 10.80.7.2/24, eth0.8 10.80.8.2/24, eth0.9 10.80.9.2/24, eth0.10 10.80.10.2/24, eth0.11 10.80.11.2/24",
		edit: []string{"include big.d/{none,10-*}.conf", "", "includew nowhere/*.conf", ""}}, // without which keepalived does not run
	{file: "openshift.conf", on: "br-ex 192.168.111.20/24", edit: []string{"interval 5", "interval 1", "interval 2", "interval 1", "keepalived_script", "root"}},
	{file: "servers.conf", on: "eth0 203.0.113.2/24, eth1 10.50.0.3/24", vrrpOnly: true},
	{file: "mail.conf", on: "eth0 10.0.0.2/24, eth1 203.0.113.2/24", vrrpOnly: true,
		// At a reload 2.2.7 ends with a startup_script or shutdown_script, and where there is no keepalived_script.
		edit: []string{"startup_script \"/bin/echo begins\"", "", "shutdown_script /bin/true nobody", "", "enable_script_security", "script_user root"}},
	{file: "namespace.conf", on: "eth0 10.71.0.2/24", edit: []string{"net_namespace green", ""}}, // a node is one already
	// The spies are root's; the suite has a pipe of its own; no process that keeps an instance in fault is here. keepalived
	// turns round what is tracked in reverse once more after a reload, until the next run of the script.
	{file: "everything.conf", on: "eth0 10.61.0.2/24, eth1 10.63.0.2/24, eth2, eth3, eth4 10.64.0.2/24", cut: "eth1", vrrpOnly: true, edit: []string{"net_namespace blue", "", "lvs_sync_daemon eth4 uni", "",
		"script_user nobody", "script_user root", "        exact\n    }", "    }", "alive weight 7 reverse", "alive weight 7", "vrrp_notify_fifo /run/vrrp.fifo", "", "vrrp_notify_fifo_script /usr/local/bin/read-fifo", "",
		"lvs_notify_fifo /run/lvs.fifo", "", "lvs_notify_fifo_script /usr/local/bin/read-fifo", ""}},
	// Without what is not closed in it, and lines that go on, for which keepalived 2.2.7 does not run.
	{file: "torture.conf", on: "eth0 10.90.0.250/24 10.91.0.250/24", edit: []string{"vrrp_instance \\\n    VI_1 \\\n{", "vrrp_instance VI_1 {",
		"nonsense 1 {\n        virtual_router_id 9\n    }", "nonsense 1",
		"~SEQx(Y, 0x1e, 1, 0x20) 10.90.${UNDEFINED}.${Y}", "", "includea torture.d/{c,d}.conf", "include torture.d/c.conf",
		"include_check match", "", "include torture.d/e.conf", "", "2001:db8::1\n    }\n", "2001:db8::1\n    }\n}\n"}},
}

// path is where the configuration is.
func (r corpusRow) path(s *scene) string {
	switch {
	case strings.HasSuffix(r.file, ".conf"):
		return filepath.Join(corpusDir, r.file)
	case r.file == "default":
		return filepath.Join(s.packaged("/etc/keepalived"), "keepalived.conf.sample")
	}
	return filepath.Join(s.samples(), "keepalived.conf."+r.file)
}

func (r corpusRow) edited(text string) string { return strings.NewReplacer(r.edit...).Replace(text) }

// instances are the names of what is in the file.
func (r corpusRow) instances(s *scene) (names []string) {
	s.t.Helper()
	src, err := os.ReadFile(r.path(s))
	s.must(err)
	w := conf.Elsewhere()
	w.ID = rowID
	f, _ := conf.Parse(r.path(s), []byte(r.edited(string(src))), w)
	for _, in := range f.Instances {
		names = append(names, in.Name)
	}
	return names
}

// scripts are the names of what the instances and groups of the file track.
func (r corpusRow) scripts(s *scene) (names []string) {
	s.t.Helper()
	src, err := os.ReadFile(r.path(s))
	s.must(err)
	w := conf.Elsewhere()
	w.ID = rowID
	f, _ := conf.Parse(r.path(s), []byte(r.edited(string(src))), w)
	var list []conf.Tracked
	for _, in := range f.Instances {
		list = append(list, in.Track...)
	}
	for _, g := range f.Groups {
		list = append(list, g.Track...)
	}
	for _, t := range list {
		if t.Kind == "script" && !slices.Contains(names, t.Name) {
			names = append(names, t.Name)
		}
	}
	return names
}

// place is an interface of a node.
type place struct {
	name      string
	addresses []string
}

func (r corpusRow) interfaces() (out []place) {
	on := r.on
	if on == "" {
		on = sampleNode
	}
	for one := range strings.SplitSeq(on, ",") {
		words := strings.Fields(one)
		out = append(out, place{words[0], words[1:]})
	}
	return out
}

// cable is the interface that loses its carrier.
func (r corpusRow) cable() string {
	if r.cut != "" {
		return r.cut
	}
	return r.interfaces()[0].name
}
