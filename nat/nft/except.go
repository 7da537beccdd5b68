package nft

import (
	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"understudy/nat"
)

// exceptionKey is what keeps its source: outside interface . source . destination.
func (f family) exceptionKey() []expr.Any {
	return append(f.insideKey(), f.daddr(4+f.words()))
}

// exceptionRules end a chain for it. It is routed, so nothing is judged either.
func (f family) exceptionRules(exceptions []nat.Exception) []rule {
	if len(exceptions) == 0 {
		return nil
	}
	return []rule{say("destinations to which the source stays", f.is(), f.exceptionKey(), do(within(f.name(setExceptions)), accept()))}
}

func (f family) exceptionSets(exceptions []nat.Exception) []set {
	if len(exceptions) == 0 {
		return nil
	}
	out := set{Set: &nftables.Set{Table: ourTable(), Name: f.name(setExceptions), Interval: true, Concatenation: true,
		KeyType: concat(nftables.TypeIFName, f.address(), f.address())}}
	for _, e := range exceptions {
		out.elements = append(out.elements, element{
			key:   ifname(e.Out) + first(e.From) + first(e.To),
			end:   ifname(e.Out) + lastOf(e.From) + lastOf(e.To),
			owner: e,
		})
	}
	return []set{out}
}
