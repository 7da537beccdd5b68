package interop

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"understudy/vrrp"
)

// A pair of instances in a group and one by itself, and all that can be told of them.
const notifyConf = `global_defs {
  router_id R1
  script_user root
  enable_script_security
  notify_fifo /run/all.fifo
  notify_fifo_script "/run/read.sh all"
  vrrp_notify_fifo /run/vrrp.fifo
  vrrp_notify_fifo_script "/run/read.sh vrrp"
  vrrp_version 3
}
vrrp_sync_group G_1 {
  group {
    VI_1
    VI_2
  }
  notify /run/told.sh
  notify_fault "/run/told.sh group fault"
}
vrrp_instance VI_1 {
  interface eth0
  virtual_router_id 51
  priority 100
  advert_int 0.2
  virtual_ipaddress {
    10.254.0.9/24
  }
  notify "/run/told.sh 'all of' \"it\""
  notify_master /run/told.sh
  notify_backup "/run/told.sh backup"
  notify_fault "/run/told.sh fault"
  notify_stop "/run/told.sh stop"
}
vrrp_instance VI_2 {
  interface eth0
  virtual_router_id 52
  priority 90
  advert_int 0.2
  virtual_ipaddress {
    10.254.0.19/24
  }
}
vrrp_instance VI_3 {
  interface eth1
  virtual_router_id 53
  priority 80
  advert_int 0.2
  virtual_ipaddress {
    10.253.0.9/24
  }
  notify "/run/told.sh three"
  notify_deleted "/run/told.sh deleted"
}
`

// toldScript writes its arguments as one line: a whole line is written at once.
const toldScript = "#!/bin/sh\nline=told\nfor a; do line=\"$line [$a]\"; done\necho \"$line\" >>/run/told.log\n"

const readScript = "#!/bin/sh\nwhile read -r line; do echo \"$1 $line\" >>/run/told.log; done <\"$2\"\n"

// TestNotify: programs and pipes are told the same by ours as by 2.2.7, through a life:
// each instance's and each group's in their order.
func TestNotify(t *testing.T) {
	s := newScene(t)
	ours := s.daemon("ours", s.asKeepalived())
	theirs := s.daemon("theirs", s.tool("keepalived", "/usr/sbin/keepalived"))
	said := map[*daemon][]string{}
	for _, d := range []*daemon{theirs, ours} {
		_, err := d.Join(s.Segment(d.Name+"-1"), "eth1", "10.253.0.1/24")
		s.must(err)
		s.must(d.WriteFile("/run/told.sh", []byte(toldScript), 0o755))
		s.must(d.WriteFile("/run/read.sh", []byte(readScript), 0o755))
		s.must(d.WriteFile(daemonConf, []byte(notifyConf), 0o644))
		cmd := exec.Command(d.binary, "-n", "-l", "-D", "-f", daemonConf)
		cmd.Env = append(os.Environ(), "TMPDIR="+daemonTmp)
		p, err := d.StartWith(cmd)
		s.must(err)
		s.logs(p, d.Name)
		d.wait("pid file", func() error { _, err := d.pid("/run/keepalived.pid"); return err })
		d.is(2, "VI_1", "VI_2", "VI_3")
		d.toldOf("BACKUP", 1)
		d.toldOf("MASTER", 1)
		s.must(d.Link("eth0").Unplug())
		d.toldOf("FAULT", 1)
		s.must(d.Link("eth0").Plug())
		d.toldOf("BACKUP", 2)
		d.toldOf("MASTER", 2)
		if d == ours {
			// 2.2.7 loses its script_user in a reload, and with it all programs.
			shorter := strings.Replace(notifyConf, notifyConf[strings.Index(notifyConf, "vrrp_instance VI_3"):], "", 1)
			d.must(d.WriteFile(daemonConf, []byte(shorter), 0o644))
			d.signal(1)
			d.told("told [deleted]", 1)
			d.told(`all INSTANCE "VI_3" DELETED 80`, 1)
			d.told("told [three] [INSTANCE] [VI_3] [DELETED] [80]", 1)
		}
		d.signal(15)
		select {
		case <-p.Done():
		case <-s.within(patience).Done():
			t.Fatal("it does not stop")
		}
		text, err := d.file("/run/told.log")
		s.must(err)
		said[d] = strings.Split(strings.TrimSpace(text), "\n")
	}
	about := func(d *daemon, who ...string) (list []string) {
		for _, l := range said[d] {
			if d == ours && strings.Contains(l, "DELETED") {
				continue
			}
			for _, w := range who {
				if strings.HasPrefix(l, w) {
					list = append(list, l)
				}
			}
		}
		return list
	}
	// Of the end, what reads 2.2.7's pipes mostly hears nothing: it is killed first, and so
	// may its programs be. What ours hears of it is below.
	ends := func(list []string) (out []string) {
		for _, l := range list {
			if !strings.Contains(l, "STOP") && l != "told [stop]" {
				out = append(out, l)
			}
		}
		return out
	}
	for _, who := range [][]string{
		{"told [all of] [it] [INSTANCE] [VI_1]"}, {"told [GROUP] [G_1]"}, {"told [three] [INSTANCE] [VI_3] [BACKUP]", "told [three] [INSTANCE] [VI_3] [MASTER]"},
		{`vrrp INSTANCE "VI_1"`}, {`vrrp INSTANCE "VI_2"`}, {`vrrp GROUP`}, {`all INSTANCE "VI_1"`}, {`all INSTANCE "VI_2"`}, {`all GROUP`},
		{"told [backup]"}, {"told [fault]"}, {"told [group] [fault]"},
	} {
		want, got := ends(about(theirs, who...)), ends(about(ours, who...))
		if strings.HasPrefix(who[0], "told") { // theirs run beside each other, and are done in any order
			slices.Sort(want)
			slices.Sort(got)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%v: -theirs +ours\n%s", who, d)
		}
	}
	for who, format := range map[string]string{"told [all of]": "told [all of] [it] [INSTANCE] [VI_1] [%s] [100]", "told [GROUP]": "told [GROUP] [G_1] [%s] [0]"} {
		var want []string
		for _, state := range []string{"BACKUP", "MASTER", "FAULT", "BACKUP", "MASTER", "STOP"} {
			want = append(want, fmt.Sprintf(format, state))
		}
		if d := cmp.Diff(want, about(ours, who)); d != "" {
			t.Errorf("the order of ours: %s", d)
		}
	}
	last := fmt.Sprint(about(ours, "all INSTANCE \"VI_1\""), about(ours, "told [all of]"), about(ours, "told [GROUP]"))
	for _, want := range []string{`all INSTANCE "VI_1" STOP 100]`, "[INSTANCE] [VI_1] [STOP] [100]]", "[GROUP] [G_1] [STOP] [0]]"} {
		if !strings.Contains(last, want) {
			t.Errorf("the last was not %s: %s", want, last)
		}
	}
	if n := len(about(ours, "told [stop]")); n != 1 {
		t.Errorf("notify_stop ran %d times", n)
	}
	// notify_master runs the same program as notify, without arguments.
	if n := len(about(ours, "told")) - len(about(ours, "told [")); n != 2 {
		t.Errorf("notify_master ran %d times", n)
	}
	if t.Failed() {
		t.Logf("theirs:\n%s\nours:\n%s", strings.Join(said[theirs], "\n"), strings.Join(said[ours], "\n"))
	}
}

