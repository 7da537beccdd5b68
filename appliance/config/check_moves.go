package config

import (
	"fmt"
	"time"
)

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
