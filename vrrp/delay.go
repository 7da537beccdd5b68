package vrrp

import "time"

// A node that boots may be ready long before its network is: a switch that learns, a tunnel, a fabric that converges.
// RFC 9568 has it conclude from silence that nobody is Active. With a start-up delay (keepalived's vrrp_startup_delay
// and vrrp_delay_after_boot) it takes no part until SetInput.Begin: adverts are dropped, so that none counts which is
// heard on a side that works already, and every wait begins then, an owner's too. A group that goes on as Active
// (InResume) is not kept from anything, nor does a Reconfigure begin anew.

// deaf tells whether adverts for the router count for nothing yet.
func (s *Set) deaf(now time.Time, r *router) bool {
	return r.m.State() == Backup && now.Before(s.begin)
}
