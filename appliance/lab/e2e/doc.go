// Package e2e holds the end-to-end tests: the real program on both gateways of a
// [pair.Pair], traffic through them, and everything that the death table of
// docs/architecture.md names. There is nothing in it to import.
package e2e
