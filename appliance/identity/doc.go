// Package identity is the value that says what a gateway holds while it is
// Active: addresses on interfaces, the devices with a MAC of their own that some
// of them are on, and the routes and routing rules that move with them.
//
// It is pure and only compares. Whoever decides builds the wanted [Identity] of
// all groups the node is Active for; package kernel makes the machine look like
// it. Two identities are the same exactly if their String is the same.
//
//	Core ── Identity (wanted) ──▶ kernel.Apply ──▶ the machine
//	            │
//	            └─ Diff(have, want) ──▶ which announcements start and stop
package identity
