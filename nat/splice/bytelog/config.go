package bytelog

import "time"

// Config bounds a Log. A zero is the default.
type Config struct {
	Memory        int           // bytes, of all connections together; 20 MiB beside them
	PerConnection int           // bytes, of one
	Age           time.Duration // of a connection, from its SYN
}

// Defaults of a Config.
const (
	DefaultMemory        = 256 << 20
	DefaultPerConnection = 4 << 20
	DefaultAge           = time.Hour
)

const (
	// recordCost is what a connection costs beside its bytes, with its place in the tables.
	recordCost = 1024
	// maxOpening bounds connections whose handshake is not over.
	maxOpening = 4096
	// maxRefused bounds those that are remembered only for why they are refused.
	maxRefused = 16384
	// grace is how long a gap may be filled after it was acknowledged: packets that two
	// processors handle come to the log in either order.
	grace = time.Second
	// maxAhead bounds how many pieces of a stream are kept ahead of what is missing.
	maxAhead = 128
	// window is the largest there is (RFC 7323 section 2.2): what is further behind is not of
	// this connection.
	window = 1 << 30
)

func (c Config) withDefaults() Config {
	if c.Memory == 0 {
		c.Memory = DefaultMemory
	}
	if c.PerConnection == 0 {
		c.PerConnection = DefaultPerConnection
	}
	if c.Age == 0 {
		c.Age = DefaultAge
	}
	return c
}
