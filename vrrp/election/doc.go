// Package election is the process that speaks VRRP: the parent of the pair that
// makes up a running gateway. It owns the sockets and the vrrp.Set, and does
// nothing else, so that no amount of session work delays an advert.
//
//	         socket pair: Message           netlink: NetlinkBatch
//	daemon <-------------------> election ------------------------> kernel
//	  |        board (memfd)        |  |            the fence
//	  +<---------------------------->  +---> vrrpnet: adverts, link states
//
// Two processes, each of which can start the other. What happens when one dies
// (the tests are called TestDeath and the row):
//
//	daemon dies, or does not beat    killed, restarted; the group stays Active and
//	                                 the kernel goes on forwarding
//	daemon makes way for another     the same, with a budget that it has announced;
//	(an upgrade)                     a program that is not Ready is tried once
//	... and is not Ready again       the fence, then priority 0, then Fault, until
//	within its budget                a daemon is Ready
//	election dies                    the daemon starts a new one, which resumes as
//	                                 Active if the last advert is younger than two
//	                                 intervals
//	... and is not back by then      the fence (by whichever of the two claims it on
//	                                 the board), then Backup
//	both die                         nothing announces; what is left in the kernel
//	                                 carries our mark for the next start to clean
//
// The fence is prepared by the daemon at each activation: netlink messages that
// close the group's gate and remove its addresses. The election executes its
// gate part before any yield, and all of it when the daemon cannot be relied on.
// Nobody is told that we are gone before we are.
//
// The loop: one locked thread, one ppoll, absolute deadlines. Of a socket 64 packets
// are taken in a turn; an expired timer is not believed before all was read that
// came in before it. It allocates nothing in steady
// state and runs without a collector. A full socket to the daemon is counted,
// and the state is sent again later: the loop waits for nobody.
//
// Beside the adverts it exchanges heartbeats with the election processes of the
// peers (package witness; the daemon hands over who they are and the keys), reads
// them before it believes a timer, as it does adverts, and tells the daemon what
// follows: alarms, and when to announce the addresses again.
//
// Stopping (SIGTERM): the daemon is told and lets its peer catch up; hand-over;
// when no group is Active, the daemon tidies up and says Bye; each step has its
// bound, and what the daemon did not do, the fence does.
package election
