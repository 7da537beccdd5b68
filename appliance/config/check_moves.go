package config

import (
	"fmt"
	"slices"
	"time"

	"understudy/nat/entry"
)

// encrypted are the ports of protocols that are TLS from the first byte (IANA).
var encrypted = []uint16{443, 465, 563, 636, 853, 989, 990, 992, 993, 994, 995, 5061, 8443, 8883}

// replayable refuses to replay what is different each time: each end of TLS has keys of its own.
func (c *checker) replayable(path string, raw *rawEntry, e *Entry) {
	if e.OnFailure != entry.Move {
		if raw.Move != nil && e.How.Logged() {
			c.add(join(path, "move"), "says how connections move, and they do not", `add on_failure = "move", or remove it`)
		}
		return
	}
	if !e.How.Logged() {
		return
	}
	if e.How == entry.Warm && !e.Match.Address.IsValid() {
		c.add(join(path, "move"), "which connections are of a mark is not known beside them", `use "replay"`)
		return
	}
	const fix = `write on_failure = "reset"`
	for _, port := range encrypted {
		if e.Match.Ports.First <= port && port <= e.Match.Ports.Last {
			c.add(join(path, "move"), fmt.Sprintf("port %d is of TLS, of which a server says something else each time", port), fix)
			return
		}
	}
	for i, s := range e.Servers {
		k := c.config.Check(s.Check)
		if slices.Contains(encrypted, s.Address.Port()) || k != nil && k.Kind == CheckHTTPS {
			c.add(join(path, "move"), fmt.Sprintf("server %d speaks TLS, and says something else each time", i+1), fix)
			return
		}
	}
}

// Bounds of what is logged of connections that are replayed.
const (
	maxMoveMemory          = 64 << 10 // MiB
	minMoveAge, maxMoveAge = time.Second, 7 * 24 * time.Hour
)

func (c *checker) moveBounds(raw *rawNAT) MoveBounds {
	def := c.defaults.Mappings.Moves
	b := MoveBounds{
		Memory:     c.count("nat.move_memory", raw.MoveMemory, def.Memory, 1, maxMoveMemory),
		Connection: c.count("nat.move_connection", raw.MoveConnection, def.Connection, 1, maxMoveMemory),
		Age:        c.between("nat.move_age", raw.MoveAge, minMoveAge, maxMoveAge, "1h"),
	}
	if b.Age == 0 {
		b.Age = def.Age
	}
	if b.Connection > b.Memory {
		key := "nat.move_connection"
		if raw.MoveConnection == nil {
			key = "nat.move_memory"
		}
		c.add(key, fmt.Sprintf("one connection may have %d MiB, and all together %d", b.Connection, b.Memory), "have move_connection be at most move_memory")
	}
	return b
}
