// Package runner drives appliance.Core: the one loop of the control plane.
//
//	edges ──Post──▶ eventC ─▶ Core.Step ─▶ actions ─┬─▶ holder lane (latest Want wins) ──Applied──▶ eventC
//	                                                ├─▶ drain, one goroutine each       ──Drained──▶ eventC
//	                                                ├─▶ prepare, one goroutine each     ──Prepared─▶ eventC
//	                                                └─▶ quick edges, called in the loop
//
// The loop reads the clock once per event and never blocks: what may be slow or
// fail runs in a lane, and its result comes back as an event.
package runner
