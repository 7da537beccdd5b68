package lab

import "os"

// TB is what the laboratory needs of a testing.TB. It is written out here so
// that a program with a demo in it does not carry the testing package.
type TB interface {
	Helper()
	Name() string
	Failed() bool
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
	Cleanup(func())
}

// Require skips the test without root. Where namespaces are promised (CI=true
// or UNDERSTUDY_REQUIRE_NETNS=1) it fails instead: a skipped proof is none.
func Require(t TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" || os.Getenv("UNDERSTUDY_REQUIRE_NETNS") == "1" {
		t.Fatalf("network namespaces need root")
	}
	t.Skipf("network namespaces need root")
}

// NewT returns a laboratory that ends with the test.
func NewT(t TB) *T {
	t.Helper()
	Require(t)
	n := New()
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("close laboratory: %v", err)
		}
	})
	return &T{Net: n, tb: t}
}

// T is a [Net] for tests: what cannot be built fails the test.
type T struct {
	*Net
	tb TB
}

// Node is [Net.Node].
func (l *T) Node(name string) *Node {
	l.tb.Helper()
	node, err := l.Net.Node(name)
	l.must(err)
	return node
}

// Segment is [Net.Segment].
func (l *T) Segment(name string) *Segment {
	l.tb.Helper()
	seg, err := l.Net.Segment(name)
	l.must(err)
	return seg
}

// Join is [Node.Join].
func (l *T) Join(n *Node, seg *Segment, ifname string, addrs ...string) *Link {
	l.tb.Helper()
	link, err := n.Join(seg, ifname, addrs...)
	l.must(err)
	return link
}

func (l *T) must(err error) {
	l.tb.Helper()
	if err != nil {
		l.tb.Fatalf("%v", err)
	}
}
