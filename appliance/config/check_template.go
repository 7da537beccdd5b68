package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"understudy/nat/entry"
)

// template is a check that has no host to try: one is made of it for each server of an
// entry point that names it. A check of checks is one if it is made of one.
type template struct {
	path  string // of the check
	raw   *rawCheck
	port  uint16 // to try, instead of the server's; 0: none
	usual uint16 // of its kind, where the server has none either
	used  bool
}

// What to say of whom, where it is missing.
const (
	sayPing    = `say whom to ping, like target = "203.0.113.254"`
	sayConnect = `say where to connect to, like target = "10.0.0.20:80"`
)

// hostless notes that a check names no host, or ":PORT" of none, and tells whether so.
func (c *checker) hostless(path string, raw *rawCheck, k *Check, usual uint16) bool {
	if k.Kind == CheckHeartbeat || k.Name == "" { // each server has a secret of its own
		return false
	}
	t := &template{path: path, raw: raw, usual: usual}
	if raw.Target != nil {
		port, ok := strings.CutPrefix(*raw.Target, ":")
		if !ok || k.Kind == CheckICMP {
			return false
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return false // and no address either
		}
		t.port = uint16(n)
	}
	c.templates[k.Name] = t
	return true
}

// spreadTemplates makes templates of the checks that are made of some.
func (c *checker) spreadTemplates(raw []*rawCheck) {
	for before := -1; before != len(c.templates); {
		before = len(c.templates)
		c.eachCheck(raw, func(path string, rc *rawCheck, k *Check) {
			if k.Name != "" && c.templates[k.Name] == nil && slices.ContainsFunc(k.Checks, c.isTemplate) {
				c.templates[k.Name] = &template{path: path, raw: rc}
			}
		})
	}
}

func (c *checker) isTemplate(name string) bool { return c.templates[name] != nil }

// hostful refuses a template where one check is meant.
func (c *checker) hostful(path, name string) bool {
	t := c.templates[name]
	if t == nil {
		return true
	}
	c.use(name)
	c.add(path, fmt.Sprintf("check %s names no host to try: there is one for each server that names it", quote(name)), "name a check that has a target")
	return false
}

// use notes that somebody names a template, and what it is made of.
func (c *checker) use(name string) {
	t := c.templates[name]
	if t == nil || t.used {
		return
	}
	t.used = true
	for _, of := range c.config.Check(name).Checks {
		c.use(of)
	}
}

// checkOf returns the name of the check of a server: the one that is named, or that
// which is made of it for the server. Who asks for the same gets the same.
func (c *checker) checkOf(path, name string, server netip.AddrPort) string {
	t := c.templates[name]
	if t == nil {
		return name
	}
	c.use(name)
	if !server.IsValid() {
		return name // refused already
	}
	k := *c.config.Check(name)
	if k.Combined() {
		k.Name = name + "@" + entry.AddressText(server)
		k.Checks = slices.Clone(k.Checks)
		for i, of := range k.Checks {
			k.Checks[i] = c.checkOf(path, of, server)
		}
		c.made(k)
		return k.Name
	}
	port := uint16(0)
	if k.Kind != CheckICMP {
		for _, p := range []uint16{t.usual, server.Port(), t.port} {
			if p != 0 {
				port = p
			}
		}
		if port == 0 {
			c.add(path, fmt.Sprintf("neither the server nor the check %s has a port to try", quote(name)), `name it in the check, like target = ":8443"`)
			return name
		}
	}
	k.Target = netip.AddrPortFrom(server.Addr(), port)
	k.Name = name + "@" + entry.AddressText(k.Target)
	c.reachable(t.path, t.raw, &k)
	c.made(k)
	return k.Name
}

// made adds a check that was made of a template, once.
func (c *checker) made(k Check) {
	if !slices.ContainsFunc(c.fromTemplates, func(o Check) bool { return o.Name == k.Name }) {
		c.fromTemplates = append(c.fromTemplates, k)
	}
}

// checkTemplates refuses those that nobody names, and puts in their place what was made
// of the others.
func (c *checker) checkTemplates(raw []*rawCheck) {
	c.eachCheck(raw, func(path string, rc *rawCheck, k *Check) {
		if t := c.templates[k.Name]; t == nil || t.used || k.Combined() {
			return
		}
		say := sayConnect
		if k.Kind == CheckICMP {
			say = sayPing
		}
		c.add(join(path, "target"), "missing", say+", or name the check with servers of an entry point")
	})
	c.config.Checks = slices.DeleteFunc(c.config.Checks, func(k Check) bool { return c.isTemplate(k.Name) })
	c.config.Checks = append(c.config.Checks, c.fromTemplates...)
}
