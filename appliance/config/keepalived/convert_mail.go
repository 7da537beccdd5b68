package keepalived

import (
	"net"
	"time"
)

// mostMailTime is what mail.timeout can be.
const mostMailTime = 10 * time.Minute

// mails tells whether anybody gets mail: it takes somebody, and a server.
func (c *converter) mails() bool {
	a := c.file.Global.Alerts
	return len(a.To) > 0 && a.Server.Set
}

// mail makes [mail].
func (c *converter) mail() {
	a := c.file.Global.Alerts
	if !c.mails() {
		if len(a.To) > 0 {
			c.say(a.To[0].At, Note, "notification_email: there is no smtp_server, and so no mail")
		}
		return
	}
	o := Origin{a.To[0].At, "notification_email"}
	t := newTable(o)
	server := a.Server.V
	if a.Port.Set {
		server = net.JoinHostPort(server, a.Port.V)
	}
	t.set("server", server, Origin{a.Server.At, "smtp_server"})
	switch {
	case a.From.Set:
		t.set("from", a.From.V, Origin{a.From.At, "notification_email_from"})
	case c.world.Hostname != "":
		t.set("from", "root@"+c.world.Hostname, Origin{Word: "as nothing else is said"})
	}
	for i, to := range a.To {
		if !before(a.To[:i], to.V) {
			t.add("to", to.V, Origin{to.At, "notification_email"})
		}
	}
	if a.Helo.Set {
		t.set("helo", a.Helo.V, Origin{a.Helo.At, "smtp_helo_name"})
	}
	if a.Timeout.Set {
		t.set("timeout", duration(min(a.Timeout.V, mostMailTime)), Origin{a.Timeout.At, "smtp_connect_timeout"})
	}
	if a.NoFaults.V {
		t.set("faults", false, Origin{a.NoFaults.At, "no_email_faults"})
	}
	told := []Item{}
	for _, kind := range []string{"routers", "groups", "entries", "servers"} {
		if on, from := c.alertsOf(kind); on {
			told = append(told, Item{kind, from})
		}
	}
	t.set("tell", told, Origin{Word: "smtp_alert where nothing else is said"})
	c.doc.set("mail", t, o)
}

func before(list []Of[string], v string) bool {
	for _, o := range list {
		if o.V == v {
			return true
		}
	}
	return false
}

// alertsOf tells whether things of a kind are alerts that say nothing of it themselves,
// and by what.
func (c *converter) alertsOf(kind string) (on bool, from Origin) {
	a := c.file.Global.Alerts
	own, word := a.Checker, "smtp_alert_checker"
	if kind == "routers" || kind == "groups" {
		own, word = a.VRRP, "smtp_alert_vrrp"
	}
	switch {
	case own.Set:
		return own.V, Origin{own.At, word}
	case a.All.Set:
		return a.All.V, Origin{a.All.At, "smtp_alert"}
	}
	return kind == "servers", Origin{Word: "smtp_alert of servers, as nothing else is said"}
}

// alert says of one thing whether it is one, where that is not what it would be anyway.
func (c *converter) alert(t *Table, own Of[bool], kind string) {
	switch on, _ := c.alertsOf(kind); {
	case !own.Set:
	case !c.mails():
		if own.V {
			c.say(own.At, Note, "smtp_alert: there is no notification_email, or no smtp_server, and so no mail")
		}
	case own.V != on:
		t.set("mail", own.V, Origin{own.At, "smtp_alert"})
	}
}

// alertOption is smtp_alert among the options of a virtual_server or a real_server.
func (c *converter) alertOption(t *Table, options []Option, kind string) {
	if o := optionOf(options, "smtp_alert"); o.set() {
		p := &parser{world: c.world, file: c.file}
		on := p.boolean(&Node{Word: o.Word, Args: o.Args, At: o.At})
		for _, m := range p.list {
			c.say(m.Place, m.Level, "%s", m.Text)
		}
		c.alert(t, on, kind)
	}
}
