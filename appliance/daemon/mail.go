package daemon

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"understudy/appliance"
	"understudy/appliance/config"
	"understudy/appliance/mail"
	"understudy/appliance/notify"
	"understudy/nat/entry"
)

// mailConfig is where alerts go; nil: nowhere.
func mailConfig(cfg *config.Config) *mail.Config {
	m := cfg.Mail
	if m == nil {
		return nil
	}
	return &mail.Config{Server: m.Server, Helo: m.Helo, From: m.From, To: m.To, Timeout: m.Timeout}
}

// mailedOf tells whether a group, or a router of it, is told of by mail.
func mailedOf(cfg *config.Config, g config.Group) bool {
	return cfg.Mail != nil && (g.Mail || slices.ContainsFunc(g.Routers, func(name string) bool { return routersOf(cfg, name)[0].Mail }))
}

// alert is what is written of something: keepalived's words, then why.
type alert struct{ what, is, body, why string }

func (n *node) mailAlert(cfg *config.Config, a alert) {
	text := "=> " + a.body + " <=\n"
	if a.why != "" {
		text += "\n" + a.why + "\n"
	}
	n.mail.Tell(mail.Message{Subject: "[" + mailedAs(cfg) + "] " + a.what + " - " + a.is, Body: text, At: time.Now()})
}

// mailedAs is what the node calls itself.
func mailedAs(cfg *config.Config) string {
	if cfg.Spoken != nil && cfg.Spoken.File.Global.RouterID.Set {
		return cfg.Spoken.File.Global.RouterID.V
	}
	return cfg.Node
}

// mailStates are what is said of a router and of a group, by state.
var mailStates = map[string]struct{ is, router, group string }{
	"active": {"Entering MASTER state", "VRRP Instance is now owning VRRP VIPs", "All VRRP group instances are now in MASTER state"},
	"backup": {"Entering BACKUP state", "VRRP Instance is no longer owning VRRP VIPs", "All VRRP group instances are now in BACKUP state"},
	"fault":  {"Entering FAULT state", "VRRP Instance is no longer owning VRRP VIPs", "All VRRP group instances are now in FAULT state"},

	string(notify.Stop):    {"Stopping", "VRRP Instance stopping", "All VRRP group instances are now stopping"},
	string(notify.Deleted): {"Deleted", "VRRP Deleted at reload", "VRRP Deleted at reload"},
}

// mailOf is about a group's change of state, and that of its routers. What may have been
// so for a while has been told.
func (n *node) mailOf(a appliance.Notify, news map[notify.Subject]notify.Event) {
	cfg := n.settled.config()
	i := slices.IndexFunc(cfg.Groups, func(g config.Group) bool { return g.Name == a.Group })
	if i < 0 || a.Known || !mailedOf(cfg, cfg.Groups[i]) {
		return
	}
	for _, name := range cfg.Groups[i].Routers {
		if ev, ok := news[notify.Subject{Kind: notify.Router, Name: name}]; ok && routersOf(cfg, name)[0].Mail {
			n.mailState(cfg, notify.Router, name, ev)
		}
	}
	if ev, ok := news[notify.Subject{Kind: notify.Group, Name: a.Group}]; ok && cfg.Groups[i].Mail && wordOfItsOwn(cfg, cfg.Groups[i]) {
		n.mailState(cfg, notify.Group, a.Group, ev)
	}
}

func (n *node) mailState(cfg *config.Config, kind notify.Kind, name string, ev notify.Event) {
	state := ev.State
	if ev.Ending != "" {
		state = string(ev.Ending)
	}
	words, ok := mailStates[state]
	if !ok || state == "fault" && !cfg.Mail.Faults {
		return
	}
	a := alert{what: "VRRP Instance " + cfg.Called("vrrp_instance", name), is: words.is, body: words.router, why: appliance.CauseText(ev.Cause)}
	if kind == notify.Group {
		a.what, a.body = "VRRP Group "+cfg.Called("vrrp_sync_group", name), words.group
	}
	n.mailAlert(cfg, a)
}

// mailOfEnd is about what a reload has taken out of the file.
func (n *node) mailOfEnd(old, now *config.Config) {
	if old.Mail == nil || now.Mail == nil {
		return
	}
	deleted := notify.Event{State: "initialize", Ending: notify.Deleted}
	for _, r := range old.Routers {
		if r.Mail && now.Router(r.Name) == nil && (r.Family == 4 || len(routersOf(old, r.Name)) == 1) {
			n.mailState(old, notify.Router, r.Name, deleted)
		}
	}
	for _, g := range old.Groups {
		if g.Mail && wordOfItsOwn(old, g) && !slices.ContainsFunc(now.Groups, func(o config.Group) bool { return o.Name == g.Name }) {
			n.mailState(old, notify.Group, g.Name, deleted)
		}
	}
}

