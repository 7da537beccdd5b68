package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"understudy/appliance/config"
	"understudy/health/probe"
)

// Every kind of check of the reference configuration becomes something that tries,
// something that hears, or something made of others; what cannot be made here, as
// for want of a file, is down and says why.
func TestEveryKindBecomesACheck(t *testing.T) {
	const file = "../../etc/understudy.toml"
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse(file, src, config.Options{ReadSecret: func(path string) ([]byte, os.FileMode, error) {
		secret := "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n"
		if filepath.Ext(path) == ".secret" {
			secret = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=\n"
		}
		return []byte(secret), 0o600, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	list := probes(cfg)
	heard := probe.NewHeard()
	hear, failed := sources(cfg, heard)
	kinds := map[config.CheckKind]bool{}
	pushed := 0
	for i, k := range cfg.Checks {
		kinds[k.Kind] = true
		p, bad := list[i].Prober.(impossible)
		switch {
		case k.Combined():
			if len(list[i].Of) != len(k.Checks) || list[i].Prober != nil || list[i].Need < 1 {
				t.Errorf("%s: %+v", k.Name, list[i])
			}
		case list[i].Pushed:
			pushed++
			if list[i].Prober != nil {
				t.Errorf("%s is tried", k.Name)
			}
		case list[i].Prober == nil:
			t.Errorf("%s is never tried", k.Name)
		case bad && !strings.Contains(p.err.Error(), "/etc/understudy/ca.pem: no such file"):
			t.Errorf("%s: %v", k.Name, p.err)
		}
	}
	if pushed != 2 || len(hear)+len(failed) != pushed {
		t.Errorf("%d are pushed, %d are heard, %v", pushed, len(hear), failed)
	}
	for _, k := range []config.CheckKind{config.CheckICMP, config.CheckTCP, config.CheckHTTP, config.CheckHTTPS, config.CheckDNS, config.CheckUDP, config.CheckSMTP, config.CheckFile,
		config.CheckProcess, config.CheckRoute, config.CheckScript, config.CheckHeartbeat, config.CheckWatchdog, config.CheckAll, config.CheckQuorum} {
		if !kinds[k] {
			t.Errorf("the reference has no check of kind %s", k)
		}
	}
	if _, err := prober(config.Check{Kind: "telepathy"}, false); err == nil {
		t.Error("a prober of no kind")
	}
}

// What is tried, and not what it is called or how it is judged, makes checks one
// probe.
func TestSubjectIsWhatIsTried(t *testing.T) {
	k := config.Check{Name: "a", Kind: config.CheckTCP, Fall: 3, Every: 1}
	other := k
	other.Name, other.Fall, other.Every = "b", 5, 2
	if subject(k) != subject(other) {
		t.Errorf("%s\n%s", subject(k), subject(other))
	}
	other.Interface = "eth0"
	if subject(k) == subject(other) {
		t.Error("another interface is the same")
	}
}
