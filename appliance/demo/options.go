package demo

import (
	"io"
	"time"
)

// Options changes the demo. The zero value is `understudy demo`.
type Options struct {
	Binary      string        // the program; "": the running executable
	Interval    time.Duration // of adverts; 0: 100 ms
	Crashes     int           // crash and return this many times; 0: 1
	Connections int           // through the port forward; 0: 200
	NoHandover  bool          // end after the last return: nothing in place, no hand-over

	NoNAT      bool // plain routing; nothing is translated
	NoSessions bool // established flows are then not expected to survive, and not started

	// Progress gets a line whenever something happens. nil: nobody.
	Progress io.Writer
	// Log gets what the gateways write. nil: it is shown only with an error.
	Log io.Writer

	// calm is the time before each event in which nothing happens and the noise
	// is measured. By default it is more than the second for which a flow must
	// have stood before a crash to count.
	calm time.Duration
	// after is how long an event is watched on after everything works again.
	after time.Duration
}

func (o Options) withDefaults() Options {
	if o.Interval == 0 {
		o.Interval = 100 * time.Millisecond
	}
	if o.Crashes == 0 {
		o.Crashes = 1
	}
	if o.Connections == 0 {
		o.Connections = 200
	}
	if o.calm == 0 {
		o.calm, o.after = 2*time.Second, time.Second
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	return o
}

// patience bounds each wait for the gateways, and for a flow to resume.
const patience = 40 * time.Second
