package election

import (
	"net/netip"
	"slices"

	"understudy/vrrp/vrrpnet"
)

// withChosen adds the chosen sources of others to those of watch.
func withChosen(watch, others []vrrpnet.Interface) []vrrpnet.Interface {
	for i := range watch {
		for _, o := range others {
			if o.Name != watch[i].Name {
				continue
			}
			for _, a := range o.Chosen {
				if !slices.Contains(watch[i].Chosen, a) {
					watch[i].Chosen = append(watch[i].Chosen, a)
				}
			}
		}
	}
	return watch
}

// sources lists the chosen sources that a link has. The list is that of the last
// call again.
func (l *loop) sources(link vrrpnet.Link) []netip.Addr {
	l.found = l.found[:0]
	for i := range l.chosen {
		if l.chosen[i].Name != link.Name {
			continue
		}
		for k, a := range l.chosen[i].Chosen {
			if link.Chosen.Has(k) {
				l.found = append(l.found, a)
			}
		}
	}
	return l.found
}
