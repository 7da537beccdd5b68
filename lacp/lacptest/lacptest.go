// Package lacptest has frames of the Slow Protocols for tests: each with the reason a
// receiver refuses it for and what a monitor finds of it; and noise made of them.
// It knows nothing of package lacp, whose own tests use it.
package lacptest

import (
	_ "embed"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
)

//go:embed vectors.txt
var text string

// Vector is one stanza of vectors.txt, whose head says what is in it.
type Vector struct {
	Name    string
	Frame   []byte  // from the destination address on
	Reason  string  // it is refused for; empty: it is not
	Finding string  // of a member that has just come up and hears nothing else; empty: none
	Fields  []Field // what is in the frame
}

// Field is a line of a stanza: a word, and the rest.
type Field struct{ Word, Rest string }

// TB is what is needed of a testing.TB.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
}

// Vectors are all of them.
func Vectors(t TB) (all []Vector) {
	t.Helper()
	for i, line := range strings.Split(text, "\n") {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if word == "" || strings.HasPrefix(word, "#") {
			continue
		}
		if word == "vector" {
			all = append(all, Vector{Name: rest})
			continue
		}
		if err := all[len(all)-1].set(word, rest); err != nil {
			t.Fatalf("vectors.txt:%d: %v", i+1, err)
		}
	}
	if len(all) < 48 {
		t.Fatalf("vectors.txt holds %d vectors only", len(all))
	}
	return all
}

func (v *Vector) set(word, rest string) (err error) {
	switch word {
	case "frame":
		v.Frame, err = hex.DecodeString(rest)
	case "reason":
		v.Reason = strings.TrimPrefix(rest, "-")
	case "finding":
		v.Finding = strings.TrimPrefix(rest, "-")
	case "version", "actor", "partner", "delay", "extensions", "marker":
		v.Fields = append(v.Fields, Field{word, rest})
	default:
		err = fmt.Errorf("unknown word %q", word)
	}
	return err
}

// Find returns the vector of that name.
func Find(t TB, name string) Vector {
	t.Helper()
	for _, v := range Vectors(t) {
		if v.Name == name {
			return v
		}
	}
	t.Fatalf("there is no vector %q", name)
	return Vector{}
}

// Noise is a capture that is replayed with random corruption: the vectors in random
// order, most of them with some bits wrong, some cut off.
type Noise struct {
	random  *rand.Rand
	vectors []Vector
	frame   []byte
}

// NewNoise returns one that is the same for the same seed.
func NewNoise(t TB, seed uint64) *Noise {
	t.Helper()
	return &Noise{random: rand.New(rand.NewPCG(seed, 1)), vectors: Vectors(t)}
}

// Next is the next frame, at least of that length. It is valid until the one after it.
func (n *Noise) Next(least int) []byte {
	b := append(n.frame[:0], n.vectors[n.random.IntN(len(n.vectors))].Frame...)
	n.frame = b
	for range n.random.IntN(4) {
		b[n.random.IntN(len(b))] ^= 1 << n.random.IntN(8)
	}
	if n.random.IntN(50) == 0 && len(b) > least {
		b = b[:least+n.random.IntN(len(b)-least)]
	}
	return b
}
