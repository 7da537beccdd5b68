//go:build guest

package interop

import (
	"testing"

	"understudy/appliance/lab/guest"
)

// TestGuestDifferential is TestDifferential for virtual servers, which keepalived has by
// IPVS: what clients get of them too, while servers fail and come back.
func TestGuestDifferential(t *testing.T) {
	guest.Load(t, guest.Bridge, guest.Nftables, guest.IPVS)
	t.Parallel()
	live(t, serverCorpus, true)
}
