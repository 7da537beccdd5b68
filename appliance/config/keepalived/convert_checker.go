package keepalived

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Defaults of checkers, and bounds of [[check]].
const (
	defaultLoop    = time.Minute
	defaultConnect = 5 * time.Second
	defaultRetry   = time.Second
	webRetry       = 3 * time.Second // of HTTP_GET and SSL_GET
	mostSent       = 1200            // octets in a datagram
	mostRead       = 1 << 20         // octets of a page
)

// recordTypes are those that DNS_CHECK asks for.
var recordTypes = []string{"A", "NS", "CNAME", "SOA", "MX", "TXT", "AAAA"}

// serverChecks makes [[check]] of what is checked of a server, and returns the one that
// says whether it is there; and which one says what it weighs, if any.
func (c *converter) serverChecks(v *VirtualServer, r *RealServer) (name, weigh string) {
	var names []string
	for _, k := range r.Checks {
		for _, one := range c.checker(v, r, k) {
			if !slices.Contains(names, one.name) {
				names = append(names, one.name)
			}
			if one.weighs {
				weigh = one.name
			}
		}
	}
	switch len(names) {
	case 0:
		return "", ""
	case 1:
		return names[0], weigh
	}
	o := Origin{r.At, "real_server"}
	t := newTable(o)
	t.set("kind", "all", o)
	for _, n := range names {
		t.add("checks", n, o)
	}
	return c.sharedCheck(t, fmt.Sprintf("rs-%s", asName(addressText(r.Address)))), weigh
}

// sharedCheck puts a check into the document, if it does not have the same already, and
// returns its name.
func (c *converter) sharedCheck(t *Table, name string) string {
	content := t.inline()
	if n, ok := c.shared[content]; ok {
		return n
	}
	n := c.unique("check", name)
	if c.shared == nil {
		c.shared = map[string]string{}
	}
	c.shared[content] = n
	whole := c.doc.table("check", t.Origin)
	whole.set("name", n, t.Origin)
	for _, key := range t.keys {
		whole.set(key, t.values[key], t.from[key])
	}
	return n
}

// madeCheck is a check of a server.
type madeCheck struct {
	name   string
	weighs bool
}

// probing is what a checker's keywords come to: its own before those of the server and
// of the virtual server.
type probing struct {
	c       *converter
	v       *VirtualServer
	r       *RealServer
	k       *Checker
	options []Option // of the checker
	table   *Table
}

// option is the keyword of the checker, else of what is around it.
func (p *probing) option(words ...string) Option {
	for _, list := range [][]Option{p.options, p.r.Options, p.v.Options} {
		if o := optionOf(list, words...); o.set() {
			return o
		}
	}
	return Option{}
}

// own is a keyword of the checker alone.
func (p *probing) own(words ...string) Option { return optionOf(p.options, words...) }

func (p *probing) origin() Origin { return Origin{p.k.At, p.k.Kind} }

// pause reads a time of a keyword.
func (p *probing) pause(o Option, def time.Duration) time.Duration {
	if !o.set() {
		return def
	}
	q := &parser{world: p.c.world, file: p.c.file}
	d, ok := q.seconds(&Node{Word: o.Word, Args: o.Args, At: o.At}, 0, 1000000*time.Second)
	for _, m := range q.list {
		p.c.say(m.Place, m.Level, "%s", m.Text)
	}
	if !ok {
		return def
	}
	return d
}

func (p *probing) count(o Option, def int) int {
	if !o.set() {
		return def
	}
	n, err := strconv.Atoi(o.arg(0))
	if err != nil || n < 0 || n > 1<<31-1 {
		p.c.say(o.At, Fault, "%s '%s' is not a valid number", o.Word, o.arg(0))
		return def
	}
	return n
}

