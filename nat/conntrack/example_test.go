package conntrack_test

import (
	"fmt"
	"log"
	"time"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// A standby installs what its peer sends and listens for what its own kernel
// loses.
func Example() {
	kernel, err := conntrack.OpenKernel()
	if err != nil {
		log.Fatal(err)
	}
	events, err := conntrack.OpenListener(conntrack.ListenerConfig{IgnorePort: kernel.PortID()})
	if err != nil {
		log.Fatal(err)
	}
	if err := events.Join(conntrack.GroupDestroy); err != nil {
		log.Fatal(err)
	}

	var records []session.Record // from the peer
	results := make([]error, len(records))
	if err := kernel.Install(records, conntrack.InstallOptions{Liberal: true, Hold: 600}, results); err != nil {
		log.Fatal(err)
	}
	for range time.Tick(time.Millisecond) {
		_, err := events.Drain(10_000, func(ev *conntrack.Event) {
			fmt.Println("lost:", ev.Kind, ev.Rec.Key) // install it again
		})
		if err == conntrack.ErrOverrun {
			fmt.Println("compare with", kernel.Dump(conntrack.Filter{}, func(*conntrack.Event) {}))
		}
	}
}
