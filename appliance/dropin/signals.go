package dropin

import "syscall"

// Requests of signals that have a meaning beside stop and reload.
const (
	RequestData  = "data"
	RequestStats = "stats"
	RequestJSON  = "json"
	RequestClear = "clear" // counters of the dumps begin at 0 again
)

// The signals, by the numbers that keepalived gives them on Linux: SIGRTMIN+2 and
// SIGRTMAX-1 of the C library are among them.
const (
	sigJSON  = syscall.Signal(36)
	sigClear = syscall.Signal(63)
)

// Requests are those signals.
var Requests = map[syscall.Signal]string{
	syscall.SIGUSR1: RequestData,
	syscall.SIGUSR2: RequestStats,
	sigJSON:         RequestJSON,
	sigClear:        RequestClear,
}

// Signum returns the number of the signal that --signum=NAME asks for.
func Signum(name string) (n int, ok bool) {
	s, ok := map[string]syscall.Signal{
		"STOP": syscall.SIGTERM, "RELOAD": syscall.SIGHUP, "DATA": syscall.SIGUSR1, "STATS": syscall.SIGUSR2,
		"STATS_CLEAR": sigClear, "JSON": sigJSON,
	}[name]
	return int(s), ok
}
