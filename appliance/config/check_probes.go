package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"understudy/health/expect"
)

// web reads what http and https have: what to ask, and what must come.
func (c *checker) web(path string, raw *rawCheck, k *Check) {
	def := c.defaults.Check
	usual := uint16(80)
	if k.Kind == CheckHTTPS {
		usual = 443
		c.certificates(path, raw, k)
	}
	c.connects(path, raw, k, usual)
	k.Path = or(raw.Path, def.Path)
	if u, err := url.ParseRequestURI(k.Path); err != nil || u.Host != "" {
		c.add(join(path, "path"), quote(k.Path)+" is not the path of a page", `begin it with /, like path = "/health"`)
	}
	k.Method = or(raw.Method, def.Method)
	if !regexp.MustCompile(`^[A-Z]+$`).MatchString(k.Method) {
		c.add(join(path, "method"), quote(k.Method)+" is not a method", `write it in capitals, like "GET" or "HEAD"`)
	}
	k.Host = or(raw.Host, "")
	if raw.Host != nil && (k.Host == "" || strings.ContainsFunc(k.Host, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '/' })) {
		c.add(join(path, "host"), quote(k.Host)+" is not the name of a host", `write it as a browser would send it, like host = "www.example.org"`)
	}
	k.Status = c.statusCodes(join(path, "status"), raw.Status)
	k.Body = or(raw.Body, "")
	c.page(path, raw, k)
}

// statusCodes reads which codes are good; none: 200 to 299.
func (c *checker) statusCodes(path string, raw []*string) (list []expect.Span) {
	if raw != nil && len(raw) == 0 {
		c.add(path, "no status will do", `list some, like status = ["200-299"], or remove it`)
	}
	for i, v := range raw {
		here := path
		if len(raw) > 1 {
			here = at(path, i)
		}
		if v == nil {
			continue
		}
		s, err := expect.ParseSpan(*v)
		if err != nil || s.First < 100 || s.Last > 599 {
			c.add(here, quote(*v)+" is no status code", `use 100 to 599, or a range of them, like "200-299"`)
			continue
		}
		list = append(list, s)
	}
	return list
}

// page reads what a page must be like.
func (c *checker) page(path string, raw *rawCheck, k *Check) {
	k.Match = c.expression(join(path, "match"), raw.Match)
	k.MatchNot = c.expression(join(path, "match_not"), raw.MatchNot)
	c.matchSpan(path, raw, k)
	if raw.Digest != nil {
		var err error
		if k.Digest, err = expect.ParseDigest(*raw.Digest); err != nil {
			c.add(join(path, "digest"), fmt.Sprintf("%s is not a digest: %v", quote(*raw.Digest), err), `write it like "sha256:…" (of sha256sum) or "md5:…" (of genhash)`)
		}
	}
	if k.Method != "HEAD" {
		return
	}
	for _, key := range []struct {
		name string
		is   bool
	}{{"body", raw.Body != nil}, {"match", raw.Match != nil}, {"match_not", raw.MatchNot != nil}, {"digest", raw.Digest != nil}} {
		if key.is {
			c.add(join(path, key.name), "the answer to HEAD has no body", `remove it, or write method = "GET"`)
		}
	}
}

// longestPage is how much of a page is read, in octets.
const longestPage = 1 << 20

// matchSpan reads where a match may begin.
func (c *checker) matchSpan(path string, raw *rawCheck, k *Check) {
	k.MatchFrom = c.count(join(path, "match_from"), raw.MatchFrom, 0, 0, longestPage)
	if raw.MatchUntil != nil {
		n := c.count(join(path, "match_until"), raw.MatchUntil, 0, 0, longestPage)
		k.MatchUntil = &n
		if n < k.MatchFrom && !c.bad(join(path, "match_until")) {
			c.add(join(path, "match_until"), fmt.Sprintf("%d is before match_from, %d: nothing could match", n, k.MatchFrom), "make it that or more, or remove it")
		}
	}
	if raw.Match != nil || raw.MatchNot != nil {
		return
	}
	for _, key := range []struct {
		name string
		is   bool
	}{{"match_from", raw.MatchFrom != nil}, {"match_until", raw.MatchUntil != nil}} {
		if key.is {
			c.add(join(path, key.name), "there is no expression that it would be of", "add match or match_not, or remove it")
		}
	}
}

func (c *checker) expression(path string, v *string) string {
	if v == nil {
		return ""
	}
	if _, err := regexp.Compile(*v); err != nil {
		c.add(path, fmt.Sprintf("%s is not a regular expression: %v", quote(*v), err), "write it as Go's regexp has it (RE2: no lookaround, no backreferences)")
	}
	return *v
}

