// Package dropin is what a process has to be to stand in for keepalived's, towards
// everything around it that was made for keepalived: unit files, init scripts,
// exporters, whoever reads the log.
//
//	argv ──Parse──▶ Options          every flag of 2.2.7, and what has no effect here
//	PIDFiles        keepalived.pid, vrrp.pid, checkers.pid: locked, not only there
//	Signums         which signal asks for what
//	View ──Data, Stats, JSON──▶ /tmp/keepalived.*    as exporters read them
//	NewHandler      log lines without keys where keepalived has none; syslog, a file
//
// It knows neither the engine nor the configuration: its user fills in a [View].
package dropin
