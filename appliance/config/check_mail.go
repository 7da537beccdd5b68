package config

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Mail says where alerts go by mail, and what is one if nobody says otherwise. Whether
// something is one is with each router, group and entry point.
type Mail struct {
	Server  string // HOST:PORT
	Helo    string // the node's name to it
	From    string
	To      []string      // at least one
	Timeout time.Duration // of the connection, then of each mail
	Faults  bool          // the state fault is an alert too
	Tell    []MailNews    // of these
}

// MailNews is a kind of things that alerts are about.
type MailNews string

const (
	MailRouters MailNews = "routers"
	MailGroups  MailNews = "groups"  // which are in the file
	MailEntries MailNews = "entries" // whether an entry point has enough servers
	MailServers MailNews = "servers" // of entry points
)

var allMail = []MailNews{MailRouters, MailGroups, MailEntries, MailServers}

const (
	minMail    = time.Second
	maxMail    = 10 * time.Minute
	mostMailTo = 32
	smtpPort   = "25"
)

// checkMail reads where alerts go. It comes before everything that says whether it is one.
func (c *checker) checkMail(raw *rawMail) {
	if raw == nil {
		return
	}
	def := c.defaults.Mail
	m := &Mail{Faults: or(raw.Faults, def.Faults), Timeout: def.Timeout, Tell: def.Tell}
	c.config.Mail = m
	if raw.Server == nil {
		c.add("mail.server", "missing", `name the relay, like server = "192.0.2.25"; it is called at port 25 unless you write another`)
	} else {
		m.Server = c.mailServer("mail.server", *raw.Server)
	}
	m.Helo = c.helo(raw.Helo)
	m.From = "understudy@" + m.Helo
	if raw.From != nil {
		m.From = c.mailAddress("mail.from", *raw.From)
	}
	for i, v := range raw.To {
		if v == nil {
			continue
		}
		one := at("mail.to", i)
		a := c.mailAddress(one, *v)
		switch {
		case a == "":
		case slices.Contains(m.To, a):
			c.add(one, fmt.Sprintf("%s is there already", a), "remove it")
		case len(m.To) == mostMailTo:
			c.add(one, fmt.Sprintf("these are more than %d", mostMailTo), "write to a list")
		default:
			m.To = append(m.To, a)
		}
	}
	if len(raw.To) == 0 {
		c.add("mail.to", "missing", `say who gets them, like to = ["ops@example.org"]`)
	}
	if d := c.duration("mail.timeout", raw.Timeout, "30s"); d != nil {
		if m.Timeout = *d; *d < minMail || *d > maxMail {
			c.add("mail.timeout", *raw.Timeout+" is out of range", fmt.Sprintf("use %v to %v", minMail, maxMail))
		}
	}
	if raw.Tell != nil {
		m.Tell = c.mailNews(raw.Tell)
	}
}

func (c *checker) mailNews(raw []*string) (list []MailNews) {
	for i, v := range raw {
		if v == nil {
			continue
		}
		one := at("mail.tell", i)
		switch n := known(c, one, v, "", allMail); {
		case n == "":
		case slices.Contains(list, n):
			c.add(one, fmt.Sprintf("%s is there already", n), "remove it")
		default:
			list = append(list, n)
		}
	}
	return list
}

// mailServer reads HOST, HOST:PORT, ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT.
func (c *checker) mailServer(path, v string) string {
	host, port := v, smtpPort
	if a, err := netip.ParseAddr(strings.Trim(v, "[]")); err == nil {
		return net.JoinHostPort(a.String(), port)
	}
	if h, p, err := net.SplitHostPort(v); err == nil {
		host, port = h, p
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if _, bad := netip.ParseAddr(host); err != nil || n == 0 || bad != nil && !validHostName(host) {
		c.add(path, quote(v)+" is not a server", `write a name or an address, with a port or without, like "mail.example.org" or "192.0.2.25:587"`)
		return ""
	}
	return net.JoinHostPort(host, port)
}

// helo is the name that the node has to the server.
func (c *checker) helo(v *string) string {
	if v == nil {
		if name, err := os.Hostname(); err == nil && validHostName(name) {
			return name
		}
		return "localhost"
	}
	name := strings.Trim(*v, "[]")
	if _, err := netip.ParseAddr(name); err != nil && !validHostName(*v) {
		c.add("mail.helo", quote(*v)+" is not the name of a host", `write one, like helo = "gw1.example.org"`)
		return ""
	}
	return *v
}

// mailAddress reads NAME@DOMAIN, without a name of a person and without quotes.
func (c *checker) mailAddress(path, v string) string {
	local, domain, ok := strings.Cut(v, "@")
	if !ok && path != "mail.from" {
		domain, ok = "localhost", true // a user of the relay
	}
	if !ok || !validLocal(local) || !validHostName(strings.Trim(domain, "[]")) && !validLiteral(domain) {
		c.add(path, quote(v)+" is not a mail address", `write it alone, like "ops@example.org"`)
		return ""
	}
	return v
}

// validLocal is RFC 5321's Dot-string, which has nothing that could mean something to a
// server or to who reads a header.
func validLocal(s string) bool {
	if s == "" || len(s) > 64 || s[0] == '.' || s[len(s)-1] == '.' {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>[]:;@\,"`, r)
	})
}

// validHostName is a name of a host: letters, digits, '-' and '_' between dots.
func validHostName(s string) bool {
	if len(s) > 253 {
		return false
	}
	for l := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if l == "" || len(l) > 63 || l[0] == '-' || strings.ContainsFunc(l, func(r rune) bool { return r >= 0x80 || !bareByte(byte(r)) }) {
			return false
		}
	}
	return true
}

// validLiteral is an address in brackets.
func validLiteral(s string) bool {
	in, ok := strings.CutPrefix(s, "[")
	in, ok2 := strings.CutSuffix(in, "]")
	_, err := netip.ParseAddr(strings.TrimPrefix(in, "IPv6:"))
	return ok && ok2 && err == nil
}

// mailed tells whether something is an alert: as it says, else as its kind is.
func (c *checker) mailed(path string, raw *bool, kind MailNews) bool {
	m := c.config.Mail
	if raw != nil && m == nil {
		c.add(path, "there is no [mail] that would say where to", "add it, or remove this")
	}
	if m == nil {
		return false
	}
	return or(raw, slices.Contains(m.Tell, kind))
}
