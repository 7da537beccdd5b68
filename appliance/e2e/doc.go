// Package e2e holds the end-to-end tests: the real program, as separate
// processes on two gateways, with traffic through them. There is nothing in it
// to import.
//
//	              ┌──── gw1 ────┐
//	inside ── LAN ┤      │ sync ├ WAN ── outside      (package appliance/lab/pair)
//	              └──── gw2 ────┘
//
//	crash_test.go     power cuts: under load, twice, and what is on the wire meanwhile
//	handover_test.go  failover by an operator, and by an orderly stop
//	return_test.go    a gateway comes back: rebooted, or with a stale table
//	guard_test.go     who hears whom: both active, held, healed
//	sync_test.go      the session link: cut, healed, missing, refused
//	heal_test.go      faults without a change of roles: all tables alike within seconds
//	split_test.go     two actives that know nothing of each other
//	death_test.go     the death table of docs/architecture.md, with the whole program
//	drift_test.go     someone else removes what is ours
//	reload_test.go    a file that is accepted, and one that is not
//	ipv6_test.go      IPv6 beside IPv4: all of the above with both
//	status_test.go    the contract of `understudy status --json`
//	start_test.go     starts that must not be
//
// # How a test is built
//
// A scene is a pair of gateways that ends with the test, whatever becomes of
// it. [scene.settle] starts both and waits until gw1 is Active, gw2 stands by
// and every session is on both; [scene.load] adds traffic, of which
// [scene.intact] later asks every flow for a sign of life.
//
// The conditions are waited for, with a bound far beyond what they take. What is
// asserted is what happened, never how fast: figures belong to the benchmarks.
//
// The program is taken from UNDERSTUDY_BINARY, or built once, with the race
// detector if UNDERSTUDY_E2E_RACE is 1.
package e2e