// checker makes the checks of a checker: of HTTP_GET one for each url, of SMTP_CHECK one
// for each host.
func (c *converter) checker(v *VirtualServer, r *RealServer, k *Checker) (list []madeCheck) {
	p := &probing{c: c, v: v, r: r, k: k, options: k.Options}
	switch k.Kind {
	case "HTTP_GET", "SSL_GET":
		if len(k.URLs) == 0 {
			c.say(k.At, Fault, "%s: no url specified for real server %v - ignoring", k.Kind, r.Address)
			return nil
		}
		for _, url := range k.URLs {
			if t := p.begin(strings.ToLower(k.Kind[:4])); p.page(t, url) {
				list = append(list, p.end("page", false))
			}
		}
		return list
	case "SMTP_CHECK":
		hosts := k.URLs
		if len(hosts) == 0 {
			hosts = [][]Option{nil}
		}
		for _, host := range hosts {
			p.options = append(slices.Clone(host), k.Options...)
			if t := p.begin("smtp"); p.host(t, true) {
				helo := p.own("helo_name")
				t.set("helo", cmp.Or(helo.arg(0), "smtpchecker.keepalived.org"), origin(Of[string]{Set: helo.set(), At: helo.At}, "helo_name", p.origin()))
				list = append(list, p.end("smtp", false))
			}
		}
		return list
	}
	switch k.Kind {
	case "TCP_CHECK":
		if t := p.begin("tcp"); p.host(t, true) {
			return []madeCheck{p.end("tcp", false)}
		}
	case "PING_CHECK":
		if t := p.begin("icmp"); p.host(t, false) {
			return []madeCheck{p.end("ping", false)}
		}
	case "DNS_CHECK":
		if t := p.begin("dns"); p.host(t, true) {
			if name := p.own("name"); name.set() {
				t.set("query", name.arg(0), name.origin())
			}
			if kind := p.own("type"); kind.set() {
				if name := strings.ToUpper(kind.arg(0)); slices.Contains(recordTypes, name) {
					t.set("type", name, kind.origin())
				} else {
					p.c.say(kind.At, Fault, "Unknown DNS check type %s - ignoring", kind.arg(0))
				}
			}
			return []madeCheck{p.end("dns", false)}
		}
	case "UDP_CHECK":
		if t := p.begin("udp"); p.host(t, true) && p.datagram(t) {
			return []madeCheck{p.end("udp", false)}
		}
	case "MISC_CHECK":
		return p.program()
	case "FILE_CHECK": // it weighs: see weighByFile
		return nil
	default:
		c.say(k.At, Warning, "%s of real server %v: not carried over yet: nothing checks the server by it", k.Kind, r.Address)
	}
	return nil
}

// begin begins a check, with its pace.
func (p *probing) begin(kind string) *Table {
	if kind == "ssl_" {
		kind = "https"
	}
	o := p.origin()
	p.table = newTable(o)
	p.table.set("kind", kind, o)
	loop := p.option("delay_loop")
	every := p.pause(loop, defaultLoop)
	p.pace("every", every, loop)
	connect := p.option("connect_timeout")
	timeout := p.pause(connect, defaultConnect)
	retries, retry := 1, defaultRetry
	switch kind {
	case "http", "https":
		retry = webRetry
	case "dns":
		retries, retry = 3, every
	case "script":
		retries = 0
		connect = p.own("misc_timeout")
		timeout = p.pause(connect, every)
	}
	p.pace("timeout", timeout, connect)
	retries = p.count(p.option("retry", "nb_get_retry"), retries)
	written := p.option("retry", "nb_get_retry")
	if retries >= mostInARow {
		p.c.say(cmp.Or(written.At, p.k.At), Warning, "retry: %d is cut to %d", retries, mostInARow-1)
		retries = mostInARow - 1
	}
	p.table.set("rise", 1, o)
	p.table.set("fall", retries+1, origin(Of[int]{Set: written.set(), At: written.At}, written.Word, o))
	if between := p.option("delay_before_retry"); retries > 0 {
		if d := p.pause(between, retry); d != every {
			p.pace("retry_every", d, between)
		}
	}
	for _, w := range []string{"fwmark", "bind_port"} {
		if x := p.own(w); x.set() && kind == "script" {
			p.c.say(x.At, Warning, "%s: not carried over: a program sends what it likes", w)
		}
	}
	return p.table
}

// pace sets a time within its bounds.
func (p *probing) pace(key string, d time.Duration, o Option) {
	from := p.origin()
	if o.set() {
		from = o.origin()
	}
	cut := min(max(d, leastEvery), mostEvery)
	if cut != d {
		p.c.say(from.Place, Warning, "%s: %v is cut to %v", from.Word, d, cut)
	}
	p.table.set(key, duration(cut), from)
}

// end puts the check into the document.
func (p *probing) end(what string, weighs bool) madeCheck {
	return madeCheck{p.c.sharedCheck(p.table, fmt.Sprintf("rs-%s-%s", asName(addressText(p.r.Address)), what)), weighs}
}

