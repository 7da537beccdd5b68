// Package entry models entry points: an address that traffic is offered to first, and the
// servers that it is then assigned to. What the file asks for is a [Config]; what is
// wrong with it says [Check]; which server gets which share of the new flows, now, is
// decided by a [Set], one for each entry point:
//
//	check up, down ─┐
//	drain, undrain ─┤                     ┌─▶ Table: server of each slot ─▶ maps of nftables
//	connections    ─┼─▶ Set.Step ─▶ Output┼─▶ Cut: servers whose flows are to end
//	active here    ─┤                     └─▶ Restore: who was where, from the flows
//	time           ─┘
//
// A new flow is given a slot, either the next one in turn or the one that its source
// address hashes to, and the slot has the number of a server. So a server that dies
// changes a few elements of a map, whatever the way of steering:
//
//	primary           one slot: the first server of the list that is there
//	round-robin       as many slots as servers, in turn
//	weighted          the same, each server as often as it weighs, well mixed
//	least-connections slots by what each server lacks to be as loaded as the others,
//	                  anew with each count of its connections
//	source-hash       slots as with weighted, by the client's address
//	consistent-hash   [Slots] slots by the client's address, filled so that a server
//	                  that goes takes few others with it (Eisenbud et al., Maglev,
//	                  NSDI 2016, section 3.4)
//
// What is decided from the same configuration and the same states of checks is the
// same on every node: clients keep their server when the gateway dies, with nothing
// said about it.
//
// The package is pure: no sockets, no clock, no goroutine. Weights have no unit;
// ports are in host byte order.
//
//	s := entry.New(now, cfg)
//	out := s.Step(now, entry.Input{Kind: entry.InHealth, Check: "web1", State: health.Down})
//	if out.Changed {
//		table.Steer(s.Point())
//	}
package entry
