package probe

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
)

// Sums are the words of a server each of which depends on all the lines that it has heard. The
// zero value has heard none.
type Sums struct{ sum [sha256.Size]byte }

// Answer is what is said to a line, which begins with how many bytes that is to be.
func (s *Sums) Answer(line []byte) []byte {
	s.sum = sha256.Sum256(append(s.sum[:], line...))
	var size int
	fmt.Sscan(string(line), &size)
	out := make([]byte, 0, size+sha256.Size)
	for block := s.sum; len(out) < size; {
		block = sha256.Sum256(block[:])
		out = append(out, block[:]...)
	}
	return out[:size]
}

// LastLine is what a [SumServer] that has a last word gives it in answer to.
const LastLine = "100 the end"

// SumServer says [Sums] to each line that it hears.
type SumServer struct {
	Forgets bool // an answer depends on its line alone
	MakesUp bool // half of each answer is what nobody could have said before
	// Last is called when a client has said its last word; the server's follows. nil: it has none.
	Last func()
}

// Talk speaks on a connection until its client has ended it; for [Accept].
func (s *SumServer) Talk(c net.Conn) {
	r, sums := bufio.NewReader(c), Sums{}
	for {
		line, err := r.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 && s.Last != nil {
			s.Last()
			c.Write(sums.Answer([]byte(LastLine)))
		}
		if err != nil {
			return
		}
		if s.Forgets {
			sums = Sums{}
		}
		out := sums.Answer(line)
		if s.MakesUp {
			rand.Read(out[len(out)/2:])
		}
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}
