package probe_test

import (
	"bytes"
	"io"
	"net"
	"testing"

	"understudy/appliance/lab/probe"
)

// said is what a server says to lines, each of which asks for 100 bytes, and its last word.
func said(t *testing.T, server *probe.SumServer, lines ...string) []byte {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	probe.Accept(l, server.Talk)
	c, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	defer c.Close()
	for _, line := range lines {
		_, err := io.WriteString(c, "100 "+line+"\n")
		must(t, err)
	}
	must(t, c.(*net.TCPConn).CloseWrite())
	out, err := io.ReadAll(c)
	must(t, err)
	return out
}

func TestSumServer(t *testing.T) {
	plain := &probe.SumServer{}
	var sums probe.Sums
	want := bytes.Join([][]byte{sums.Answer([]byte("100 a\n")), sums.Answer([]byte("100 b\n"))}, nil)
	got := said(t, plain, "a", "b")
	if len(want) != 200 || !bytes.Equal(got, want) {
		t.Errorf("two lines: %d bytes, want %d that are the same", len(got), len(want))
	}
	if other := said(t, plain, "c", "b"); bytes.Equal(other[100:], got[100:]) {
		t.Error("the second answer does not depend on the first line")
	}
	if forgets := said(t, &probe.SumServer{Forgets: true}, "c", "a"); !bytes.Equal(forgets[100:], got[:100]) {
		t.Error("the second answer of one that forgets depends on the first line")
	}
	if up := said(t, &probe.SumServer{MakesUp: true}, "a"); !bytes.Equal(up[:50], got[:50]) || bytes.Equal(up[50:], got[50:100]) {
		t.Error("one that makes it up says in its second half what others say, or not in its first")
	}
	asked := 0
	last := said(t, &probe.SumServer{Last: func() { asked++ }}, "a", "b")
	if asked != 1 || !bytes.Equal(last, append(got, sums.Answer([]byte(probe.LastLine))...)) {
		t.Errorf("a last word: %d bytes, asked for %d times", len(last), asked)
	}
}