// certificates reads how an https server proves who it is.
func (c *checker) certificates(path string, raw *rawCheck, k *Check) {
	k.Verify = or(raw.Verify, c.defaults.Check.Verify)
	k.ServerName = or(raw.ServerName, "")
	for _, file := range []struct {
		key  string
		v    *string
		into *string
	}{{"ca_file", raw.CAFile, &k.CAFile}, {"cert_file", raw.CertFile, &k.CertFile}, {"key_file", raw.KeyFile, &k.KeyFile}} {
		switch {
		case file.v == nil:
		case *file.v == "":
			c.add(join(path, file.key), "names no file", "name one, or remove it")
		default:
			*file.into = c.beside(*file.v)
		}
	}
	if !k.Verify && raw.CAFile != nil {
		c.add(join(path, "ca_file"), "with verify = false nobody looks at it", "remove one of the two")
	}
	switch {
	case (raw.CertFile == nil) == (raw.KeyFile == nil):
	case raw.CertFile == nil:
		c.add(join(path, "key_file"), "a key without its certificate", "name the certificate too, with cert_file")
	default:
		c.add(join(path, "cert_file"), "a certificate without its key", "name the key too, with key_file")
	}
}

func (c *checker) dns(path string, raw *rawCheck, k *Check) {
	def := c.defaults.Check
	c.connects(path, raw, k, 53)
	k.Query = or(raw.Query, def.Query)
	if !validQuery(k.Query) {
		c.add(join(path, "query"), quote(k.Query)+" is not a domain name", `write it like "example.org", or "." for the root`)
	}
	k.Type = known(c, join(path, "type"), raw.Type, def.Type, expect.DNSTypes())
	k.RCode = known(c, join(path, "rcode"), raw.RCode, def.RCode, expect.DNSCodes())
	for i, v := range raw.Answers {
		here := join(path, "answers")
		if len(raw.Answers) > 1 {
			here = at(here, i)
		}
		switch {
		case v == nil:
		case k.RCode != "NOERROR":
			c.add(here, fmt.Sprintf("an answer of %s has none", k.RCode), "remove answers, or rcode")
		case *v == "":
			c.add(here, "an answer without data", `write the data of the record, like "192.0.2.1"`)
		case (k.Type == "A" || k.Type == "AAAA") && !isAddress(*v, k.Type):
			c.add(here, fmt.Sprintf("%s is not the data of an %s record", quote(*v), k.Type), "write the address")
		default:
			k.Answers = append(k.Answers, answerText(*v, k.Type))
		}
	}
}

func isAddress(v, kind string) bool {
	a, err := netip.ParseAddr(v)
	return err == nil && a.Is4() == (kind == "A") && a.Zone() == ""
}

// answerText is data in the form that it is compared in.
func answerText(v, kind string) string {
	if a, err := netip.ParseAddr(v); err == nil && kind == "AAAA" {
		return a.String()
	}
	return v
}

// validQuery: letters, digits, '-' and '_' in labels of at most 63, and what SRV
// and PTR need; 253 in all.
func validQuery(s string) bool {
	if s == "." {
		return true
	}
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
		}) {
			return false
		}
	}
	return true
}

// maxDatagram is what fits into a datagram of any network.
const maxDatagram = 1200

func (c *checker) udp(path string, raw *rawCheck, k *Check) {
	c.connects(path, raw, k, 0)
	var err error
	if k.Send, err = expect.Octets(or(raw.Send, "")); err != nil {
		c.add(join(path, "send"), fmt.Sprintf("%s: %v", quote(*raw.Send), err), `write text, or octets like "hex:0a1b"`)
	} else if len(k.Send) > maxDatagram {
		c.add(join(path, "send"), fmt.Sprintf("%d octets", len(k.Send)), fmt.Sprintf("send at most %d", maxDatagram))
	}
	if k.Expect, err = expect.ParsePattern(or(raw.Expect, "")); err != nil {
		c.add(join(path, "expect"), fmt.Sprintf("%s: %v", quote(*raw.Expect), err), `write text that is in the answer, or octets that it begins with, like "hex:0aXX"`)
	}
	k.Silence = or(raw.Silence, raw.Expect == nil)
	if raw.Expect != nil && k.Silence {
		c.add(join(path, "silence"), "an answer is expected, and silence is good", "remove expect, or silence")
	}
}

