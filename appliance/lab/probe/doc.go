// Package probe measures, from inside the laboratory, what a user of a gateway
// would notice: how long nothing came through, and which connections are gone.
//
//	Echo     numbered datagrams, one each millisecond, and their echoes: UDP or ping
//	Stream   one long, paced TCP transfer, verified to the byte
//	Conns    many TCP connections with requests on every other one
//
// Servers whose every word depends on all that they have heard, for connections that go on at
// another one: sums.go. And packets that no socket makes, for flows of other kinds: sctp.go.
//
// Each runs in goroutines of its own from Start to Stop, keeps the time of
// everything that arrived, and is asked afterwards about any stretch of time:
//
//	udp, err := probe.StartUDP(probe.UDPOptions{Client: inside, Server: outside, Listen: …, Target: …})
//	…
//	crash := time.Now()
//	…
//	outage := udp.Gap(crash, time.Now())                  // the longest silence since
//	noise := udp.Noise(crash.Add(-2*time.Second), crash) // the longest before
//
// An outage is the longest time between two arrivals that follow each other.
// It holds also what this machine's scheduler adds, so it is always given
// beside the same figure of a time when nothing happened.
//
// Packets are sent from threads of their own at absolute times, arrivals are
// stamped by the kernel: the prober's own hiccups count as little as possible.
package probe

// Place is where a probe opens its sockets: a lab.Node.
type Place interface{ Do(func() error) error }
