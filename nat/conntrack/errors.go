package conntrack

import "errors"

// Errors of decoding.
var (
	// ErrNotConntrack: the message is not a conntrack entry (an error message,
	// another subsystem, another type).
	ErrNotConntrack = errors.New("not a conntrack entry")
	// ErrMalformed: a length does not fit, or an attribute that every entry has
	// is missing.
	ErrMalformed = errors.New("malformed conntrack message")
)

// Errors of the event socket.
var (
	// ErrOverrun: the receive buffer was full and an unknown number of messages
	// is lost. The socket goes on; what is known of the table is stale until a
	// dump has been compared with it.
	ErrOverrun = errors.New("conntrack events lost: receive buffer overrun")
)

// Results of single entries. Other results are plain errno values.
var (
	// ErrNotInstallable: the record is no flow that could go on elsewhere: a TCP
	// handshake that is not complete, or a tuple the kernel cannot hold.
	ErrNotInstallable = errors.New("flow cannot be installed")
	// ErrClash: another flow of this kernel holds the key or the translated
	// tuple, and the options say (or there is no way but) to keep it.
	ErrClash = errors.New("clash with another flow of this kernel")
	// ErrNotTranslated: the kernel accepted the entry but does not translate it
	// as the record says. The entry has been removed again.
	ErrNotTranslated = errors.New("kernel accepted the entry but does not translate it")
	// ErrNotFound: there is no such entry.
	ErrNotFound = errors.New("no such conntrack entry")
	// ErrTableFull: the table is at nf_conntrack_max (or memory ran out).
	ErrTableFull = errors.New("conntrack table full")
)

// Errors of a whole call.
var (
	// ErrNoAnswer: the kernel took a batch and did not answer its last message.
	ErrNoAnswer = errors.New("no answer from the kernel")
	// ErrDumpInterrupted: the table changed its shape under a dump; entries may
	// be missing.
	ErrDumpInterrupted = errors.New("conntrack dump interrupted")
)
