package daemon

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"understudy/appliance/config"
)

// What happens to each line of a virtual_server_group is told once, in the group's name, and its
// programs are one line's.
func TestGroupTellsOnce(t *testing.T) {
	const file = `vrrp_instance a {
  interface eth0
  virtual_router_id 1
  virtual_ipaddress {
    10.0.0.1
    10.0.0.2
  }
}
virtual_server_group web {
  10.0.0.1-2 80
}
virtual_server group web {
  protocol TCP
  quorum_up /bin/true
  real_server 10.1.0.1 8080 {
    notify_up /bin/true
  }
}
virtual_server fwmark 7 {
  protocol TCP
  quorum_up /bin/true
  real_server 10.1.0.1 {
  }
}
`
	path := filepath.Join(t.TempDir(), "keepalived.conf")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range cfg.Mappings.Entries {
		for _, server := range []netip.AddrPort{{}, e.Servers[0].Address} {
			told := entryTold{name: e.Name, server: server, event: config.EntryUp}
			got = append(got, fmt.Sprintf("%s; %d programs; another tells: %t", serverLine(cfg.ServerGroup(e.Name), e.Match, server, "UP"), len(e.Notify), anotherTells(cfg, told)))
		}
	}
	want := []string{
		"VS [web]:0 UP; 2 programs; another tells: false",
		"RS [10.1.0.1]:tcp:8080 [web]:0 UP; 2 programs; another tells: false",
		"VS [web]:0 UP; 0 programs; another tells: true",
		"RS [10.1.0.1]:tcp:8080 [web]:0 UP; 0 programs; another tells: true",
		"VS FWM 7 UP; 1 programs; another tells: false",
		"RS [10.1.0.1]:none:0 FWM 7 UP; 1 programs; another tells: false",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}
