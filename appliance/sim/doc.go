// Package sim is a whole cluster on a virtual clock: 2 to 5 nodes, each the real
// [vrrp.Set] and the real [appliance.Core], joined by a model of everything that
// lies between and around them. It runs a second of their time in microseconds,
// breaks what can break, and holds every step against rules.
//
//	node a                                     node b
//	+-----------+ fifo +----------+            +-----------+ ...
//	| election  |<---->| daemon   |            | election  |
//	|  vrrp.Set | board|  Core    |            |  vrrp.Set |
//	+-----------+      +----------+            +-----------+
//	  |  ^    | fence    | Hold  |               |  ^
//	  |  |    v          v       | sessions      |  |
//	  |  |  +--------------+     +----- sync ----------- ...
//	  |  |  |   kernel     |                     |  |
//	==|==|=======================================|==|=== lan, wan: loss, delay,
//	                                                     corruption, cuts
//
// # The map
//
//	schedule.go verbs.go text.go parse.go   Schedule: what is played; its text, and back
//	generate.go shrink.go                   a schedule from a seed; a smaller one that fails the same way
//	world.go queue.go rand.go setup.go      the clock that is true, the future, chance, configurations
//	segment.go sessions.go                  frames between nodes; the session link and who is in sync
//	node.go kernel.go board.go fifo.go      a box: its processes' lives, kernel, shared page, socket pair
//	election.go hear.go supervise.go stop.go   models package vrrp/election around the Set
//	daemon.go respawn.go act.go surprise.go   models package appliance/daemon around the Core; what is done to a node
//	witness.go                              heartbeats, real Guards; the rules of holding
//	check.go reference.go guard.go overlap.go the rules of every step
//	ending.go exercise.go                   the rules of the end: what has to come when the faults stop
//	coverage.go dump.go                     what met what; how things stand
//
// What is real: Set, Core, identities, and the codec (adverts travel as packets).
// What is a model: the two processes' loops, the kernel, the session plane. A
// model repeats the original's decisions in their order; where the original
// changes, it has to follow.
//
// # The rules
//
// S1 to S14 are what must hold at every step: S1 state fits timer; S2 who may send; S3
// data plane only while Active; S4 a refused packet has no effect, and one router's
// packet none on another; S5 who was outranked is silent (S2 sees it); S6 who yields to
// whom, S13 so does an owner; S7 and S9 when a Backup may become Active, by a second
// reckoning (reference.go); S8 what is learned; S10 sockets before timers; S11 an Active
// is heard once an interval, so that with S7 one lost advert moves nobody; S12 no storms;
// S14 one seed, one run. L1 to L6 hold when the faults have stopped: L1 somebody is
// Active, L2 a skew after priority 0, L3 the best one after its return, L4 it stays so
// (and with nobody left who may preempt, that is L6), L5 one after a healed split.
// Beside them: settle (silence on a new link is not believed), group (all members are in
// one state), term (terms only grow), fence (out of service before priority 0), overlap,
// gap and dual (who serves when a better one takes over), want, storm (the two processes
// keep each other busy), tidied (no fence once the daemon has tidied up), budget (nobody gives up for
// want of a daemon that is well), stuck (time does not pass: a loop that spins),
// healthy (everything is repaired, and a node is not well again), hold (a takeover is
// put off no longer than the limit, from one advert to the next), guard (with hold, two
// that hear each other's heartbeats are not both Active for long).
//
// # A scenario file
//
//	seed 7                                   # of what is left to chance
//	router lan segment=lan vrid=51 [family=6] [version=2]     # segments: lan wan sync
//	router wan segment=wan vrid=52
//	group gw lan wan
//	node a priority=200[,100] interval=100ms [preempt=no] [delay=1s] [settle=2s] [ppm=-150]
//	node b priority=100 interval=100ms
//	sessions                                 # readiness counts
//	notify [500ms]                           # programs are told of states; an activation waits for some
//	guard alarm | guard hold 2s              # heartbeats on the sync segment; hold, and its limit
//	tracks                                   # checks soft (weight -60) and hard (fault), interface wan (-25)
//	watchdog 2s
//	budget 2s
//	1.5s cut a b lan                         # an act: a time and a verb
//	9s end [crash|stop|link|failover|split|return]   # repair; then, in calm, this happens to the Active
//
// The verbs:
//
//	cut A B SEG · join A B SEG      both directions · mute A B SEG   only from A to B
//	split SEG A,B                   these from all others · heal SEG  every path of the segment
//	noise A B SEG LOSS DUP BAD DELAY JITTER   from A to B; percents, times
//	link A SEG down|up|bare         bare: up, without an address
//	crash A · start A · stop A      power cut; by the service manager; in good order
//	kill A election|daemon|both     · hang A … (SIGSTOP) · wake A · deaf A   hang, and what comes is lost
//	nospawn A TIME                  no process can be started · late A TIME  its election is, so much
//	delay A TIME · stall A TIME     messages between its processes; none at all, so long
//	slow A TIME · refuse A addresses|gate|fence TIME · drift A GROUP    its kernel
//	check A soft-down|soft-up|hard-down|hard-up     what a check says
//	resync A TIME                   what a transfer of sessions takes
//	failover A ready|force|all GROUP · priority A N · preempt A yes|no · addresses A EXTRA · interval A TIME
//	                                the operator, by way of the daemon
//	reclaim A GROUP · raise A GROUP TERM · absence A TIME
//	rogue SEG PRIORITY 1 INTERVAL · junk SEG N     an outsider's adverts, and noise
//	poke A GROUP start|tick|fault|fault-fence|fault-off|resume|eligible|overlap|weight|vouch|unvouch|hand-over|stop|stop-fence
//	                                an input of its Set, out of turn
//	event A GROUP tick|attached|refused|stale|synced|term|claimed|drifted|drained|not-drained|check|link|guarded|reclaimed|prepared
//	                                an event of its Core, out of turn
//	expect GROUP A,B|none           these are Active now, or it is a violation
//
// The package has no clock, goroutine or I/O; runs in parallel are its tests'.
package sim
