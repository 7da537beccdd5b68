package nft

import (
	"fmt"

	"github.com/google/nftables"

	"understudy/nat"
)

// Table is the name of the one table of ours, in the inet family. The name is
// the mark by which a crashed predecessor's rules are found and removed.
const Table = "understudy"

// Names inside the table. nft list ruleset shows them, so they are words that an
// operator who has never seen this program can place; and none is a keyword of nft.
const (
	setClosed    = "closed"    // addresses whose gate is shut
	setAddresses = "addresses" // all addresses of the pair; each element's comment is its group

	// The same for IPv6, and for link-local addresses, which count with their interface only.
	setClosed6        = "closed6"
	setAddresses6     = "addresses6"
	setClosedLocal    = "closed_local"
	setAddressesLocal = "addresses_local"

	setClosedDevices = "closed_devices" // interfaces with a group's own MAC whose gate is shut
	setDevices       = "devices"        // all of them, with their group
	setRefused       = "refused"        // addresses that are translated, but not talked to
	setRefused6      = "refused6"
	setRefusedLocal  = "refused_local"

	// Those for translation, with a 6 behind their names for IPv6.
	mapForward    = "forward"       // address . protocol . port -> server . port
	setForwarded  = "forwarded"     // the same keys: a set, because only recent kernels let a rule ask a map
	mapSource     = "source"        // outside interface . inside network -> address
	setInside     = "inside"        // the same keys, for the same reason
	mapSpread     = "spread"        // the same keys . number -> address, where there are several
	setExceptions = "exceptions"    // outside interface . inside network . destinations to which nothing is translated
	mapStaticIn   = "static_in"     // public network -> private network
	mapStaticOut  = "static_out"    // outside interface . private network -> public network
	setBlocks     = "blocks"        // networks of a group that are routed to the gateways
	setLinks      = "links"         // network of a host . the same, of who answers it
	setPool       = "pool"          // address . ports that belong to translated flows
	setTransports = "transports"    // protocols with ports that the kernel translates
	setReplies    = "icmp_replies"  // ICMP types that answer a query
	setUnknown    = "unknown_flows" // connections that were met in their middle

	setNever = "events_never" // protocol . called port of flows without events
	setLate  = "events_late"  // of those with events only once they are assured

	chainGate      = "gate"
	chainGate6     = "gate6"
	chainDevices   = "device_gate"
	chainMembers   = "device_groups"
	chainBlocks    = "block_gate"
	chainHairpin   = "hairpin"
	chainRedirects = "hairpin_redirects"
	chainRefuse    = "refuse"
	chainStray     = "stray"
	chainDNAT      = "forwards"
	chainPool      = "pool_guard"
	chainForward   = "forward_guard"
	chainSNAT      = "sources"
	chainInside    = "inside_guard"
	chainUnknown   = "unknown"
	chainOnLink    = "mirror_local"
	chainOut       = "mirror_forward"
	chainMark      = "mirror_mark"
	chainQuiet     = "mirror_quiet"
	setOut         = "mirror_out" // interfaces, by number, that copies do not leave by
	counterQuiet   = "mirror_answers"
	chainEvents    = "events"
	chainEventsIn  = "events_in"
	chainEventsOut = "events_out"
	counterGate    = "gate_drops"
	counterRefused = "refused_drops"
	counterInside  = "untranslated_drops"
	counterStray   = "stray_drops"
	counterUnknown = "unknown_packets"
)

// mapPool is the part of a source map whose flows get ports of one pool. The pool
// stands in the rule: nft cannot print a map that holds an address and two ports.
func mapPool(source string, p nat.Ports) string {
	return fmt.Sprintf("%s_%d_%d", source, p.First, p.Last)
}

func ourTable() *nftables.Table {
	return &nftables.Table{Name: Table, Family: nftables.TableFamilyINet}
}
