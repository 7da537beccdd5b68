// Package conntrack speaks ctnetlink, the kernel's interface to its table of
// tracked flows: it decodes the kernel's events and dumps into
// [session.Record] and writes records back so that another gateway goes on with
// the flows, address translation included.
//
//	 kernel A                                               kernel B
//	    │ events, dump                     create/update/delete ▲
//	    ▼                                                       │
//	Listener ──► ParseMessage ──► session.Record ··· ──► Append… ──► Kernel
//	                                                              ◄── errno, echo
//
// Map:
//
//	attr.go      numbers of the kernel's interface
//	event.go     what a decoded message is
//	parse.go     ParseMessage: message to Event, no allocation; tuple.go: its tuples
//	encode.go    the attribute writer
//	message.go   AppendCreate, AppendUpdate, AppendDelete, AppendGet
//	filter.go    AppendDump and what it selects
//	form.go      what can be installed, and in which form
//	socket.go    a netlink socket: options, recvmmsg
//	listener.go  events: groups, drain, overruns; bpf.go: the filter of own changes
//	kernel.go    the injector: one batch, one answer; install.go, update.go,
//	             table.go (delete, get, dump)
//	expect.go    what helpers expect: a subsystem of its own
//	probe.go     what this kernel can hold
//	limits.go    the table's size and settings
//
// Facts that shape it (each one has a test against the running kernel):
//
//   - The kernel derives nothing from a reply tuple. An entry that is replayed as
//     it was dumped is accepted, looks right, and is not translated. So a create
//     carries the plain inverse of the original tuple as its reply and both
//     CTA_NAT_SRC and CTA_NAT_DST, with equal bounds and always a port; what came
//     out is read back and compared ([ErrNotTranslated]).
//   - NAT of an existing entry cannot be changed: updates carry none.
//   - Every message of a batch is handled alone; a failed one answers with its own
//     sequence number, so only the last message asks for an acknowledgement.
//   - One thread: the kernel serialises changes of all sockets by one mutex.
//
// A [Listener] and a [Kernel] belong to the network namespace of the thread that
// opened them. Neither is safe for concurrent use. Attribute values are in
// network byte order, headers in the host's; everything in a Record is in the
// host's order except addresses.
package conntrack
