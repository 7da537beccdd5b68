package e2e

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"understudy/appliance/lab"
	"understudy/appliance/lab/pair"
	"understudy/appliance/lab/postbox"
)

// relayOn has a machine take mail.
func (s *scene) relayOn(n *lab.Node, host netip.Addr) *postbox.Box {
	s.t.Helper()
	var l net.Listener
	s.must(n.Do(func() (err error) {
		l, err = net.Listen("tcp", netip.AddrPortFrom(host, 25).String())
		return err
	}))
	b := postbox.New(l)
	s.t.Cleanup(b.Close)
	return b
}

// subjects are those of the mails of a node, in order, without its name.
func subjects(b *postbox.Box, node string) (list []string) {
	for _, m := range b.Mails() {
		if s, ok := strings.CutPrefix(m.Header("Subject"), "["+node+"] "); ok {
			list = append(list, s)
		}
	}
	return list
}

// mailed is a condition: that is what a node has written about, in any order, since it
// had written about some already.
func mailed(b *postbox.Box, node string, since int, want ...string) func(context.Context) error {
	return func(context.Context) error {
		got := subjects(b, node)
		if len(got) < since {
			return fmt.Errorf("%d mails of %s", len(got), node)
		}
		got = slices.Sorted(slices.Values(got[since:]))
		if !slices.Equal(got, slices.Sorted(slices.Values(want))) {
			return fmt.Errorf("%s has written of %q, want %q", node, got, want)
		}
		return nil
	}
}

// mailFile is a load balancer whose alerts go by mail: but for one instance, and with the
// group.
const mailFile = `
global_defs {
    router_id lb%d
    notification_email {
        ops@example.org
        night@example.org
    }
    notification_email_from lb@example.org
    smtp_server 10.0.0.22
    smtp_helo_name lb.example.org
    smtp_alert_vrrp
}
vrrp_sync_group gateway {
    group { lan wan }
}
vrrp_instance lan {
    interface lan0
    virtual_router_id 51
    priority %d
    version 3
    advert_int 0.5
    virtual_ipaddress { 10.0.0.1/24 }
}
vrrp_instance wan {
    interface wan0
    virtual_router_id 52
    priority %d
    version 3
    advert_int 0.5
    smtp_alert off
    virtual_ipaddress { 203.0.113.1/24 }
}
virtual_server 203.0.113.1 80 {
    delay_loop 1
    lb_kind NAT
    protocol TCP
    smtp_alert
    real_server 10.0.0.21 8085 {
        TCP_CHECK {
            connect_timeout 2
            retry 1
            delay_before_retry 0.2
        }
    }
}
`

