package keepalived

import "slices"

// syncDaemon is the keyword of IPVS's synchronisation of connections.
const syncDaemon = "lvs_sync_daemon"

// SyncDaemon is what lvs_sync_daemon says, in the words of a conntrackd.conf: the nodes are
// those of the instance that it names, or of one on its interface; nil: there is none.
func (f *File) SyncDaemon() *Conntrackd {
	s := f.Global.Sync
	if !s.Set {
		return nil
	}
	link := SyncLink{Kind: syncDaemon, At: s.At, Dev: s.V[0]}
	// By the instance that is named first, then by any on the interface.
	list := slices.Clone(f.Instances)
	slices.SortStableFunc(list, func(a, b *Instance) int {
		named := func(in *Instance) int {
			if len(s.V) > 1 && in.Name == s.V[1] {
				return 0
			}
			return 1
		}
		return named(a) - named(b)
	})
	for _, in := range list {
		if in.Interface.V != link.Dev {
			continue
		}
		own := in.Source
		if !own.Set {
			own = in.SourceMcast
		}
		if !link.Own.Set {
			link.Own = own
		}
		if len(in.Peers) == 1 && !link.Peer.Set {
			link.Peer = in.Peers[0]
		}
	}
	return &Conntrackd{Name: s.At.File, Word: syncDaemon, At: s.At, Links: []SyncLink{link}}
}