// toldOf waits until everybody has been told of a state of the group's so many times: each
// program, and who reads each pipe. Until then the next thing must not happen, or 2.2.7,
// which waits for nobody, has one told after it or not at all. VI_3 is not in the group,
// and stays.
func (d *daemon) toldOf(state string, times int) {
	d.t.Helper()
	for _, pipe := range []string{"vrrp", "all"} {
		for _, what := range []string{`INSTANCE "VI_1" %s 100`, `INSTANCE "VI_2" %s 90`, `GROUP "G_1" %s 0`} {
			d.told(pipe+" "+fmt.Sprintf(what, state), times)
		}
		if state != "FAULT" {
			d.told(fmt.Sprintf(`%s INSTANCE "VI_3" %s 80`, pipe, state), 1)
		}
	}
	d.told(fmt.Sprintf("told [all of] [it] [INSTANCE] [VI_1] [%s] [100]", state), times)
	d.told(fmt.Sprintf("told [GROUP] [G_1] [%s] [0]", state), times)
	switch state {
	case "BACKUP":
		d.told("told [backup]", times)
		d.told("told [three] [INSTANCE] [VI_3] [BACKUP] [80]", 1)
	case "MASTER":
		d.told("told", times)
		d.told("told [three] [INSTANCE] [VI_3] [MASTER] [80]", 1)
	case "FAULT":
		d.told("told [fault]", times)
		d.told("told [group] [fault]", times)
	}
}

// told waits until a line has been said so many times.
func (d *daemon) told(line string, times int) {
	d.t.Helper()
	d.wait(fmt.Sprintf("%s to say %q %d times", d.Name, line, times), func() error {
		text, err := d.file("/run/told.log")
		if n := strings.Count("\n"+text, "\n"+line+"\n"); err == nil && n != times {
			err = fmt.Errorf("%d times:\n%s", n, text)
		}
		return err
	})
}

// TestOutranked: whoever asks to hear of adverts of a lower priority hears of them, at a
// pace, while the router is active.
func TestOutranked(t *testing.T) {
	s := newScene(t)
	d := newDUT(s, settings{priority: 200, interval: 100 * time.Millisecond}, `notify = [
  { command = ["/run/lab/told.sh", "lower"], states = ["inferior"] },
  { command = ["/run/lab/told.sh", "all"] },
]
`)
	s.must(d.WriteFile("/run/lab/told.sh", []byte(strings.ReplaceAll(toldScript, "/run/told.log", "/run/lab/told.log")), 0o755))
	heard := func() string {
		path, err := d.Path("/run/lab/told.log")
		s.must(err)
		b, _ := os.ReadFile(path) // nothing yet
		return string(b)
	}
	d.wait("us to be Active", d.is("lan", "active"))
	r := d.injector("10.0.1.1")
	for range 5 {
		r.heard(90, 100*time.Millisecond, vrrp.FormPseudo)
	}
	d.wait("the program", func() error {
		if got := heard(); !strings.Contains(got, "told [lower]\n") {
			return fmt.Errorf("it has heard %q", got)
		}
		return nil
	})
	if got := heard(); strings.Count(got, "lower") > 2 || strings.Contains(got, "inferior") {
		t.Errorf("told %q", got)
	}
}