// mailOfEntry is about a server, or an entry point. That something is there, as the first
// word on it, is no news.
func (n *node) mailOfEntry(t entryTold) {
	cfg := n.settled.config()
	word, ok := serverWords[t.event]
	if !ok || t.first && t.event == config.EntryUp || cfg.Mail == nil || cfg.Mappings == nil {
		return
	}
	i := slices.IndexFunc(cfg.Mappings.Entries, func(e config.Entry) bool { return e.Name == t.name })
	if i < 0 {
		return
	}
	e := &cfg.Mappings.Entries[i]
	a := alert{is: word, why: t.why}
	switch {
	case !t.server.IsValid() && e.Mail:
		a.what, a.body = "Virtualserver "+serviceName(cfg.ServerGroup(e.Name), e.Match), quorumText(e, t)
	case slices.Contains(e.Mailed, t.server):
		a.what = "Realserver " + serverName(e.Match, t.server) + " of virtual server " + serviceName(cfg.ServerGroup(e.Name), e.Match)
		a.body = serverText(cfg, e, t)
	default:
		return
	}
	n.mailAlert(cfg, a)
}

func quorumText(e *config.Entry, t entryTold) string {
	what := "Lost"
	if t.event == config.EntryUp {
		what = "Gained"
	}
	quorum := max(1, e.Quorum)
	return fmt.Sprintf("%s quorum %d+%d=%d <= %d", what, quorum, e.Hysteresis, quorum+e.Hysteresis, t.weight)
}

// checkWords are how keepalived tells of its checkers, for what the kind of check is.
var checkWords = map[config.CheckKind][2]string{
	config.CheckTCP:    {"TCP CHECK succeed on service", "TCP CHECK failed on service"},
	config.CheckHTTP:   {"CHECK succeed on service", "CHECK failed on service : HTTP request failed"},
	config.CheckHTTPS:  {"CHECK succeed on service", "CHECK failed on service : HTTP request failed"},
	config.CheckScript: {"MISC CHECK succeeded on service", "MISC CHECK failed on service"},
	config.CheckDNS:    {"DNS_CHECK: succeed on service", "DNS_CHECK: failed on service"},
	config.CheckUDP:    {"UDP CHECK succeed on service", "UDP CHECK failed on service"},
	config.CheckICMP:   {"ICMP CHECK succeed on service", "ICMP CHECK failed on service"},
}

// serverText is about the check that has said so; of several kinds that are one check, it
// is none of them.
func serverText(cfg *config.Config, e *config.Entry, t entryTold) string {
	words := [2]string{"CHECK succeed on service", "CHECK failed on service"}
	if i := slices.IndexFunc(e.Servers, func(s entry.Server) bool { return s.Address == t.server }); i >= 0 {
		if w, ok := checkWords[kindOf(cfg, e.Servers[i].Check)]; ok {
			words = w
		}
	}
	if t.event == config.EntryUp {
		return words[0]
	}
	return words[1]
}

// kindOf is the kind of a check, and of one that is made of others theirs, if it is one.
func kindOf(cfg *config.Config, name string) config.CheckKind {
	k := cfg.Check(name)
	if k == nil {
		return ""
	}
	kind := k.Kind
	for i, of := range k.Checks {
		one := cfg.Check(of)
		if one == nil || i > 0 && one.Kind != kind {
			return ""
		}
		kind = one.Kind
	}
	return kind
}

// serviceName is what an entry point is called by, or the virtual_server_group that it is a
// line of.
func serviceName(group string, m entry.Match) string {
	if group != "" {
		return fmt.Sprintf("[%s]:0", group)
	}
	if !m.Address.IsValid() {
		return fmt.Sprintf("FWM %d", m.Mark)
	}
	return fmt.Sprintf("[%v]:%v:%d", m.Address, m.Proto, m.Ports.First)
}

// serverName is a server; without a port of its own it has that which the client calls.
func serverName(m entry.Match, server netip.AddrPort) string {
	if !m.Address.IsValid() && server.Port() == 0 {
		return fmt.Sprintf("[%v]:none:0", server.Addr())
	}
	port := server.Port()
	if port == 0 {
		port = m.Ports.First
	}
	return fmt.Sprintf("[%v]:%v:%d", server.Addr(), m.Proto, port)
}

// mailStatus is what has become of alerts; nil: there is no [mail].
func (n *node) mailStatus(cfg *config.Config) *appliance.MailStatus {
	if cfg.Mail == nil {
		return nil
	}
	s := n.mail.Status()
	out := &appliance.MailStatus{Server: cfg.Mail.Server, To: slices.Clone(cfg.Mail.To), Sent: s.Sent, Failed: s.Failed, Dropped: s.Dropped, Waiting: s.Waiting,
		Error: strings.TrimSpace(s.Error)}
	if !s.At.IsZero() {
		out.FailedAt = &s.At
	}
	return out
}
