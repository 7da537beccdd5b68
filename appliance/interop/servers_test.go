package interop

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	conf "understudy/appliance/config/keepalived"
)

// sooner is what all samples of virtual servers have replaced: the pace, and what pages are.
var sooner = []string{"delay_loop 60", "delay_loop 1", "delay_loop 6", "delay_loop 1", "delay_before_retry 3", "delay_before_retry 1",
	"delay_before_retry 5", "delay_before_retry 1", "retry 2", "retry 1", "retry 3", "retry 1", "retry 4", "retry 1"}

// here is an instance that has those addresses: we serve what an instance has, keepalived
// whatever comes (ADR 0043), and there is none in these files.
func here(addresses ...string) string {
	return fmt.Sprintf("vrrp_instance HERE {\n  interface eth0\n  virtual_router_id 50\n  version 3\n  advert_int 1\n  virtual_ipaddress {\n    %s\n  }\n}\n",
		strings.Join(addresses, "\n    "))
}

// serverCorpus are the configurations that have virtual servers, and nothing else: they
// are lived by in the guest, where keepalived has IPVS.
var serverCorpus = []corpusRow{
	{file: "HTTP_GET.port", on: "eth0 192.168.200.1/24, eth1 192.168.201.1/24", more: here("192.168.200.100"),
		edit:    []string{"ff20ad2481f97b1754ef3e12ecd3a9cc", pageDigest},
		servers: "tcp 192.168.201.100:443, https 192.168.201.100:444", calls: "tcp 192.168.200.100:443"},
	// What a host is said to have no connect_timeout of its own for, keepalived takes to be too late at random.
	{file: "SMTP_CHECK", on: "eth0 192.168.200.1/24, eth1 172.16.1.2/24 192.168.155.2/24 64.233.167.2/24", more: here("192.168.200.100"),
		edit: []string{"connect_ip 172.16.1.11", "connect_timeout 10\nconnect_ip 172.16.1.11", "connect_ip 172.16.1.12", "connect_timeout 10\nconnect_ip 172.16.1.12",
			"connect_ip  ", "connect_timeout 10\nconnect_ip  "},
		servers: "smtp 172.16.1.10:25 172.16.1.11:25 172.16.1.12:25 192.168.155.10:25 64.233.167.99:25 192.168.155.11:25 64.233.167.100:587",
		calls:   "tcp 192.168.200.100:25"},
	{file: "PING_CHECK", cut: "eth0", on: "eth0 10.10.10.1/24, eth1 192.168.200.1/24", more: here("10.10.10.2"),
		servers: "ping 192.168.200.6:1, udp 192.168.200.6:1358", calls: "udp 10.10.10.2:1358"},
	{file: "UDP_CHECK", on: "eth0 10.10.10.1/24, eth1 192.168.200.1/24", more: here("10.10.10.2"),
		servers: "udp 192.168.200.6:1358", calls: "udp 10.10.10.2:1358"},
	{file: "IPv6", on: "eth0 ac00::1/64, eth1 ae00::ff/64", more: here("fe80::50", "ae00::1"),
		servers: "smtp [ae00::10]:25", calls: "tcp [ae00::1]:80"},
	{file: "misc_check", on: "eth0 10.10.10.1/24, eth1 192.168.200.1/24", more: here("10.10.10.2"),
		edit:    []string{"delay_loop 6", "delay_loop 4"}, // which is also how long the program may take
		servers: "tcp 192.168.200.6:1358", calls: "tcp 10.10.10.2:1358"},
	{file: "misc_check_arg", on: "eth0 10.10.10.1/24, eth1 192.168.200.1/24", more: here("10.10.10.2"),
		edit:    []string{"delay_loop 6", "delay_loop 4"}, // which is also how long the program may take
		servers: "tcp 192.168.200.6:1358", calls: "tcp 10.10.10.2:1358"},
	{file: "status_code", on: "eth0 192.168.200.1/24, eth1 192.168.201.1/24", more: here("192.168.200.100"),
		edit:    []string{"9b3a0c85a887a256d6939da88aabd8cd", pageDigest},
		servers: "https 192.168.201.100:443", calls: "tcp 192.168.200.100:443"},
	{file: "virtualhost", on: "eth0 192.168.200.1/24, eth1 192.168.201.1/24", more: here("192.168.200.100"),
		edit:    []string{"9b3a0c85a887a256d6939da88aabd8cd", pageDigest, "ff20ad2481f97b1754ef3e12ecd3a9cc", pageDigest},
		servers: "https 192.168.201.100:80", calls: "tcp 192.168.200.100:80"},
	// One of its servers is one of its virtual servers.
	{file: "virtual_server_group", on: "eth0 10.0.0.254/24, eth1 192.168.200.254/24",
		more:    here("10.0.0.1", "10.0.0.2", "192.168.200.1", "192.168.200.3", "192.168.200.4", "192.168.200.5", "192.168.200.6", "192.168.200.7", "192.168.200.8", "192.168.200.9", "192.168.200.10"),
		edit:    []string{"real_server 192.168.200.1 ", "real_server 192.168.200.11 ", "640205b7b0fc66c1ea91c463fac6334d", pageDigest},
		servers: "http 192.168.200.11:1358 192.168.200.2:1358", calls: "tcp 10.0.0.1:8080, tcp 10.0.0.2:80, tcp 192.168.200.1:1358, tcp 192.168.200.10:80"},
	{file: "fwmark", on: "eth0 192.168.202.1/24, eth1 192.168.201.1/24", more: here("192.168.202.80"), marked: "192.168.202.80 1",
		servers: "tcp 192.168.201.100:80 192.168.201.101:80", calls: "tcp 192.168.202.80:80"},
	{file: "quorum", on: "eth0 10.0.1.2/24, eth1 10.0.0.254/24", more: here("10.0.1.1"),
		servers: "tcp 10.0.0.1:8080 10.0.0.1:80 10.0.0.2:8080 10.0.0.2:80 10.0.0.3:8080 10.0.0.3:80 10.0.0.4:8080 10.0.0.4:80 10.0.0.5:8080 10.0.0.5:80 " +
			"10.0.0.6:8080 10.0.0.6:80 10.0.0.7:8080 10.0.0.7:80 10.0.0.8:8080 10.0.0.8:80 10.0.0.9:8080 10.0.0.9:80 10.0.0.10:8080 10.0.0.10:80",
		calls: "tcp 10.0.1.1:80"},
	{file: "sample", on: "eth0 10.10.10.1/24, eth1 192.168.200.1/24",
		edit:    []string{"192.168.200.13\n", "192.168.200.13\n        10.10.10.2\n", "640205b7b0fc66c1ea91c463fac6334d", pageDigest},
		servers: "http 192.168.200.2:1358, sorry 192.168.200.200:1358", calls: "tcp 10.10.10.2:1358"},
	{file: "inhibit", on: "eth0 10.10.10.1/24, eth1 192.168.200.1/24", more: here("10.10.10.2"),
		edit:    []string{"640205b7b0fc66c1ea91c463fac6334d", pageDigest},
		servers: "http 192.168.200.2:1358", calls: "tcp 10.10.10.2:1358"},
}

