package lab_test

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Deafened, a node hears nothing of one protocol, and of the others everything.
func TestDeafen(t *testing.T) {
	_, a, b := twoNodes(t)
	echoUDP(t, b, "10.1.0.2:7")
	must(t, b.Link("eth0").Deafen(unix.IPPROTO_ICMP))
	if !answers(t, a, "10.1.0.2:7", 200) {
		t.Error("UDP is dropped too")
	}
	must(t, b.Link("eth0").Undeafen())
	must(t, b.Link("eth0").Deafen(unix.IPPROTO_UDP))
	if answers(t, a, "10.1.0.2:7", 5) {
		t.Error("UDP still comes in")
	}
	must(t, b.Link("eth0").Undeafen())
	if !answers(t, a, "10.1.0.2:7", 200) {
		t.Error("UDP is dropped still")
	}
}
