package dropin

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// WriteData writes keepalived.data: the sections and lines of keepalived's that have
// an equal here, in its words and order.
func WriteData(w io.Writer, v View) error {
	p := printer{w: w}
	p.line("------< Global definitions >------")
	p.line(" Network namespace = (default)")
	p.line(" Router ID = %s", v.RouterID)
	p.line(" Default interface = %s", v.Interface)
	p.line(" VRRP IPv4 mcast group = 224.0.0.18")
	p.line(" VRRP IPv6 mcast group = ff02::12")
	p.line(" Script security enabled")
	if len(v.Instances) > 0 {
		p.line("------< VRRP Topology >------")
	}
	for i := range v.Instances {
		p.instance(&v.Instances[i])
	}
	if len(v.Groups) > 0 {
		p.line("------< VRRP Sync groups >------")
	}
	for _, g := range v.Groups {
		p.line(" VRRP Sync Group = %s, %v", g.Name, g.State)
		p.line("   VRRP member instances :")
		for _, m := range g.Members {
			p.line("     %s", m)
		}
		p.line("   Using smtp notification = %s", yesNo(g.SMTP))
		p.scripts(g.Notify, g.User)
	}
	if len(v.Scripts) > 0 {
		p.line("------< VRRP Scripts >------")
	}
	for _, s := range v.Scripts {
		p.script(s)
	}
	if len(v.Files) > 0 {
		p.line("------< VRRP Track files >------")
	}
	for _, f := range v.Files {
		p.line(" Track file = %s", f.Name)
		p.line("   File = %s", f.Path)
		p.line("   Status = %d", f.Value)
		p.line("   Weight = %d%s", f.Weight, reversed(f.Reverse))
		p.tracking(f.Tracking)
	}
	if len(v.Processes) > 0 {
		p.line("------< VRRP Track processes >------")
	}
	for _, k := range v.Processes {
		p.line(" VRRP Track process = %s", k.Name)
		p.line("   Process = %s", k.Process)
		p.line("   Min processes = %d", k.Min)
		p.line("   Have quorum = %t", k.Quorum)
		p.line("   Weight = %d%s", k.Weight, reversed(k.Reverse))
		p.line("   Full command = %t", k.Full)
		p.tracking(k.Tracking)
	}
	return p.err
}

func (p *printer) instance(i *Instance) {
	p.line(" VRRP Instance = %s", i.Name)
	p.line("   VRRP Version = %d", i.Version)
	if i.Group != "" {
		p.line("   Sync group = %s", i.Group)
	}
	if i.Six {
		p.line("   Using Native IPv6")
	}
	p.line("   State = %v", i.State)
	if len(i.Peers) > 0 {
		p.line("   Flags:")
		p.line("     Using unicast")
	} else {
		p.line("   Flags: none")
	}
	p.line("   Wantstate = %v", i.Wants)
	p.line("   Number of interface and track script faults = %d", i.Faults)
	p.line("   Last transition = %s (%s)", seconds(i.Changed), i.Changed.Format("Mon Jan _2 15:04:05.000000 2006"))
	if i.Timer.IsZero() {
		p.line("   Read timeout = DISABLED")
	} else {
		p.line("   Read timeout = %s (%s)", seconds(i.Timer), i.Timer.Format("Mon Jan _2 15:04:05.000000 2006"))
	}
	p.line("   Master down timer = %d usecs", i.Down.Microseconds())
	if i.Device != "" {
		p.line("   Use VMAC, i/f name %s, is_up = %t, xmit_base = false", i.Device, i.State == Master)
		p.line("   Interface = %s, vmac on %s", i.Device, i.On)
	} else {
		p.line("   Interface = %s", i.On)
	}
	if i.Source.IsValid() {
		from := ""
		if i.Chosen {
			from = " (from configuration)"
		}
		p.line("   Using src_ip = %v%s", i.Source, from)
	}
	switch {
	case len(i.Peers) > 0:
	case i.Six:
		p.line("   Multicast address ff02::12")
	default:
		p.line("   Multicast address 224.0.0.18")
	}
	p.announcing(i.GARP)
	p.line("   Virtual Router ID = %d", i.VRID)
	p.line("   Priority = %d", i.Priority)
	p.line("   Effective priority = %d", i.Effective)
	p.line("   Total priority = %d", i.Effective)
	if i.Version == 2 {
		p.line("   Advert interval = %d sec", int(i.Interval/time.Second))
	} else {
		p.line("   Advert interval = %d milli-sec", i.Interval.Milliseconds())
	}
	p.line("   Accept = %s", enabled(i.Accept))
	p.line("   Preempt = %s", enabled(i.Preempt))
	if i.PreemptDelay > 0 {
		p.line("   Preempt delay = %g secs", i.PreemptDelay.Seconds())
	}
	p.line("   Promote_secondaries = disabled")
	if i.Version == 2 {
		switch i.Auth {
		case "PASS":
			p.line("   Authentication type = SIMPLE_PASSWORD")
		case "AH":
			p.line("   Authentication type = IPSEC_AH")
		default:
			p.line("   Authentication type = none")
		}
	}
	p.line("   Virtual IP (%d):", len(i.Addresses))
	for _, a := range i.Addresses {
		p.line("     %s", a.text())
	}
	if len(i.Excluded) > 0 {
		p.line("   Virtual IP Excluded :")
	}
	for _, a := range i.Excluded {
		p.line("     %s", a.text())
	}
	if len(i.Peers) > 0 {
		p.line("   Unicast TTL = 255")
		p.line("   Unicast Peer :")
		for _, a := range i.Peers {
			p.line("     %v", a)
		}
	}
	p.list("Virtual Routes", i.Routes)
	p.list("Virtual Rules", i.Rules)
	for _, k := range []struct{ kind, title, between string }{
		{"interface", "Tracked interfaces", ""}, {"script", "Tracked scripts", ""}, {"file", "Tracked files", ","}, {"process", "Tracked processes", ","},
	} {
		var lines []string
		for _, t := range i.Track {
			if t.Kind == k.kind {
				lines = append(lines, fmt.Sprintf("%s%s weight %d%s", t.Name, k.between, t.Weight, reversed(t.Reverse)))
			}
		}
		p.list(k.title, lines)
	}
	p.line("   Using smtp notification = %s", yesNo(i.SMTP))
	if i.Deleted {
		p.line("   Notify deleted = Deleted")
	} else {
		p.line("   Notify deleted = Fault")
	}
	p.scripts(i.Notify, i.User)
	p.line("   Notify priority changes = %t", i.Changes)
}

