// Package bonds holds the tests of a gateway on aggregated links, with the kernel's
// bonding and team drivers: they run in the guest (package guest). The program is
// the real one; at the other end of its links is an actor of ours, another kernel
// bond, or teamd.
package bonds
