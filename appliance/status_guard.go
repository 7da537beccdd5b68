package appliance

import "time"

// GuardStatus is the guard against split brain.
type GuardStatus struct {
	Mode            string            `json:"mode"` // alarm | hold | off
	LimitSeconds    float64           `json:"limit_seconds"`
	Check           string            `json:"check"`
	IntervalSeconds float64           `json:"interval_seconds"` // of our heartbeats
	Drops           map[string]uint64 `json:"drops"`            // heartbeats of no peer, by why they were refused
	Peers           []GuardPeer       `json:"peers"`
}

// GuardPeer is what the heartbeats of one peer say.
type GuardPeer struct {
	Name            string            `json:"name"`
	Address         string            `json:"address"`
	Last            *time.Time        `json:"last_heartbeat"` // null before the first
	IntervalSeconds float64           `json:"interval_seconds"`
	Neighbour       string            `json:"neighbour"` // up | down | unknown
	Sent            uint64            `json:"sent"`
	Received        uint64            `json:"received"`
	Unproven        uint64            `json:"unproven"` // of them, those that said nothing about now
	Drops           map[string]uint64 `json:"drops"`
	Groups          []GuardGroup      `json:"groups"`
}

// GuardGroup is what a peer says of a group.
type GuardGroup struct {
	Name    string        `json:"name"`
	State   string        `json:"state"`
	Term    uint64        `json:"term"`
	Leaving bool          `json:"leaving,omitempty"`
	Routers []GuardRouter `json:"routers"`
}

// GuardRouter is what a peer says of a router, and whether it is heard.
type GuardRouter struct {
	Name      string `json:"name"`
	Interface string `json:"interface"` // as the peer calls it
	Priority  uint8  `json:"priority"`
	Source    string `json:"source"`
	HearsUs   bool   `json:"hears_us"`
	Heard     bool   `json:"heard"`
	Refuses   string `json:"refuses,omitempty"` // why it refuses our adverts
}
