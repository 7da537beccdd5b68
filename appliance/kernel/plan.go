package kernel

import (
	"net/netip"

	"understudy/appliance/identity"
)

// place is an address on an interface, whatever its prefix length.
type place struct {
	index int
	addr  netip.Addr
}

// step is a change and the wanted address it is for.
type step struct {
	change
	want identity.Address
}

// work is what is left to do.
type work struct {
	add     []step
	remove  []change
	missing []identity.Address // their interface does not exist
}

func (w work) done() bool { return len(w.add) == 0 && len(w.remove) == 0 }

// plan compares what the kernel has with what is wanted. index knows the
// interfaces that exist, under the parent of each that is a device: what goes
// out to its subnets goes by the parent, unless only the device is in them. But
// what is link-local goes out where it came in, so a device has that network
// itself. It only ever removes addresses of ours.
func plan(have []holding, want []identity.Address, index map[string]int, under map[int]int) (w work) {
	type present struct{ ours, foreign []holding }
	at := make(map[place]present, len(have))
	subnets := make(map[int][]netip.Prefix)
	for _, h := range have {
		p := place{h.index, h.prefix.Addr()}
		e := at[p]
		if h.ours {
			e.ours = append(e.ours, h)
		} else {
			e.foreign = append(e.foreign, h)
			if !h.prefix.IsSingleIP() {
				subnets[h.index] = append(subnets[h.index], h.network())
			}
		}
		at[p] = e
	}
	keep := make(map[change]bool, len(want))
	for _, a := range want {
		i, ok := index[a.Interface]
		if !ok {
			w.missing = append(w.missing, a)
			continue
		}
		form := a.Prefix
		parent := under[i]
		if linkLocal(a.Prefix.Addr()) {
			parent = 0
		}
		if contained(subnets[i], a.Prefix.Addr()) || contained(subnets[parent], a.Prefix.Addr()) {
			form = host(a.Prefix)
		}
		if a.Attributes.Peer.IsValid() || a.Attributes.Temporaries {
			form = a.Prefix // the network is the far end's, or that of the temporary ones, and is asked for
		}
		e := at[place{i, a.Prefix.Addr()}]
		switch kept, ok := fitting(e.ours, a); {
		case ok:
			keep[kept.removal()] = true
		case len(e.foreign) > 0: // the operator's own serves
		default:
			w.add = append(w.add, step{change{index: i, prefix: form, peer: a.Attributes.Peer, as: a.Attributes}, a})
		}
	}
	for _, h := range have {
		c := h.removal()
		if h.ours && !keep[c] {
			w.remove = append(w.remove, c)
		}
	}
	return w
}

// fitting returns the one of ours that can stay for the wanted address.
func fitting(ours []holding, want identity.Address) (holding, bool) {
	for _, h := range ours {
		if h.peer == want.Attributes.Peer && (h.prefix == want.Prefix || !h.peer.IsValid() && h.prefix.IsSingleIP()) {
			return h, true
		}
	}
	return holding{}, false
}

// removals returns the changes that take want away again, whether it is there
// already or still to be added, and leaves out what is the operator's.
func removals(have []holding, want []identity.Address, index map[string]int, under map[int]int) (out []change) {
	wanted := make(map[place]bool, len(want))
	for _, a := range want {
		if i, ok := index[a.Interface]; ok {
			wanted[place{i, a.Prefix.Addr()}] = true
		}
	}
	for _, h := range have {
		if h.ours && wanted[place{h.index, h.prefix.Addr()}] {
			out = append(out, h.removal())
		}
	}
	for _, s := range plan(have, want, index, under).add {
		out = append(out, change{remove: true, index: s.index, prefix: s.prefix, peer: s.peer})
	}
	return out
}

// contained reports whether one of the subnets has the address in it.
func contained(subnets []netip.Prefix, a netip.Addr) bool {
	for _, s := range subnets {
		if s.Contains(a) {
			return true
		}
	}
	return false
}

// linkLocal reports whether a is an IPv6 address that counts on its link only.
func linkLocal(a netip.Addr) bool { return a.Is6() && a.IsLinkLocalUnicast() }

// host is the address alone: /32 or /128.
func host(p netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(p.Addr(), p.Addr().BitLen())
}
