package config

import (
	"strings"
	"testing"
	"time"

	"understudy/vrrp"
)

// TestVersion2: what the file says reaches the election, which takes it.
func TestVersion2(t *testing.T) {
	c := parse(t, "f", `node = "gw1"
[[router]]
name = "old"
interface = "lan0"
vrid = 51
version = 2
advertise = "255s"
auth_pass = "12345678"
addresses = ["10.0.0.1/24"]
`)
	set := c.Election()
	r := set.Routers[0]
	if r.Version != 2 || r.Interval != 255*time.Second || r.Auth != "12345678" {
		t.Errorf("the election gets %+v", r)
	}
	if _, err := vrrp.NewSet(set); err != nil {
		t.Error(err)
	}
}

// TestAuthType: the key of an authentication header is not sent as a password, and nodes agree on which it is.
func TestAuthType(t *testing.T) {
	src := "node = \"gw1\"\n[[router]]\nname = \"a\"\ninterface = \"lan0\"\nvrid = 51\naddresses = [\"10.0.0.1/24\"]\nversion = 2\nauth_pass = \"hush\"\n"
	pass, ah := parse(t, "f", src+"auth_type = \"pass\"\n"), parse(t, "f", src+"auth_type = \"ah\"\n")
	if pass.Hash() == ah.Hash() || pass.Hash() != parse(t, "f", src).Hash() {
		t.Error("the hash does not tell them apart")
	}
	if r := pass.Election().Routers[0]; r.AuthHeader || r.Auth != "hush" {
		t.Errorf("pass: %+v", r)
	}
	set := ah.Election()
	if r := set.Routers[0]; !r.AuthHeader || r.Auth != "hush" {
		t.Errorf("ah: %+v", r)
	}
	if _, err := vrrp.NewSet(set); err != nil {
		t.Error(err)
	}
}

// TestVersionIsAgreedOn: nodes with different versions would both be active, so
// they do not agree. The password is nobody's business.
func TestVersionIsAgreedOn(t *testing.T) {
	src := "node = \"gw1\"\n[[router]]\nname = \"a\"\ninterface = \"lan0\"\nvrid = 51\naddresses = [\"10.0.0.1/24\"]\n"
	three, two := parse(t, "f", src), parse(t, "f", src+"version = 2\nauth_pass = \"hush\"\n")
	if three.Hash() == two.Hash() {
		t.Error("version 2 and version 3 have one hash")
	}
	if strings.Contains(two.Agreement(), "hush") {
		t.Errorf("it tells the password:\n%s", two.Agreement())
	}
}
