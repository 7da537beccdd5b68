// Package vrrp is the election of a gateway: the VRRP packet codec (RFC 9568 version 3 for IPv4 and IPv6, RFC 3768
// version 2 with the simple text and the authentication header of RFC 2338), the state machine of one virtual router, and the Set of all virtual
// routers of a node with the groups in which they move. It has no clock, socket, goroutine or log: time comes as an
// argument, what to do goes out as a list.
//
// # The map
//
//	datagram.go advert.go append.go   codec: ParseDatagram, ParseAdvert, AppendAdvert, AppendPacket; no allocation
//	seal.go                           the authentication header around adverts of version 2, and its sequence numbers
//	checksum.go units.go reason.go    both IPv4 checksum forms, 1/100 s, why a packet was dropped
//	machine.go                        Machine: one virtual router, section 6.4 with errata 8298-8301
//	set.go set_step.go group.go       Set: machines, groups, links, eligibility, hand-over, terms
//	unicast.go                        adverts to a list of peers instead of the group
//	weight.go                         what is tracked lowers or raises a whole group
//	set_reconfigure.go status.go      what a reload does; what to show
//	vrrptest                          several Sets on one virtual clock and faulty segments; scenario scripts
//
// # One virtual router
//
//	                    +--------------+
//	       startup      |  Initialize  |      startup, priority 255: advert
//	     +------------- |              | -------------+
//	     |              +--------------+              |
//	     |   shutdown      ^        ^   shutdown:     |
//	     v   (silent)      |        |   priority 0    v
//	+----------+ ----------+        +---------- +----------+
//	|  Backup  |                                |  Active  |
//	|  waits:  | ---- Active_Down_Timer ------> |  sends:  |
//	|  Active_ |      advert                    |  Adver_  |
//	|  Down_   |                                |  Timer   |
//	|  Timer   | <--- better advert heard ----- |          |
//	+----------+      (priority, then address)  +----------+
//
//	Skew_Time            = (256 - priority) x interval of the Active / 256
//	Active_Down_Interval = 3 x interval of the Active + Skew_Time
//
// Backup starts its timer anew at every advert of a priority at least its own, or of any if it does not preempt;
// priority 0 leaves it Skew_Time. Active answers priority 0, and any advert it outranks, with its own: four times
// an interval at most, so that no rival can make it storm.
//
// # A group
//
// Routers of a group are Active together or not at all (see Set). Four states, the three above and Fault: a link is
// down, a tracked interface is, or the daemon said so. The members of an Active group send in the same instant, so
// that all of them run out in a Backup together and waiting for the last costs nothing.
//
//	Backup --every member's timer ran out--> Active --any member hears a better Active--> Backup
//	any    --any member in fault, or told--> Fault  --all well again--> Backup
//
// # Where this is not the RFC
//
//   - A timer found more than one interval late is given one Skew_Time before it is believed: the process slept, and
//     may not have read what came meanwhile.
//   - Hand-over: after priority 0 the group serves on until its successor is heard.
//   - A group that is not eligible does not preempt, even as address owner.
//   - A group that yields on one member says priority 0 on those where its successor was not heard.
//   - A router with peers speaks and listens to them one by one, not to the group.
//   - A packet from our own address never reaches the machine; asserts are rate limited.
package vrrp