func init() {
	for i := range serverCorpus {
		serverCorpus[i].edit = append(slices.Clone(serverCorpus[i].edit), sooner...)
	}
}

// telling has programs told of each server and each virtual server of the file, but for those
// that it has itself.
func (r corpusRow) telling(text string) string {
	var out strings.Builder
	services, quorum := 0, strings.Contains(text, "quorum_up ")
	for line := range strings.Lines(text) {
		out.WriteString(line)
		words := strings.Fields(line)
		switch {
		case len(words) < 2 || words[len(words)-1] != "{":
		case words[0] == "real_server":
			program := "/usr/local/bin/server-" + strings.ReplaceAll(words[1], ":", "-")
			fmt.Fprintf(&out, "notify_up \"%s up\"\nnotify_down \"%s down\"\n", program, program)
		case words[0] == "virtual_server" && !quorum:
			services++
			fmt.Fprintf(&out, "quorum_up \"/usr/local/bin/service-%d up\"\nquorum_down \"/usr/local/bin/service-%d down\"\n", services, services)
		}
	}
	return out.String()
}

// virtual are the virtual servers of the file.
func (r corpusRow) virtual(s *scene) []*conf.VirtualServer {
	s.t.Helper()
	if r.servers == "" {
		return nil
	}
	src, err := os.ReadFile(r.path(s))
	s.must(err)
	w := conf.Elsewhere()
	w.ID = rowID
	f, _ := conf.Parse(r.path(s), []byte(r.edited(string(src))), w)
	return f.VirtualServers
}

// realServers are the addresses of the real servers, each once.
func (r corpusRow) realServers(s *scene) (list []netip.Addr) {
	s.t.Helper()
	for _, v := range r.virtual(s) {
		for _, one := range v.Servers {
			if a := one.Address.Addr(); !slices.Contains(list, a) {
				list = append(list, a)
			}
		}
	}
	return list
}

// alpha tells whether servers count as down until they are found to be up.
func (r corpusRow) alpha(s *scene) bool {
	s.t.Helper()
	return slices.ContainsFunc(r.virtual(s), func(v *conf.VirtualServer) bool {
		return slices.ContainsFunc(v.Options, func(o conf.Option) bool { return o.Word == "alpha" })
	})
}
