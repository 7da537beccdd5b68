// Package history remembers what happened to a node, so that it can be said later: why
// did we fail over at 03:12?
//
//	events and actions of appliance.Core ──▶ Observer.Step ──▶ Log (two rings) ──▶ Events(Query)
//
// An [Event] is a change of state of a group, with its cause, what was known then (its
// evidence), and how long each part of it took (its phases); or something that may lead
// to one: a check that fails, a link, an alarm, an order of the operator's. Changes of
// state have a ring of their own, so that a check that goes up and down all night
// does not push out the failover in its middle.
//
// The package is pure: times come as arguments, nothing is written anywhere. Sizes are
// fixed; texts and lists are cut to a bound. A change of state is there from its first
// moment (Open) and is changed as its phases end: each change has a new Rev, by which
// those who follow ask for what is new.
package history
