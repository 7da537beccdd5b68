// Package metrics shows a node's status to Prometheus: everything that `understudy
// status --json` tells and that is a number or a state, read when it is asked for.
//
//	appliance.Status ──families──▶ Collector ──▶ Handler (text, OpenMetrics)
//
// Names follow https://prometheus.io/docs/practices/naming/: understudy_ in front, the
// base unit behind, _total for what only grows. A state is one series for each state it
// can have, 1 for the one that it has. Labels are names out of the configuration file
// and words of a fixed list, never what came in from the network: how many series there
// are is bounded by the file.
//
// docs/metrics.md is made of the same table ([Reference]); a test holds the two together.
package metrics