func (c *checker) smtp(path string, raw *rawCheck, k *Check) {
	c.connects(path, raw, k, 25)
	k.Helo = or(raw.Helo, c.defaults.Check.Helo)
	if !validQuery(k.Helo) || k.Helo == "." {
		c.add(join(path, "helo"), quote(k.Helo)+" is not the name of a host", `write the name of this node, like helo = "gw1.example.org"`)
	}
}

func (c *checker) heartbeat(path string, raw *rawCheck, k *Check) {
	switch {
	case raw.Listen != nil && raw.Target != nil:
		c.add(join(path, "target"), "listen hears what the server sends, target asks it", "keep one")
	case raw.Listen != nil:
		if ap, ok := c.addrPort(join(path, "listen"), *raw.Listen, "10.0.0.2:7791"); ok && !c.mapped(join(path, "listen"), ap.Addr()) {
			k.Listen = ap
		}
		for key, is := range map[string]bool{"source": raw.Source != nil, "source_port": raw.SourcePort != nil, "interface": raw.Interface != nil, "fwmark": raw.FwMark != nil} {
			if is {
				c.add(join(path, key), "nothing is sent where beats are heard", "remove it, or ask with target")
			}
		}
	case raw.Target != nil:
		c.connects(path, raw, k, 0)
	default:
		c.add(join(path, "listen"), "missing", `say where the server's beats come in, like listen = "10.0.0.2:7791", or whom to ask, like target = "10.0.0.21:7791"`)
	}
	k.Server = k.Name
	if raw.Server != nil {
		k.Server = c.name(join(path, "server"), raw.Server, "")
	}
	file := join(path, "secret_file")
	if raw.SecretFile == nil || *raw.SecretFile == "" {
		c.add(file, "missing", "make a secret with `understudy keygen`, give it to the server and to the gateways, and name it here")
		return
	}
	k.SecretFile, k.Secret = c.secretFile(file, *raw.SecretFile, "make it with `understudy keygen`, and give it to the server too", "the same on the server")
}

func (c *checker) watchdogCheck(path string, raw *rawCheck, k *Check) {
	if raw.Socket == nil {
		c.add(join(path, "socket"), "missing", `name the socket that the service gets as NOTIFY_SOCKET, like socket = "/run/understudy/watchdog/web"`)
	} else if k.Socket = c.absolute(join(path, "socket"), *raw.Socket); len(k.Socket) > maxSocket {
		c.add(join(path, "socket"), fmt.Sprintf("%d characters", len(k.Socket)), fmt.Sprintf("use at most %d", maxSocket))
	}
	k.User = or(raw.User, "")
	if raw.PIDFile != nil {
		k.PIDFile = c.absolute(join(path, "pid_file"), *raw.PIDFile)
	}
}

// maxSocket leaves room in a sockaddr_un for the name that the socket has while
// it is made.
const maxSocket = 90

// checkShared looks at what two checks cannot both have.
func (c *checker) checkShared(raw []*rawCheck) {
	sockets, beats := map[string]string{}, map[string]string{}
	c.eachCheck(raw, func(path string, _ *rawCheck, k *Check) {
		if k.Socket != "" {
			if first, ok := sockets[k.Socket]; ok {
				c.add(join(path, "socket"), fmt.Sprintf("it is also that of the check in line %d", c.line(first)), "give each service a socket of its own")
			}
			sockets[k.Socket] = join(path, "socket")
		}
		if k.Listen.IsValid() && k.Server != "" {
			key := fmt.Sprint(k.Listen, k.Server)
			if first, ok := beats[key]; ok {
				c.add(join(path, "listen"), fmt.Sprintf("the beats of %s are heard there by the check in line %d", quote(k.Server), c.line(first)), "track that one, or name another server")
			}
			beats[key] = join(path, "listen")
		}
	})
}

// eachCheck calls fn with each check and its place in the file.
func (c *checker) eachCheck(raw []*rawCheck, fn func(path string, rc *rawCheck, k *Check)) {
	n := 0
	for i, rc := range raw {
		if rc != nil {
			fn(at("check", i), rc, &c.config.Checks[n])
			n++
		}
	}
}

// checkServerSecrets keeps the cluster's secret from servers: who has it is a
// gateway.
func (c *checker) checkServerSecrets(raw []*rawCheck) {
	s := c.config.Sessions
	if s == nil {
		return
	}
	c.eachCheck(raw, func(path string, _ *rawCheck, k *Check) {
		same := k.SecretFile != "" && k.SecretFile == s.SecretFile
		for _, one := range k.Secret {
			same = same || slices.Contains(s.Secret, one)
		}
		if same {
			c.add(join(path, "secret_file"), "it is the secret of the cluster, by which the server could be a gateway", "make another with `understudy keygen`")
		}
	})
}
