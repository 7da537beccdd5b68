package config

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// checker turns the raw structs into a Config, and looks at them together. A
// value that is refused is left out, and what depends on it is not looked at:
// one mistake gives one problem.
type checker struct {
	*report
	options  Options
	dir      string // of the file, for relative paths
	defaults Defaults
	config   *Config

	routers []routerAt
	holders map[netip.Addr]holder // by address, [onLink]
	blocks  []blockAt             // networks that others route here
	checks  map[string]string     // name of a check -> path of it
	bonds   map[string]string     // name of a bond -> path of it
	routes  []routeAt
	rules   []ruleAt

	standing []addressAt // addresses that do not move

	templates     map[string]*template // checks without a host, by name
	fromTemplates []Check              // what was made of them for servers
}

// holder is the router that an address moves with, and where the file says so.
type holder struct {
	router, path string
	offlink      bool // others route it here, no interface has it
}

// routerAt is a router and its place in the file, with what could be read of
// it: fields that were refused have their zero value.
type routerAt struct {
	Router
	path      string
	addresses []addressAt
	excluded  []addressAt
}

func (c *checker) check(raw *rawFile) {
	c.config.Node = c.name("node", raw.Node, `give this node a name, like node = "gw1", that no other node has`)
	c.config.Forwarding = or(raw.Forwarding, c.defaults.Forwarding)
	c.checkMail(raw.Mail)
	c.checkChecks(raw.Checks)
	c.checkBonds(raw.Bonds)
	c.standingAddresses(raw.Static)
	c.checkRouters(raw.Routers)
	c.checkSources(raw.Checks)
	c.checkGroups(raw.Groups)
	c.standingRouting(raw.Static)
	c.checkRouting()
	c.checkNAT(raw.NAT)
	c.checkSessions(raw.Sessions)
	c.checkPorts()
	c.checkSteering()
	c.checkGuard(raw)
	c.checkPipes(raw.Pipes)
	c.checkWeb(raw.Web)
	c.checkWatchdog(raw)
	c.checkDelays(raw)
	c.checkLinks(raw.Links)
	c.checkServerSecrets(raw.Checks)
	c.checkTemplates(raw.Checks)
	c.standsAlone()
	if len(c.problems) == 0 {
		c.askNAT()
		c.askEntries()
	}
}

// unique refuses a name that another thing of its kind has. names has the place of each
// name so far, by the name; an empty one was refused already.
func (c *checker) unique(names map[string]string, path, name, kind, fix string) {
	if name == "" {
		return
	}
	if first, ok := names[name]; ok {
		c.add(join(path, "name"), fmt.Sprintf("%s is also the %s in line %d", quote(name), kind, c.line(first)), fix)
		return
	}
	names[name] = join(path, "name")
}

// name checks the name of something: what it can be is what is safe in a file
// name, a metric label and a log line.
func (c *checker) name(path string, v *string, missing string) string {
	if v == nil {
		c.add(path, "missing", missing)
		return ""
	}
	if !validName(*v) {
		c.add(path, quote(*v)+" is not a name", "use 1 to 63 letters, digits, '-', '_' or '.', the first a letter or digit")
		return ""
	}
	return *v
}

func validName(s string) bool {
	for i := 0; i < len(s); i++ {
		if !bareByte(s[i]) && s[i] != '.' || i == 0 && (s[i] == '-' || s[i] == '_' || s[i] == '.') {
			return false
		}
	}
	return s != "" && len(s) <= 63
}

// interfaceName checks the name of a network interface, as the kernel would.
func (c *checker) interfaceName(path string, v *string, missing string) string {
	if v == nil {
		c.add(path, "missing", missing)
		return ""
	}
	if !validInterface(*v) {
		c.add(path, quote(*v)+" is not the name of an interface", "use a name that `ip link` shows: 1 to 15 characters, no blanks, no '/' and no ':'")
		return ""
	}
	return *v
}

func validInterface(s string) bool {
	const longest = 15 // IFNAMSIZ less the final zero byte
	if s == "" || len(s) > longest || s == "." || s == ".." {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || r == '/' || r == ':'
	})
}

// duration parses v, nil if it is refused or not there.
func (c *checker) duration(path string, v *string, like string) *time.Duration {
	if v == nil {
		return nil
	}
	d, err := time.ParseDuration(*v)
	if err != nil {
		c.add(path, quote(*v)+" is not a duration", "write a number and a unit (ms, s, m, h), like "+quote(like))
		return nil
	}
	return &d
}

// known returns v if it is one of the values, the default if it is not there.
// Values that are not supported yet are told apart from nonsense.
func known[T ~string](c *checker, path string, v *string, def T, values []T, later ...T) T {
	if v == nil {
		return def
	}
	var works []string
	for _, w := range values {
		if T(*v) == w {
			return w
		}
		works = append(works, quote(string(w)))
	}
	fix := "use " + strings.Join(works, " or ")
	for _, l := range later {
		if T(*v) == l {
			c.add(path, quote(*v)+": not supported yet", fix)
			return def
		}
	}
	c.add(path, quote(*v)+" is not one of its values", fix)
	return def
}

// or returns what v points to, or def.
func or[T any](v *T, def T) T {
	if v != nil {
		return *v
	}
	return def
}

// suggest proposes the name that was probably meant.
func suggest(name string, names []string, else_ string) string {
	if near := nearest(name, names); near != "" {
		return fmt.Sprintf("did you mean %s?", quote(near))
	}
	if len(names) > 0 && len(names) <= 8 {
		return else_ + ": " + strings.Join(names, ", ")
	}
	return else_
}
