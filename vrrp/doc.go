// Package vrrp is the election of a gateway: the VRRP packet codec (versions 2 and 3), the state machine of one
// virtual router, and the Set of all virtual routers of a node with the groups in which they move.
package vrrp
