package keepalived

import (
	"strconv"
	"strings"
)

// umaskBits are the words for bits of a umask.
var umaskBits = map[string]int{"IRUSR": 0o400, "IWUSR": 0o200, "IXUSR": 0o100, "IRGRP": 0o40, "IWGRP": 0o20, "IXGRP": 0o10,
	"IROTH": 4, "IWOTH": 2, "IXOTH": 1}

// umask reads a number, or words for bits with a bar between them.
func (p *parser) umask(n *Node) Of[int] {
	text := n.arg(0)
	switch {
	case text == "":
		p.say(n.At, Fault, "umask is missing its parameter")
		return Of[int]{}
	case text[0] >= '0' && text[0] <= '9':
		v, err := strconv.ParseInt(text, 0, 32)
		if err != nil || v > 0o777 {
			p.say(n.At, Fault, "invalid umask value %s", text)
			return Of[int]{}
		}
		return of(int(v), n.At)
	}
	mask := 0
	for w := range strings.SplitSeq(strings.Join(n.Args, ""), "|") {
		bit, ok := umaskBits[w]
		if !ok {
			p.say(n.At, Fault, "Unknown umask bit %s", w)
			return Of[int]{}
		}
		mask |= bit
	}
	return of(mask, n.At)
}
