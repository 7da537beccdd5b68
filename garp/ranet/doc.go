// Package ranet sends what package ra decides: router advertisements of virtual
// routers, as whole frames from a packet socket on the router's interface, so that
// the Ethernet source is the virtual MAC whatever the state of a device is, and
// reads the Router Solicitations of the segment there.
//
// A [Speaker] is one goroutine, and one more for each interface that it listens
// on. It is told which routers there are ([Speaker.Configure]) and which groups
// are Active and in place ([Speaker.Start], [Speaker.Stop]); and before each
// advertisement it asks whether that is still so.
package ranet
