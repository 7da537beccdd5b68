// Package control is how an operator talks to a running node: HTTP over a unix
// socket, so that the command line, curl and (later) the web page use one door.
//
//	GET  /v1/status            the node as JSON (appliance.Status)
//	GET  /v1/sessions          an appliance.Flow a line; ?group= and ?protocol= select
//	GET  /v1/sessions/diff     appliance.FlowsDiff; ?peer= names one
//	GET  /v1/takeovers         the last ones, the latest first
//	GET  /v1/events            a history.Answer; ?since= ?group= ?kind= ?last= select, ?after=REV is what is
//	                           new, for which ?wait=SECONDS waits
//	GET  /metrics              for Prometheus
//	POST /v1/failover          {"group": "", "force": false}
//	POST /v1/reload            load the configuration file again
//	GET, POST /v1/log-level    {"level": "debug"}
//	POST /v1/upgrade/election  exchange the election process
//	POST /v1/upgrade           start the daemon anew, from the file that the program is in now
//
// A refusal is a status code above 399 with {"error": "…"}; the socket is only
// for root (mode 0600). The package knows no decisions: [Handler] is what the
// daemon gives it.
package control
