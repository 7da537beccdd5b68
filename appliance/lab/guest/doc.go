// Package guest runs tests in a machine of their own, under Debian's stock
// kernel: for what the kernel of the machine that tests may lack, and no
// namespace can add (bonding, team, IPVS, a watchdog, VLANs, flowtables, netem).
//
//	make test-guest
//	  └ .ci/guest ─▶ test binaries ─▶ initrd ─▶ QEMU ─▶ /init ─▶ each binary
//	       ▲                                               │ second serial line
//	       └── events of `go test -json` ◀── test2json ◀───┘
//
// A guest test is an ordinary Go test in a file with the build tag guest, with
// a name that begins with TestGuest, in a package that the Makefile lists. It
// begins with what it needs:
//
//	//go:build guest
//
//	func TestGuestBondComesUp(t *testing.T) {
//		guest.Load(t, guest.Bonding)
//
// In the guest a test is root and alone: it may load modules and change what it
// likes, and makes namespaces all the same, for the next test is in the same
// machine. The program itself is there as [Program], teamd, teamnl and keepalived
// (with the samples of its package) as well. There is one boot for all tests, so a test that kills the kernel fails those after it.
//
// The machine is emulated, not virtualised: about ten times slower than the one
// that it is on. Nothing in it may be measured.
package guest

// Program is the path of `understudy` in the guest.
const Program = "/bin/understudy"