// host sets whom the check tries.
func (p *probing) host(t *Table, port bool) bool {
	at := p.r.Address
	o := p.origin()
	if ip := p.own("connect_ip"); ip.set() {
		a, err := netip.ParseAddr(ip.arg(0))
		if err != nil {
			p.c.say(ip.At, Fault, "connect_ip: '%s' is no address - ignoring", ip.arg(0))
		} else {
			at, o = netip.AddrPortFrom(a, at.Port()), ip.origin()
		}
		if ip.arg(1) != "" {
			p.c.say(ip.At, Warning, "connect_ip: not carried over: %s", ip.arg(1))
		}
	}
	if number := p.own("connect_port"); number.set() {
		n, err := strconv.ParseUint(number.arg(0), 10, 16)
		if err != nil || n == 0 {
			p.c.say(number.At, Fault, "connect_port: '%s' is no port - ignoring", number.arg(0))
		} else {
			at, o = netip.AddrPortFrom(at.Addr(), uint16(n)), number.origin()
		}
	}
	switch {
	case !port:
		t.set("target", at.Addr().String(), o)
	case at.Port() == 0 && p.v.Address.Port() == 0:
		p.c.say(p.k.At, Warning, "%s of real server %v: not carried over: it has no port, and connect_port names none", p.k.Kind, p.r.Address)
		return false
	case at.Port() == 0:
		at = netip.AddrPortFrom(at.Addr(), p.v.Address.Port())
		fallthrough
	default:
		t.set("target", at.String(), o)
	}
	if from := p.own("bindto"); from.set() {
		if _, err := netip.ParseAddr(from.arg(0)); err != nil {
			p.c.say(from.At, Fault, "bindto: '%s' is no address - ignoring", from.arg(0))
		} else {
			t.set("source", from.arg(0), from.origin())
		}
	}
	if by := p.own("bind_if"); by.set() {
		t.set("interface", by.arg(0), by.origin())
	}
	if from := p.own("bind_port"); from.set() {
		n, err := strconv.ParseUint(from.arg(0), 10, 16)
		switch {
		case err != nil || n == 0:
			p.c.say(from.At, Fault, "bind_port: '%s' is no port - ignoring", from.arg(0))
		case port:
			t.set("source_port", int(n), from.origin())
		}
	}
	if mark := p.own("fwmark"); mark.set() {
		n, err := strconv.ParseUint(mark.arg(0), 10, 32)
		switch {
		case err != nil:
			p.c.say(mark.At, Fault, "fwmark: '%s' is no mark - ignoring", mark.arg(0))
		case n > 0:
			t.set("fwmark", "0x"+strconv.FormatUint(n, 16), mark.origin())
		}
	}
	return true
}

// page sets what to ask a web server, and what must come.
func (p *probing) page(t *Table, url []Option) bool {
	if !p.host(t, true) {
		return false
	}
	path := optionOf(url, "path")
	t.set("path", cmp.Or(path.arg(0), "/"), Origin{cmp.Or(path.At, p.k.At), "path"})
	host := optionOf(url, "virtualhost")
	if !host.set() {
		host = p.option("virtualhost")
	}
	if host.set() {
		t.set("host", host.arg(0), host.origin())
	}
	if status := optionOf(url, "status_code"); status.set() {
		for _, code := range status.Args {
			t.add("status", code, status.origin())
		}
	}
	if digest := optionOf(url, "digest"); digest.set() {
		t.set("digest", "md5:"+digest.arg(0), digest.origin())
	}
	if !p.expression(t, url) {
		return false
	}
	if p.k.Kind == "SSL_GET" {
		t.set("verify", false, p.origin())
		if name := p.own("sni_name"); name.set() {
			t.set("server_name", name.arg(0), name.origin())
		}
		p.certificate(t)
	}
	return true
}

// expression sets the pattern that a page must match, or must not.
func (p *probing) expression(t *Table, url []Option) bool {
	o := optionOf(url, "regex")
	if !o.set() {
		return true
	}
	text := o.arg(0)
	flags := ""
	from, until := p.offsets(url)
	if options := optionOf(url, "regex_options"); options.set() {
		for _, w := range options.Args {
			switch w {
			case "caseless":
				flags += "i"
			case "multiline":
				flags += "m"
			case "dotall":
				flags += "s"
			case "ungreedy":
				flags += "U"
			case "anchored":
				// Then it matches where the looking begins.
				if from.n == 0 {
					text = `\A(?:` + text + ")"
				} else if until.n < 0 || until.n > from.n {
					until = from
				}
			case "utf", "no_auto_capture", "firstline":
			default:
				p.c.say(options.At, Warning, "regex_options: not carried over: %s", w)
			}
		}
	}
	if flags != "" {
		text = "(?" + flags + ")" + text
	}
	if _, err := regexp.Compile(text); err != nil {
		p.c.say(o.At, Fault, "regex '%s' is not carried over: %v; expressions are those of RE2, without lookaround and backreferences, and nothing checks the page by this one", o.arg(0), err)
		return false
	}
	key := "match"
	if optionOf(url, "regex_no_match").on() {
		key = "match_not"
	}
	t.set(key, text, o.origin())
	if from.n > 0 {
		t.set("match_from", from.n, from.Origin)
	}
	if until.n >= 0 {
		t.set("match_until", until.n, until.Origin)
	}
	return true
}

