package config

import (
	"fmt"
	"time"
)

const (
	maxAdvertise2 = 255 * time.Second // a byte of seconds, RFC 3768 section 5.3.7
	maxAuthPass   = 8                 // octets, RFC 2338 section 5.3.6
)

// version reads the version of VRRP.
func (c *checker) version(path string, v *int64) uint8 {
	def := c.defaults.Router.Version
	switch n := or(v, int64(def)); n {
	case 2, 3:
		return uint8(n)
	default:
		c.add(path, fmt.Sprintf("%d is not a version of VRRP", n), "use 3, or 2 if another router speaks nothing newer")
		return def
	}
}

// advertiseSeconds checks an interval of version 2.
func (c *checker) advertiseSeconds(path, v string, d time.Duration) {
	switch rest := d % time.Second; {
	case d < time.Second:
		c.add(path, v+" is too short for version 2", "use at least 1s, or version = 3 on all nodes")
	case d > maxAdvertise2:
		c.add(path, v+" is too long", "use at most 255s, the most VRRPv2 can say")
	case rest != 0:
		low := d - rest
		c.add(path, v+" is not a whole number of seconds, which VRRPv2 counts in", fmt.Sprintf("use %v or %v", low, min(low+time.Second, maxAdvertise2)))
	}
}

// authType reads what the password of version 2 is for.
func (c *checker) authType(path string, raw *rawRouter, version uint8) AuthType {
	def := c.defaults.Router.AuthType
	path = join(path, "auth_type")
	t := known(c, path, raw.AuthType, def, []AuthType{AuthPass, AuthAH})
	switch {
	case raw.AuthType == nil || t == def:
	case version != 2:
		c.add(path, "version 3 has no authentication (RFC 9568 section 9)", "remove it")
		return def
	case raw.AuthPass == nil:
		c.add(path, fmt.Sprintf("%q without a key", t), "write auth_pass, 1 to 8 characters, the same on all nodes")
		return def
	}
	return t
}

// authPass reads the password of version 2. What is wrong is said without it.
func (c *checker) authPass(path string, v *string, version uint8) string {
	switch {
	case v == nil:
		return ""
	case version != 2:
		c.add(path, "version 3 has no authentication (RFC 9568 section 9)", "remove it")
	case *v == "":
		c.add(path, "an empty password is none", "remove it, or write 1 to 8 characters")
	case !printable(*v):
		c.add(path, "it has characters other than printable ASCII", "use letters, digits and punctuation")
	case len(*v) > maxAuthPass:
		c.add(path, fmt.Sprintf("%d characters do not fit into an advert", len(*v)), "write the first 8 only, which is what keepalived sends of a longer one")
	default:
		return *v
	}
	return ""
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
