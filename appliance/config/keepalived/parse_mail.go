package keepalived

import "time"

// Alerts is what global_defs says of mail.
type Alerts struct {
	To                 []Of[string]
	From, Helo         Of[string]
	Server             Of[string] // with the port behind it, if one is written
	Port               Of[string]
	Timeout            Of[time.Duration]
	All, VRRP, Checker Of[bool] // smtp_alert, smtp_alert_vrrp, smtp_alert_checker
	NoFaults           Of[bool]
}

// alerts reads a keyword of global_defs, if it is about mail.
func (p *parser) alerts(n *Node) {
	a := &p.file.Global.Alerts
	switch n.Word {
	case "notification_email":
		for _, c := range n.Children {
			for _, to := range c.all() {
				if to != "" {
					a.To = append(a.To, of(to, c.At))
				}
			}
		}
	case "notification_email_from":
		set(p, n, &a.From, n.arg(0))
	case "smtp_server":
		set(p, n, &a.Server, n.arg(0))
		if n.arg(1) != "" {
			set(p, n, &a.Port, n.arg(1))
		}
	case "smtp_helo_name":
		set(p, n, &a.Helo, n.arg(0))
	case "smtp_connect_timeout":
		if d, ok := p.seconds(n, 0, 1<<32*time.Second); ok {
			a.Timeout = of(max(d, time.Second), n.At)
		}
	case "smtp_alert":
		a.All = p.boolean(n)
	case "smtp_alert_vrrp":
		a.VRRP = p.boolean(n)
	case "smtp_alert_checker":
		a.Checker = p.boolean(n)
	case "no_email_faults":
		a.NoFaults = p.boolean(n)
	}
}
