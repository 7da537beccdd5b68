package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"understudy/lacp"
)

func TestLACPUsage(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		args []string
		says string
	}{
		{nil, "no --interface"},
		{[]string{"--interface", "x0", "--interface", "x0"}, "twice"},
		{[]string{"--interface", "x0", "--system", "nonsense"}, "no MAC address"},
		{[]string{"--interface", "x0", "--system", "01:80:c2:00:00:02"}, "no MAC address of a system"},
		{[]string{"--interface", "x0", "--key", "70000"}, "invalid argument"},
		{[]string{"x0"}, "unknown command"},
	} {
		code, _, errs := understudy(t, dir, append([]string{"lacp"}, tt.args...)...)
		if code != exitUsage || !strings.Contains(errs, tt.says) {
			t.Errorf("%v: exit code %d: %s", tt.args, code, errs)
		}
	}
	if code, _, errs := understudy(t, dir, "lacp", "--interface", "nowhere0"); code != exitFailed || !strings.Contains(errs, "nowhere0") {
		t.Errorf("an interface that is not there: exit code %d: %s", code, errs)
	}
}

// What is printed is printed once, in both forms.
func TestLACPReport(t *testing.T) {
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	gateway, far := lacp.MAC{2, 0, 0, 0, 0, 1}, lacp.MAC{2, 0, 0, 0, 0, 2}
	a := lacp.NewActor(lacp.ActorConfig{System: gateway, Fast: true, Single: true, Ports: []lacp.PortConfig{{Number: 1, Key: 7}, {Number: 2, Key: 7}}})
	self := lacp.NewSelf(lacp.MonitorConfig{}, "eth0", "eth1")
	var text, lines bytes.Buffer
	printers := []*lacpPrinter{{w: &text}, {w: &lines, asJSON: true}}
	step := func(in lacp.ActorInput) {
		self.Saw(at, a, in, a.Step(at, in))
		for _, p := range printers {
			p.print(at, lacpReportOf(a, self))
			if p.err != nil {
				t.Fatal(p.err)
			}
		}
	}
	step(lacp.ActorInput{Kind: lacp.ActLink, Port: 0, Up: true})
	for range 4 {
		step(lacp.ActorInput{Kind: lacp.ActFrame, Port: 0, Frame: lacp.Append(lacp.AppendHeader(nil, far), &lacp.PDU{Version: 1,
			Actor: lacp.Info{System: far, Key: 3, Port: 9, State: 0x3f}, Partner: a.Port(0).Actor})})
		at = at.Add(time.Second)
		step(lacp.ActorInput{Kind: lacp.ActTick})
	}
	reports := strings.Count(text.String(), "links carry")
	if reports < 3 || reports > 6 || reports != strings.Count(lines.String(), "\n") {
		t.Errorf("%d reports:\n%s%s", reports, text.String(), lines.String())
	}
	last := text.String()[strings.LastIndex(text.String(), "12:00"):]
	want := `12:00:04.000 degraded: 1 of 2 links carry
  eth0     partner current, collecting_distributing
    this end 02:00:00:00:00:01 key 7 port 1 0x3f (activity|timeout_short|aggregation|synchronization|collecting|distributing)
    far end  02:00:00:00:00:02 key 3 port 9 0x3f (activity|timeout_short|aggregation|synchronization|collecting|distributing)
  eth1     down
    this end 02:00:00:00:00:01 key 7 port 2 0x47 (activity|timeout_short|aggregation|defaulted)
  warning link_down: eth1: no carrier; look at the cable, the transceiver and the port at the other end
  warning at_min_links: 1 of 2 members carry, 1 have to; not eth1; mend the members that do not carry: see their findings
`
	if last != want {
		t.Errorf("the last report is\n%s\nwant\n%s", last, want)
	}
	var r struct {
		At       time.Time
		State    string
		Carrying int
		Links    []struct {
			Interface, Receive, Mux, Selected string
			Aggregator                        int
			Synchronized, Carries, Up         bool
			Actor                             struct{ State string }
			Partner                           *struct{ System string }
		}
		Findings []struct{ Name, Severity, Member, Detail string }
	}
	all := strings.Split(strings.TrimSpace(lines.String()), "\n")
	if err := json.Unmarshal([]byte(all[len(all)-1]), &r); err != nil {
		t.Fatal(err)
	}
	if r.At.IsZero() || r.State != "degraded" || r.Carrying != 1 || len(r.Links) != 2 || len(r.Findings) != 2 {
		t.Fatalf("%+v", r)
	}
	if l := r.Links[0]; l.Interface != "eth0" || l.Receive != "current" || l.Mux != "collecting_distributing" || l.Selected != "selected" ||
		l.Aggregator != 1 || !l.Synchronized || !l.Carries || l.Actor.State != "0x3f" || l.Partner == nil || l.Partner.System != far.String() {
		t.Errorf("%+v", l)
	}
	if l := r.Links[1]; l.Up || l.Partner != nil || l.Aggregator != 0 {
		t.Errorf("%+v", l)
	}
	if f := r.Findings[0]; f.Name != "link_down" || f.Severity != "warning" || f.Member != "eth1" {
		t.Errorf("%+v", f)
	}
}
