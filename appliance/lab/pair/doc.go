// Package pair is the network that Understudy is shown and tested in.
//
//	              ┌──── gw1 ────┐
//	inside ── LAN ┤      │ sync ├ WAN ── outside
//	              └──── gw2 ────┘
//
//	inside   10.0.0.10 and .20, the way out is 10.0.0.1
//	gw1      lan0 10.0.0.2   wan0 203.0.113.2   sync0 10.255.0.1   priority 200
//	gw2      lan0 10.0.0.3   wan0 203.0.113.3   sync0 10.255.0.2   priority 100
//	outside  203.0.113.254; knows no way to 10.0.0.0/24
//
// With mode "active" each gateway has mirror0 besides, on a segment where packets are
// copied, and .20 another public address than the rest.
//
// Whoever is active has 10.0.0.1 and 203.0.113.1. The gateways run the real
// program, as separate processes, with a configuration file, secret and control
// socket in their own /run: nothing of it is on this machine's disk.
//
// The sync link passes through a segment of its own like every other, and is
// not a veth from one gateway to the other, so that its cable can be pulled
// without touching an interface's settings.
package pair
