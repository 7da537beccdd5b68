package config

import (
	"bytes"
	"net/netip"
	"strings"
)

// webOff is the value of web.listen that opens nothing.
const webOff = "off"

// leastToken is how long a token must be: 16 random bytes in base64 are 22 characters.
const leastToken = 20

// checkWeb reads where the node shows itself.
func (c *checker) checkWeb(raw *rawWeb) {
	w := Web{Listen: c.defaults.Web.Listen}
	defer func() { c.config.Web = w }()
	if raw == nil {
		return
	}
	const path = "web.listen"
	if v := or(raw.Listen, w.Listen.String()); v == webOff {
		w.Listen = netip.AddrPort{}
	} else if a, ok := c.addrPort(path, v, w.Listen.String()); ok {
		w.Listen = a
	}
	if raw.TokenFile != nil {
		w.Token = c.token(*raw.TokenFile)
	}
	if a := w.Listen.Addr(); a.IsValid() && !a.IsLoopback() && raw.TokenFile == nil && !c.bad(path) {
		c.add(path, a.String()+" can be reached by others, and whoever gets there would see everything",
			"write a token_file, or use a loopback address like "+quote(c.defaults.Web.Listen.String()))
	}
}

// token reads what must be known to be shown anything.
func (c *checker) token(file string) string {
	const path = "web.token_file"
	file, content, ok := c.private(path, file, "make it with `understudy keygen`")
	if !ok {
		return ""
	}
	token := string(bytes.TrimSpace(content))
	if len(token) < leastToken || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		c.add(path, file+": not a token: it must hold one line of at least 20 printable characters without blanks", "write it with `understudy keygen`")
		return ""
	}
	return token
}