// TestMail: a change of state, and a server that goes and comes, are told by mail, in
// keepalived's words, each once, by those of whom it is wanted.
func TestMail(t *testing.T) {
	s := newScene(t, pair.Options{NoNAT: true, NoSessions: true})
	nodes := s.servers(2)
	server := &checkedServer{t: t, node: nodes[0], host: pair.ServerHost(1)}
	server.start()
	box := s.relayOn(nodes[1], pair.ServerHost(2))
	for i, g := range s.Gateways {
		s.must(g.Start()) // for the sake of the control client
		s.must(g.Kill())
		s.must(g.WriteFile(keepalivedConf, fmt.Appendf(nil, mailFile, i+1, 200-100*i, 200-100*i), 0o644))
		if out := s.ok(g, "check", "--config", keepalivedConf); strings.Contains(out, "not carried over") {
			t.Fatalf("check says\n%s", out)
		}
	}
	const (
		lan, group     = "VRRP Instance lan - ", "VRRP Group gateway - "
		master, backup = "Entering MASTER state", "Entering BACKUP state"
		fault, stop    = "Entering FAULT state", "Stopping"
		real           = "Realserver [10.0.0.21]:tcp:8085 of virtual server [203.0.113.1]:tcp:80 - "
		virtual        = "Virtualserver [203.0.113.1]:tcp:80 - "
	)
	s.byKeepalivedConf(s.gw1)
	s.wait("gw1 to be active", s.gw1.Is("active"))
	second := s.byKeepalivedConf(s.gw2)
	s.wait("gw2 to stand by", s.gw2.Is("backup"))
	n1, n2 := 4, 2
	s.wait("the first states", all(mailed(box, "lb1", 0, lan+backup, group+backup, lan+master, group+master), mailed(box, "lb2", 0, lan+backup, group+backup)))

	server.die()
	down := []string{real + "DOWN", virtual + "DOWN"}
	s.wait("a dead server to be told of", all(mailed(box, "lb1", n1, down...), mailed(box, "lb2", n2, down...)))
	server.start()
	up := []string{real + "UP", virtual + "UP"}
	n1, n2 = n1+2, n2+2
	s.wait("it to be told of when it is back", all(mailed(box, "lb1", n1, up...), mailed(box, "lb2", n2, up...)))
	n1, n2 = n1+2, n2+2

	s.must(s.gw1.Link("wan0").Unplug())
	s.wait("a fault, and the other's state", all(mailed(box, "lb1", n1, lan+fault, group+fault), mailed(box, "lb2", n2, lan+master, group+master)))
	n1, n2 = n1+2, n2+2
	s.must(s.gw1.Link("wan0").Plug())
	s.wait("gw1 to be active", all(s.gw1.Is("active"), s.gw2.Is("backup")))
	s.wait("its end", all(mailed(box, "lb1", n1, lan+backup, group+backup, lan+master, group+master), mailed(box, "lb2", n2, lan+backup, group+backup)))
	n1, n2 = n1+4, n2+2

	// Another daemon knows that it has been told, and so does a reload.
	pid := s.kill(s.gw1, "daemon")
	s.wait("another daemon", replaced(s.gw1, pid, "daemon"))
	s.wait("gw1 to be active", s.gw1.Is("active"))
	s.must(s.gw1.Reload(s.within(patience)))
	s.ok(s.gw1, "failover")
	s.wait("gw2 to be active", s.gw2.Is("active"))
	s.wait("the hand-over, and nothing else", all(mailed(box, "lb1", n1, lan+backup, group+backup), mailed(box, "lb2", n2, lan+master, group+master)))
	n1, n2 = n1+2, n2+2
	s.must(second.Stop(patience))
	s.wait("the end", all(mailed(box, "lb2", n2, lan+stop, group+stop), mailed(box, "lb1", n1, lan+master, group+master)))

	bodies := map[string]string{
		lan + master:     "=> VRRP Instance is now owning VRRP VIPs <=\n",
		lan + backup:     "=> VRRP Instance is no longer owning VRRP VIPs <=\n",
		lan + fault:      "=> VRRP Instance is no longer owning VRRP VIPs <=\n",
		lan + stop:       "=> VRRP Instance stopping <=\n",
		group + master:   "=> All VRRP group instances are now in MASTER state <=\n",
		group + backup:   "=> All VRRP group instances are now in BACKUP state <=\n",
		group + fault:    "=> All VRRP group instances are now in FAULT state <=\n",
		group + stop:     "=> All VRRP group instances are now stopping <=\n",
		real + "DOWN":    "=> TCP CHECK failed on service <=\n",
		real + "UP":      "=> TCP CHECK succeed on service <=\n",
		virtual + "DOWN": "=> Lost quorum 1+0=1 <= 0 <=\n",
		virtual + "UP":   "=> Gained quorum 1+0=1 <= 1 <=\n",
	}
	for _, m := range box.Mails() {
		_, subject, _ := strings.Cut(m.Header("Subject"), "] ")
		if want := bodies[subject]; want == "" || !strings.HasPrefix(m.Body(), want) {
			t.Errorf("%s: %q", subject, m.Body())
		}
		if m.From != "lb@example.org" || m.Header("From") != m.From || !slices.Equal(m.To, []string{"ops@example.org", "night@example.org"}) ||
			m.Header("To") != "ops@example.org, night@example.org" || m.Helo != "EHLO lb.example.org" {
			t.Errorf("%+v", m)
		}
	}
	s.wait("all to be counted", func(context.Context) error {
		if st := s.status(s.gw1).Mail; st == nil || st.Failed+st.Dropped != 0 || st.Sent == 0 || st.Waiting != 0 {
			return fmt.Errorf("%+v", st)
		}
		return nil
	})
}

// TestMailHoldsNothingUp: with a relay that takes calls and says nothing, a takeover is as
// it always is; what was to be said is, once somebody listens.
func TestMailHoldsNothingUp(t *testing.T) {
	s := newScene(t, pair.Options{Extra: `
[mail]
server = "10.0.0.21"
to = "ops@example.org"
helo = "gw"
timeout = "2s"
`})
	box := s.relayOn(s.servers(1)[0], pair.ServerHost(1))
	box.Silence(true)
	s.settle()
	s.load(s.gw1, 20)
	s.wait("mail to wait", func(context.Context) error {
		if box.Calls() == 0 {
			return fmt.Errorf("nobody has called")
		}
		return nil
	})
	cut := s.crash(s.gw1)
	s.intact(cut)
	s.whole()
	if st := s.status(s.gw2).Mail; st == nil || st.Sent != 0 || st.Waiting == 0 || st.Waiting > 9 {
		t.Fatalf("status: %+v", st)
	}
	box.Silence(false)
	s.wait("what was to be said", mailed(box, "gw2", 0,
		"VRRP Instance lan - Entering BACKUP state", "VRRP Instance wan - Entering BACKUP state", "VRRP Group gateway - Entering BACKUP state",
		"VRRP Instance lan - Entering MASTER state", "VRRP Instance wan - Entering MASTER state", "VRRP Group gateway - Entering MASTER state"))
	s.wait("it to be counted", func(context.Context) error {
		if st := s.status(s.gw2).Mail; st.Sent != 6 || st.Failed+st.Dropped != 0 || st.Waiting != 0 || st.Error != "" {
			return fmt.Errorf("%+v", st)
		}
		return nil
	})
	// One that never listens again does not hold up the end either.
	box.Silence(true)
	began := time.Now()
	s.must(s.gw2.Process().Stop(patience))
	if d := time.Since(began); d > 30*time.Second {
		t.Errorf("the end took %v", d)
	}
}
