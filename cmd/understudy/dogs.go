package main

import (
	"os"
	"time"

	"understudy/appliance/dog"
	"understudy/vrrp/election"
)

// feedings is how often a watchdog is fed within its timeout, and feedAtLeast the
// longest pause in any case.
const (
	feedings    = 4
	feedAtLeast = 5 * time.Second
)

// dogs are the watchdogs that the election feeds: the device of the configuration,
// and systemd's, if it has a timer for us.
func (f *processFlags) dogs() (list []election.DogConfig) {
	if f.watchdog != "" {
		list = append(list, election.DogConfig{Name: f.watchdog, Period: min(f.watchdogTimeout/feedings, feedAtLeast),
			Open: func() (election.Dog, error) { return dog.OpenDevice(f.watchdog, f.watchdogTimeout) }})
	}
	if timeout, ok := dog.FromSystemd(os.Getenv); ok {
		list = append(list, election.DogConfig{Name: "systemd", Period: min(timeout/feedings, feedAtLeast),
			Open: func() (election.Dog, error) { return dog.OpenSystemd(os.Getenv("NOTIFY_SOCKET")) }})
	}
	return list
}
