// Package doctor looks at a machine, before it becomes a gateway or when something is
// wrong with one, and says what keeps it from its work, with the evidence and the fix.
//
// It changes nothing: it reads the kernel, listens, sends one question to a neighbour (the probe of
// foreign MACs) and calls peers; features of the kernel are tried in a network namespace
// of its own that is gone afterwards. What it cannot judge it says, instead of "ok".
//
//	report := doctor.Examine(ctx, doctor.Options{Config: cfg, …})
package doctor
