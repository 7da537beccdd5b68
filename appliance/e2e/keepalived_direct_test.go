package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"understudy/appliance/lab/pair"
)

// keepalivedDirect is a load balancer whose servers answer past it.
const keepalivedDirect = keepalivedGateway + `virtual_server 203.0.113.10 8443 {
    delay_loop 1
    retry 1
    delay_before_retry 0.2
    connect_timeout 2
    lb_algo rr
    lb_kind DR
    protocol TCP
    real_server 10.0.0.21 8443 {
        TCP_CHECK { connect_port 443 }
    }
    real_server 10.0.0.22 8443 {
        TCP_CHECK { connect_port 443 }
    }
}
`

// TestKeepalivedDirect: a load balancer by a keepalived.conf with DR carries traffic, and
// is no router for it: the kernel does not forward. A server that dies gets no more.
func TestKeepalivedDirect(t *testing.T) {
	s := newScene(t, pair.Options{NoNAT: true, NoSessions: true})
	nodes := s.servers(2)
	s.ownAnswer(nodes, entryAddress)
	g := s.gw1
	s.must(g.Start()) // for the control client
	s.must(g.Kill())
	s.must(g.WriteFile(keepalivedConf, []byte(keepalivedDirect), 0o644))
	if out := s.ok(g, "check", "--config", keepalivedConf); strings.Contains(out, "not carried over") {
		t.Fatalf("check says\n%s", out)
	}
	cmd := exec.Command("/bin/sh", "-c", `mount -t tmpfs tmpfs /var/lib && exec "$0" run --config `+keepalivedConf, binary)
	cmd.Stdout = lines{s.journal, g.Name + " | "}
	_, err := g.StartWith(cmd)
	s.must(err)
	s.wait("the gateway to be active", g.Is("active"))
	entry := fmt.Sprintf("vs-%s-%d", entryAddress.Addr(), entryAddress.Port())
	for i := range nodes {
		s.wait("the servers to be up", serverIs(g, entry, i+1, "up"))
	}
	if v := s.sysctls(g.Node)["ipv4/ip_forward"]; v != "0" {
		t.Errorf("ip_forward is %s", v)
	}

	const clients = 20
	c := s.clients(entryAddress, clients, 0)
	s.wait("clients with both", func(ctx context.Context) error {
		if have := c.With(); have[0] > 0 {
			return fmt.Errorf("clients are with %v", readable(have))
		}
		return servedBy(c, map[byte]int{'1': 1, '2': 1})(ctx) // turns go by the hash of the flow
	})
	flows, err := g.Conntrack()
	s.must(err)
	for _, f := range flows {
		if f.Forward.DstPort == entryAddress.Port() {
			t.Errorf("tracked: %v", f)
		}
	}
	s.must(nodes[0].UnplugAll())
	s.wait("clients with the other", func(ctx context.Context) error {
		if have := c.With(); have['1']+have[0] > 0 {
			return fmt.Errorf("clients are with %v", readable(have))
		}
		return servedBy(c, map[byte]int{'2': clients})(ctx)
	})
}
