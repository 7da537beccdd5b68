// Package machine boots a machine with systemd: from the files of this one, below a
// layer that takes all that is written and is forgotten at the end, in namespaces of
// its own, with no link to any network. For what depends on an init system and a
// package manager: units, packages, their scripts.
//
//	Boot ─▶ mount namespace ─▶ tmpfs over / ─▶ systemd-nspawn ─▶ systemd as its process 1
//	Run  ─▶ nsenter ────────────────────────────────────────────────┘
//
// The kernel is this machine's (for another see lab/guest).
package machine