// offset is one in a page, in octets.
type offset struct {
	n int // -1: none is written
	Origin
}

// offsets are where a match may begin: at the earliest, and at the latest.
func (p *probing) offsets(url []Option) (from, until offset) {
	read := func(word string, def int) offset {
		o := optionOf(url, word)
		if !o.set() {
			return offset{n: def}
		}
		n, err := strconv.Atoi(o.arg(0))
		switch {
		case err != nil || n < 0:
			p.c.say(o.At, Warning, "Invalid %s %s specified", word, o.arg(0))
			return offset{n: def}
		case n > mostRead:
			p.c.say(o.At, Warning, "%s: %d is cut to %d: no more is read of a page", word, n, mostRead)
			n = mostRead
		}
		return offset{n, o.origin()}
	}
	from, until = read("regex_min_offset", 0), read("regex_max_offset", -1)
	if until.n >= 0 && until.n < from.n {
		p.c.say(from.Place, Warning, "regex_min_offset %d is behind regex_max_offset %d - ignoring", from.n, until.n)
		return offset{}, offset{n: -1}
	}
	return from, until
}

// certificate is ours, for servers that ask for one: of the block SSL.
func (p *probing) certificate(t *Table) {
	cert, key := optionOf(p.c.file.SSL, "certificate"), optionOf(p.c.file.SSL, "key")
	if cert.set() && key.set() {
		t.set("cert_file", cert.arg(0), cert.origin())
		t.set("key_file", key.arg(0), key.origin())
	}
}

// datagram sets what to send, and what must come.
func (p *probing) datagram(t *Table) bool {
	if payload := p.own("payload"); payload.set() {
		digits := strings.Join(payload.Args, "")
		if len(digits)%2 != 0 || len(digits) > 2*mostSent || strings.Trim(digits, "0123456789abcdefABCDEF") != "" {
			p.c.say(payload.At, Fault, "UDP_CHECK: payload '%s' is not pairs of hexadecimal digits, %d at most", digits, mostSent)
			return false
		}
		t.set("send", "hex:"+digits, payload.origin())
	}
	reply, least := p.own("require_reply"), p.own("min_reply_length")
	if !reply.set() && !least.set() {
		t.set("silence", true, p.origin())
		return true
	}
	digits := strings.Join(reply.Args, "")
	if len(digits)%2 != 0 || strings.Trim(digits, "0123456789abcdefABCDEFxX") != "" {
		p.c.say(reply.At, Fault, "UDP_CHECK: require_reply '%s' is not pairs of hexadecimal digits", digits)
		return false
	}
	if n := min(p.count(least, 0), mostSent); 2*n > len(digits) {
		digits += strings.Repeat("X", 2*n-len(digits))
	}
	o := reply
	if !o.set() {
		o = least
	}
	if digits == "" {
		t.set("silence", false, o.origin())
	} else {
		t.set("expect", "hex:"+digits, o.origin())
	}
	return true
}

// program makes a check of MISC_CHECK.
func (p *probing) program() []madeCheck {
	t := p.begin("script")
	path := p.own("misc_path")
	if !path.set() {
		p.c.say(p.k.At, Fault, "No script path has been specified for MISC_CHECK of real server %v - ignoring", p.r.Address)
		return nil
	}
	q := &parser{world: p.c.world, file: p.c.file}
	argv, user, ok := q.command(&Node{Word: path.Word, Args: path.Args, At: path.At}, "misc_path")
	for _, m := range q.list {
		p.c.say(m.Place, m.Level, "%s", m.Text)
	}
	if !ok {
		return nil
	}
	for _, a := range argv {
		t.add("command", a, path.origin())
	}
	if u := p.own("user"); u.set() {
		user = u.arg(0)
	}
	if user != "" {
		t.set("user", user, path.origin())
	}
	dynamic := p.own("misc_dynamic")
	if dynamic.on() {
		t.set("value", true, dynamic.origin())
	}
	return []madeCheck{p.end("misc", dynamic.on())}
}