func (p *printer) announcing(g Announcing) {
	p.line("   Gratuitous ARP delay = %d", int(g.Delay.Seconds()))
	p.line("   Gratuitous ARP repeat = %d", g.Repeat)
	p.line("   Gratuitous ARP refresh = %d", int(g.Refresh.Seconds()))
	p.line("   Gratuitous ARP refresh repeat = %d", g.RefreshRepeat)
	p.line("   Gratuitous ARP lower priority delay = %d", int(g.LowerDelay.Seconds()))
	p.line("   Gratuitous ARP lower priority repeat = %d", g.LowerRepeat)
}

func (p *printer) list(title string, lines []string) {
	if len(lines) > 0 {
		p.line("   %s :", title)
	}
	for _, l := range lines {
		p.line("     %s", l)
	}
}

func (p *printer) scripts(notify map[string][]string, users map[string]string) {
	for _, s := range states {
		if argv := notify[s.key]; len(argv) > 0 {
			p.line("   %s = %s, uid:gid %s", s.title, quoted(argv), users[s.key])
		}
	}
}

func (p *printer) script(s Script) {
	p.line(" VRRP Script = %s", s.Name)
	p.line("   Command = %s", quoted(s.Command))
	p.line("   Interval = %s sec", trimmed(s.Interval))
	p.line("   Timeout = %s sec", trimmed(s.Timeout))
	p.line("   Weight = %d%s", s.Weight, reversed(s.Reverse))
	p.line("   Rise = %d", s.Rise)
	p.line("   Fall = %d", s.Fall)
	p.line("   Insecure = no")
	status := "BAD"
	switch {
	case s.Good:
		status = "GOOD"
	case !s.Known:
		status = "INIT"
	}
	p.line("   Status = %s", status)
	p.line("   Script uid:gid = %s", s.User)
	p.tracking(s.Tracking)
	state := "idle"
	if s.Running {
		state = "running"
	}
	p.line("   State = %s", state)
}

func (p *printer) tracking(list []Tracking) {
	p.line("   Tracking instances :")
	for _, t := range list {
		p.line("     %s, weight %d%s", t.Instance, t.Weight, reversed(t.Reverse))
	}
}

// seconds is a moment in seconds since 1970.
func seconds(t time.Time) string {
	if t.IsZero() {
		return "0.000000"
	}
	return fmt.Sprintf("%d.%06d", t.Unix(), t.Nanosecond()/1000)
}

// trimmed is seconds without zeros behind.
func trimmed(d time.Duration) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.6f", d.Seconds()), "0"), ".")
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func enabled(b bool) string {
	if b {
		return "enabled"
	}
	return "disabled"
}

func reversed(b bool) string {
	if b {
		return " reverse"
	}
	return ""
}
