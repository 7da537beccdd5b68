package installed

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestExposure: docs/security.md says of the unit what systemd says of it. Each version of
// systemd counts in its own way: on another one than the page names, the page is only held
// to the word behind the figure.
func TestExposure(t *testing.T) {
	c := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", filepath.Join(tree, "etc/systemd/understudy.service"))
	out, err := c.CombinedOutput()
	found := regexp.MustCompile(`exposure level for understudy\.service: ([0-9.]+) (\w+)`).FindStringSubmatch(string(out))
	if err != nil || found == nil {
		t.Fatalf("%v: %v\n%s", c.Args, err, out)
	}
	version, err := exec.Command("systemd-analyze", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(tree, "docs/security.md"))
	if err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile(`\(systemd (\d+)\) calls the exposure \*\*([0-9.]+)\*\*, \*(\w+)\*`).FindStringSubmatch(string(page))
	if said == nil {
		t.Fatal("docs/security.md does not say how exposed the service is")
	}
	same := strings.HasPrefix(string(version), "systemd "+said[1]+" ")
	if said[3] != found[2] || same && said[2] != found[1] {
		t.Errorf("docs/security.md says %s, %s; %s says %s, %s:\n%s", said[2], said[3], strings.Fields(string(version))[1], found[1], found[2], out)
	}
}
