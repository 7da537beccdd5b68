package replica_test

import "testing"

// casesLater are the failure cases that cannot be tested yet, and what they wait for.
var casesLater = map[int]string{
	28: "one-to-one translation from both sides without replication: nat.static is not built yet",
}

// TestCasesThatWait: what has a test does not wait for one.
func TestCasesThatWait(t *testing.T) {
	for _, c := range cases {
		if why, waits := casesLater[c.n]; waits {
			t.Errorf("case %d has %s, and waits: %s", c.n, c.test, why)
		}
	}
}
