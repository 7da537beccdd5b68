// Package dog feeds what resets a machine, or ends a service, that is not well:
// the kernel's watchdog device, and systemd's timer.
//
//	election process: the loop turns, the daemon is there ─▶ Feed ─▶ /dev/watchdog   reset
//	                                                                └▶ NOTIFY_SOCKET  restart
//
// It decides nothing: when to feed is package election's. Feeding allocates
// nothing, because the process that does it has no collector.
package dog
